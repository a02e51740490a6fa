import { constants } from 'node:os'
import { BranchMergeError } from '../errors.js'
import { hostOf, type Silence, unfinishedRanks } from './heartbeats.js'
import type { ErrorEvent } from './trainerEvents.js'

/** The process that failed first, as far as it can be told. */
export interface FirstFailure {
  rank: number | undefined
  host: string | undefined
  /** The trainer's own code; undefined when the process could not say one. */
  code: string | undefined
  message: string
}

/** What is known when the trainer has ended without success. */
export interface TrainingEnd {
  processes: number
  exitCode: number | null
  exitSignal: NodeJS.Signals | null
  /** Of all processes, in the order of their coming. */
  errors: readonly ErrorEvent[]
  silence: Silence | undefined
  /** What processes and starter wrote that is no event. */
  log: readonly string[]
}

const shownLines = 20

/** What mpirun and srun say of a process that a signal ended; it could not say it itself. */
const killedPatterns = [
  /process rank (?<rank>\d+) with PID \d+ on node (?<host>\S+) exited on (?<signal>signal \d+(?: \([^)]*\))?)/,
  /srun: error: (?<host>\S+): task (?<rank>\d+): (?<signal>Killed|Aborted|Terminated|Segmentation fault|Bus error|Out Of Memory)/,
]

/** A process of which mpirun or srun say that a signal ended it. */
export function killedProcess(log: readonly string[]): FirstFailure | undefined {
  // Open MPI 5 breaks its lines.
  const text = log.join(' ').replace(/\s+/g, ' ')
  for (const pattern of killedPatterns) {
    const { rank, host, signal } = pattern.exec(text)?.groups ?? {}
    if (rank === undefined) continue
    return { rank: Number(rank), host, code: undefined, message: `it was ended by ${signal}` }
  }
  return undefined
}

/** Which process failed first: one that says so, one that stopped showing life, or one that mpirun or srun tells of. */
export async function firstFailure(directory: string, end: TrainingEnd): Promise<FirstFailure> {
  if (end.silence) return ofSilence(end.silence)
  const [first] = end.errors
  if (first) return { ...first, host: await hostOf(directory, first.rank) }
  const killed = killedProcess(end.log)
  if (killed) return killed
  const nameless = { host: undefined, code: undefined, message: `it ended with ${endText(end)} and gave no reason` }
  if (end.processes === 1) return { rank: 0, ...nameless }
  const [rank, ...others] = await unfinishedRanks(directory, end.processes)
  // Several: the first one, and those that were ended after it.
  if (rank === undefined || others.length > 0) return { rank: undefined, ...nameless }
  return { rank, host: await hostOf(directory, rank), code: undefined, message: 'it ended and gave no reason' }
}

function ofSilence({ rank, host, step, seconds }: Silence): FirstFailure {
  const last = step === undefined ? '' : `; its last step was ${step}`
  return { rank, host, code: undefined, message: `it has shown no sign of life for ${Math.round(seconds)} s${last}` }
}

function endText({ exitCode, exitSignal }: TrainingEnd): string {
  if (exitSignal) return exitSignal
  const signal = Object.entries(constants.signals).find(([, number]) => exitCode === 128 + number)?.[0]
  return signal ? `exit code ${exitCode} (${signal})` : `exit code ${exitCode}`
}

/** ERR_TRAINING_FAILED that shows the process, its host, its code and message, and the last lines of the log. */
export function trainingError(failure: FirstFailure, log: readonly string[], logFile: string): BranchMergeError {
  const { rank, host, code, message } = failure
  const who = `${rank === undefined ? 'A process' : `Rank ${rank}`}${host === undefined ? '' : ` on ${host}`}`
  const lines = log.slice(-shownLines).map((line) => `  | ${line}`)
  return new BranchMergeError(
    'ERR_TRAINING_FAILED',
    [
      `${who} failed first: ${message}${code === undefined ? '' : ` [${code}]`}`,
      ...(lines.length > 0 ? [`The last lines of ${logFile}:`, ...lines] : []),
      'With --resume (resume: true) training continues from the last snapshot.',
    ].join('\n'),
  )
}
