import { sftReporter } from '../report/sftProgress.js'
import { commandText, trainingPlanText, trainingText } from '../report/trainingText.js'
import { resolveRun } from '../train/resolveRun.js'
import { runDocument } from '../train/sft.js'
import { followJob, type PlannedJob, planJob, submitTraining } from '../train/slurmTraining.js'
import { checkPath } from '../validate.js'
import { printJson, printText } from './print.js'
import { overridesOf, printNotes, withTrainingSignals } from './sft.js'

/** `branchmerge sft run.yaml --slurm` */
export async function runSftSlurm(args: Record<string, unknown>): Promise<number> {
  const run = resolveRun(await runDocument(checkPath(args.file, 'file')), overridesOf(args))
  return await withTrainingSignals(async ({ interrupt, requeue, kill }) => {
    const progress = sftReporter(process.stderr)
    const signal = AbortSignal.any([interrupt, requeue])
    const running = { resume: args.resume === true, onProgress: progress.update }
    const planned = await planJob(run, { ...running, signal }).finally(progress.end)
    if (args.plan) {
      printJob(planned, args.json === true)
      return 0
    }
    printNotes(planned, progress.print)
    const job = await submitTraining(planned)
    if (args.detach) {
      if (args.json) printJson({ job, output: run.output })
      else printText(`Job ${job} trains into ${run.output}`)
      return 0
    }
    progress.print(`Job ${job} trains into ${run.output}; Ctrl-C lets it save and ends it`)
    progress.setTotal(planned.plan.totalSteps)
    const following = { ...planned, running: { ...planned.running, signal: interrupt } }
    const summary = await followJob(following, job, { kill, leave: requeue }).finally(progress.end)
    if (args.json) printJson(summary)
    else printText(trainingText(summary, run.output))
    return 0
  })
}

function printJob(planned: PlannedJob, json: boolean): void {
  const { run, plan, launch, job } = planned
  const sbatch = ['sbatch', ...job.sbatch]
  if (json) {
    printJson({ run: run.options, plan, command: launch.command, sbatch, script: job.text })
    return
  }
  const lines = [trainingPlanText(planned), '', commandText(sbatch, {}), '', `# ${job.name}`, job.text.trimEnd()]
  printText([...lines, '', 'Nothing was submitted (--plan).'].join('\n'))
}
