import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { BranchMergeError, type ErrorCode } from '../errors.js'
import { type ErrorEvent, type PlanEvent, parseEvent } from './trainerEvents.js'

/**
 * What the trainer says that a run of so many processes will do and need: one process opens the data and the model's headers,
 * and loads nothing.
 *
 * @throws what the trainer refuses, with its code; ERR_TRAINING_FAILED when it says no code
 */
export async function planTraining(
  trainer: string,
  runFile: string,
  processes: number,
  signal: AbortSignal | undefined,
): Promise<PlanEvent> {
  // As mpirun tells rank 0 of so many; the first place where the trainer looks.
  const env = { ...process.env, OMPI_COMM_WORLD_RANK: '0', OMPI_COMM_WORLD_SIZE: String(processes) }
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
