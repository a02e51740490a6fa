import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { BranchMergeError } from '../errors.js'
import { type SlurmJob, type SlurmMerge, slurmJobs } from './slurmScripts.js'

/** Ids of the jobs that Slurm took. */
export interface SlurmSubmission {
  /** The array, a task for each part. */
  mergeJob: string
  /** Runs when every task has succeeded. */
  finishJob: string
  parts: number
  /** Directory of the logs. */
  logs: string
}

/**
 * Writes the scripts into the staging directory and submits both jobs.
 *
 * @throws ERR_SLURM with the words of sbatch; then no job is left in the queue.
 */
export async function submitSlurm(merge: SlurmMerge): Promise<SlurmSubmission> {
  const { part, finish } = slurmJobs(merge)
  const logs = join(merge.stagingDirectory, 'logs')
  await mkdir(logs, { recursive: true })
  const mergeJob = await submitJob(merge.stagingDirectory, part)
  try {
    const finishJob = await submitJob(merge.stagingDirectory, finish(mergeJob))
    return { mergeJob, finishJob, parts: merge.parts, logs }
  } catch (error) {
    await promisify(execFile)('scancel', [mergeJob]).catch(() => {}) // the error at hand says more
    throw error
  }
}

/**
 * Writes a job's script into `directory` and submits it. Returns its number.
 *
 * @throws ERR_SLURM with the words of sbatch
 */
export async function submitJob(directory: string, job: SlurmJob): Promise<string> {
  await writeFile(join(directory, job.name), job.text)
  const answer = await runSbatch(job.sbatch)
  const id = /^\d+/.exec(answer)?.[0] // a federation adds its cluster's name: 12;name
  if (id === undefined)
    throw new BranchMergeError('ERR_SLURM', `Expected a job's number from sbatch but received ${answer}`)
  return id
}

async function runSbatch(args: readonly string[]): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)('sbatch', args)
    return stdout
  } catch (error) {
    const { code, stderr } = error as { code?: unknown; stderr?: string }
    const reason = code === 'ENOENT' ? 'there is no command sbatch: is this a machine of the cluster?' : stderr?.trim()
    throw new BranchMergeError('ERR_SLURM', `Cannot submit to Slurm: ${reason}`, { cause: error })
  }
}
