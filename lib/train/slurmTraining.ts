import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { SlurmJob } from '../cluster/slurmScripts.js'
import { submitJob } from '../cluster/submitSlurm.js'
import { writeWhole } from '../files/writeWhole.js'
import { followTraining } from './followTraining.js'
import type { ResolvedRun } from './resolveRun.js'
import { finishTraining, planSft, type SftPlan, type SftRunning } from './runTraining.js'
import { failureFileName, makeTrainingDirectory, trainingDirectoryName } from './trainingOutput.js'
import { type SlurmTraining, trainingJob } from './trainingScript.js'
import type { SftSummary } from './trainingSummary.js'

/** A run as a job that is not submitted yet. */
export interface PlannedJob extends SftPlan {
  job: SlurmJob
  /** The run with everything worked in, which the job reads. */
  runFile: string
}

/** Prepares the data here, and writes nothing else. Whether the run fits is seen by the nodes, which know what they have. */
export async function planJob(run: ResolvedRun, running: Omit<SftRunning, 'place'>): Promise<PlannedJob> {
  const training = slurmTraining(run)
  const job = trainingJob(training)
  const host = { processes: 1, cores: run.launcher.slurm.cpusPerTask ?? 1, memoryBytes: Number.MAX_SAFE_INTEGER }
  return { ...(await planSft(run, { ...running, place: 'job' }, host)), job, runFile: training.runFile }
}

/**
 * Submits the job, and returns its number.
 *
 * @throws ERR_SLURM with the words of sbatch
 */
export async function submitTraining({ run, job, runFile }: PlannedJob): Promise<string> {
  const directory = await makeTrainingDirectory(run.output)
  await writeWhole(runFile, `${JSON.stringify(run.options, null, 2)}\n`)
  await rm(join(directory, failureFileName), { force: true })
  return await submitJob(directory, job)
}

/** Signals beside the one that lets the job save and end. */
export interface JobSignals {
  /** Cancels the job at once. */
  kill?: AbortSignal | undefined
  /** Ends the following; the job goes on. */
  leave?: AbortSignal | undefined
}

/** Follows a job until the expert is there. */
export async function followJob(
  { run, running }: PlannedJob,
  job: string,
  signals: JobSignals = {},
): Promise<SftSummary> {
  const { signal, onProgress } = running
  await followTraining({
    job,
    directory: join(run.output, trainingDirectoryName),
    signal,
    ...signals,
    onEvent: (event) => onProgress({ phase: 'training', event }),
    onLog: (line) => onProgress({ phase: 'log', line }),
    onState: (state) => onProgress({ phase: 'job', job, state }),
  })
  return { ...(await finishTraining(run.output, 'done')), job }
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
