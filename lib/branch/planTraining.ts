import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { BranchMergeError, type ErrorCode } from '../errors.js'
import { type ErrorEvent, type PlanEvent, parseEvent } from './trainerEvents.js'

/**
 * What the trainer says that a run will do and need: it opens the data and the model's headers, and loads nothing.
 *
 * @throws what the trainer refuses, with its code (ERR_OUT_OF_MEMORY and such); ERR_TRAINING_FAILED when it says no code
 */
export async function planTraining(
  trainer: string,
  runFile: string,
  processes: number,
  signal?: AbortSignal,
): Promise<PlanEvent> {
  // As a launcher tells rank 0 of so many; nothing is started.
  const env = {
    ...process.env,
    ...(processes > 1 ? { SLURM_PROCID: '0', SLURM_STEP_NUM_TASKS: String(processes) } : {}),
  }
  try {
    const { stdout } = await promisify(execFile)(trainer, [runFile, '--plan'], { env, ...(signal && { signal }) })
    return JSON.parse(stdout) as PlanEvent
  } catch (cause) {
    signal?.throwIfAborted()
    throw refusal(trainer, cause as Error & { stderr?: string })
  }
}

function refusal(trainer: string, cause: Error & { stderr?: string }): BranchMergeError {
  const lines = (cause.stderr ?? '').split('\n')
  const said = lines.map(parseEvent).find((event): event is ErrorEvent => event?.event === 'error')
  if (said) return new BranchMergeError(said.code as ErrorCode, said.message, { cause })
  return new BranchMergeError(
    'ERR_TRAINING_FAILED',
    `Expected a plan from ${trainer} --plan but it failed: ${cause.message.trim()}`,
    { cause },
  )
}
