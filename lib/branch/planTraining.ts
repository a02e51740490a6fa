import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { BranchMergeError, type ErrorCode } from '../errors.js'
import type { Launch } from './launchCommand.js'
import { type ErrorEvent, type PlanEvent, parseEvent } from './trainerEvents.js'

/**
 * What the trainer says that a run will do and need: it opens the data and the model's headers, and loads nothing. As many
 * processes are started as for the run.
 *
 * @param launch - of a run file that every process will find
 * @throws what the trainer refuses, with its code (ERR_OUT_OF_MEMORY and such); ERR_TRAINING_FAILED when it says no code
 */
export async function planTraining({ command, env }: Launch, signal?: AbortSignal): Promise<PlanEvent> {
  const [file, ...args] = command
  const options = { env: { ...process.env, ...env }, ...(signal && { signal }) }
  try {
    const { stdout } = await promisify(execFile)(file, [...args, '--plan'], options)
    return JSON.parse(stdout) as PlanEvent
  } catch (cause) {
    signal?.throwIfAborted()
    throw refusal([file, ...args].join(' '), cause as Error & { stderr?: string })
  }
}

function refusal(command: string, cause: Error & { stderr?: string }): BranchMergeError {
  const lines = (cause.stderr ?? '').split('\n')
  const said = lines.map(parseEvent).find((event): event is ErrorEvent => event?.event === 'error')
  if (said) return new BranchMergeError(said.code as ErrorCode, said.message, { cause })
  return new BranchMergeError(
    'ERR_TRAINING_FAILED',
    `Expected a plan from ${command} --plan but it failed: ${cause.message.trim()}`,
    { cause },
  )
}
