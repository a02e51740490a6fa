import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ResolvedRun, resolveRun } from '../branch/resolveRun.js'
import { failureFileName, finishTraining, planSft, runDocument } from '../branch/sft.js'
import { makeTrainingDirectory, trainingDirectoryName } from '../branch/trainingOutput.js'
import { followTraining } from '../cluster/followTraining.js'
import { submitJob } from '../cluster/submitSlurm.js'
import { type SlurmTraining, trainingJob } from '../cluster/trainingScript.js'
import { printable } from '../report/format.js'
import { commandText, trainingPlanText, trainingText } from '../report/trainingText.js'
import { writeWhole } from '../report/writeWhole.js'
import { checkPath } from '../validate.js'
import { printJson, printText } from './print.js'
import { overridesOf, sftReporter, withTrainingSignals } from './sft.js'

/** `branchmerge sft run.yaml --slurm` */
export async function runSftSlurm(args: Record<string, unknown>): Promise<number> {
  const run = resolveRun(await runDocument(checkPath(args.file, 'file')), overridesOf(args))
  return await withTrainingSignals(async ({ interrupt, kill }) => {
    const progress = sftReporter()
    const running = {
      resume: args.resume === true,
      place: 'job' as const,
      signal: interrupt,
      onProgress: progress.update,
    }
    // What the nodes have, they know; whether the run fits is seen there.
    const host = { processes: 1, cores: run.launcher.slurm.cpusPerTask ?? 1, memoryBytes: Number.MAX_SAFE_INTEGER }
    const plan = await planSft(run, running, host).finally(progress.end)
    const training = slurmTraining(run)
    const job = trainingJob(training)
    if (args.dryRun) {
      const sbatch = ['sbatch', ...job.sbatch]
      if (args.json)
        printJson({ run: run.options, plan: plan.plan, command: plan.launch.command, sbatch, script: job.text })
      else {
        const lines = [trainingPlanText(plan), '', commandText(sbatch, {}), '', `# ${job.name}`, job.text.trimEnd()]
        printText([...lines, '', 'Nothing was submitted (--dry-run).'].join('\n'))
      }
      return 0
    }
    for (const note of [...run.notes, ...plan.data.prepared.notices]) progress.print(`Note: ${printable(note)}`)
    const directory = await makeTrainingDirectory(run.output)
    await writeWhole(training.runFile, `${JSON.stringify(run.options, null, 2)}\n`)
    await rm(join(directory, failureFileName), { force: true })
    const id = await submitJob(directory, job)
    if (args.detach) {
      if (args.json) printJson({ job: id, output: run.output, logs: directory })
      else printText(`Job ${id} trains into ${run.output}\nLogs: ${directory}`)
      return 0
    }
    progress.print(`Job ${id} trains into ${run.output}; Ctrl-C lets it save and ends it`)
    progress.setTotal(plan.plan.totalSteps)
    await followTraining({
      job: id,
      directory,
      signal: interrupt,
      kill,
      onEvent: (event) => progress.update({ phase: 'training', event }),
      onLog: (line) => progress.update({ phase: 'log', line }),
      onState: (state) => progress.print(`Job ${id}: ${state.toLowerCase()}`),
    }).finally(progress.end)
    const summary = await finishTraining(run.output, 'done')
    if (args.json) printJson({ job: id, ...summary })
    else printText(trainingText(summary, run.output))
    return 0
  })
}

function slurmTraining({ output, launcher }: ResolvedRun): SlurmTraining {
  const directory = join(output, trainingDirectoryName)
  const script = fileURLToPath(new URL('../../bin/branchmerge.js', import.meta.url))
  return {
    command: [process.execPath, ...process.execArgv, script],
    runFile: join(directory, 'options.json'),
    workingDirectory: process.cwd(),
    directory,
    processes: launcher.processes,
    resources: launcher.slurm,
  }
}
