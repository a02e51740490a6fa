import { spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { BranchMergeError } from '../errors.js'
import { HeartbeatWatch, type Silence, unfinishedRanks } from './heartbeats.js'
import type { Launch } from './launchCommand.js'
import { type ErrorEvent, LineReader, parseEvent, type TrainingEvent } from './trainerEvents.js'
import { firstFailure, killedProcess, trainingError } from './trainingFailure.js'

/** How training ended without an error. */
export type TrainingOutcome = 'done' | 'requeue' | 'interrupted'

/** Saved, and to be started again. */
export const requeueExitCode = 85
const interruptedExitCode = 130

export interface Supervision {
  launch: Launch
  /** `training/` of the output. */
  directory: string
  heartbeatTimeout: number
  /** What it throws, or the promise that it returns rejects with, ends the training. */
  onEvent: (event: TrainingEvent) => unknown
  /** The same for lines that are no events. */
  onLog: (line: string) => unknown
}

/** Time for mpirun and srun to kill what they have started. */
const starterSeconds = 10
/** Time in which a file that another host has written is seen here. */
const sharedFileSeconds = 30
/** Lines that are kept for the report of a failure. */
const keptLines = 200

export const logFileName = 'trainer.log'

/**
 * A trainer at work. It has a process group of its own: Ctrl-C in the terminal reaches us alone, and it gets one signal, not
 * two, of which the second would end it at once. Its standard input is a pipe that nothing is written to: when this process
 * ends, however it does, the pipe ends too, and the trainer saves and ends (`--attached`).
 */
export class SupervisedTrainer {
  readonly outcome: Promise<TrainingOutcome>
  private readonly pid: number | undefined
  private readonly errors: ErrorEvent[] = []
  private readonly log: string[] = []
  private lastEnd: TrainingOutcome | undefined
  private interrupted = false
  /** It has told something: then its processes catch signals. */
  private heard = false
  private pendingStop: 'interrupt' | 'requeue' | undefined
  private silence: Silence | undefined
  private ended = false
  /** What a listener threw. */
  private thrown: { error: unknown } | undefined

  constructor(private readonly options: Supervision) {
    const { launch, directory } = options
    const [file, ...args] = launch.command
    const child = spawn(file, [...args, '--attached'], {
      detached: true,
      env: { ...process.env, ...launch.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    })
    // It is never written to; that it closes is said by the end of the process.
    child.stdin.on('error', () => {})
    this.pid = child.pid
    const logFile = createWriteStream(join(directory, logFileName), { flags: 'a' })
    // A log that cannot be written must not end the training.
    logFile.on('error', () => {})
    const reader = new LineReader((line) => this.take(line, (text) => logFile.write(`${text}\n`)))
    const errorReader = new LineReader((line) => this.take(line, (text) => logFile.write(`${text}\n`)))
    child.stdout.setEncoding('utf8').on('data', (text) => reader.push(text))
    child.stderr.setEncoding('utf8').on('data', (text) => errorReader.push(text))
    const { heartbeatTimeout } = options
    const watch = new HeartbeatWatch(directory, launch.processes, heartbeatTimeout, (silence) => {
      this.silence = silence
      this.kill()
    })
    const exit = new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.on('error', (cause) => reject(startFailure(file, cause)))
      child.on('close', (code, signal) => resolve([code, signal]))
    })
    this.outcome = exit
      .finally(() => {
        this.ended = true
        watch.end()
        reader.end()
        errorReader.end()
        logFile.end()
      })
      .then(([code, signal]) => this.outcomeOf(code, signal))
  }

  /** Asks it to save and end. `requeue`: to be started again. */
  stop(kind: 'interrupt' | 'requeue'): void {
    if (kind === 'interrupt') this.interrupted = true
    if (!this.heard) {
      this.pendingStop = kind
      return
    }
    // mpirun and srun answer SIGINT by ending the processes; SIGUSR1 they hand on.
    const direct = this.options.launch.starter === 'process'
    this.send(kind === 'interrupt' && direct ? 'SIGINT' : 'SIGUSR1', direct ? 'process' : 'starter')
  }

  /** Ends it at once. What was saved before is all that is left. */
  kill(): void {
    if (this.options.launch.starter === 'process') {
      this.send('SIGKILL', 'group')
      return
    }
    // mpirun and srun then kill the processes, on other hosts too. Were they killed themselves, the processes would stay.
    this.send('SIGTERM', 'starter')
    setTimeout(() => this.send('SIGKILL', 'group'), starterSeconds * 1000).unref()
  }

  private send(signal: NodeJS.Signals, to: 'process' | 'starter' | 'group'): void {
    if (this.pid === undefined || this.ended) return
    try {
      process.kill(to === 'group' ? -this.pid : this.pid, signal)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
    }
  }

  private take(line: string, write: (text: string) => void): void {
    const event = parseEvent(line)
    if (event) this.hear()
    if (event?.event === 'error') this.errors.push(event as ErrorEvent)
    else if (event) {
      if (event.event === 'end') this.lastEnd = (event as { reason: TrainingOutcome }).reason
      this.tell(() => this.options.onEvent(event as TrainingEvent))
      return
    }
    const text = event ? describe(event as ErrorEvent) : line
    write(text)
    this.log.push(text)
    if (this.log.length > keptLines) this.log.shift()
    this.tell(() => this.options.onLog(text))
  }

  /** Calls a listener. When that fails, the trainer saves and ends, and its outcome is that failure. */
  private tell(listener: () => unknown): void {
    const fail = (error: unknown) => {
      // A promise that rejects when the outcome is known has nobody else to tell.
      if (this.ended) throw error
      this.thrown ??= { error }
      this.stop('requeue')
    }
    if (this.thrown) return
    try {
      Promise.resolve(listener()).catch(fail)
    } catch (error) {
      fail(error)
    }
  }

  private hear(): void {
    this.heard = true
    const { pendingStop } = this
    this.pendingStop = undefined
    if (pendingStop) this.stop(pendingStop)
  }

  private async outcomeOf(exitCode: number | null, exitSignal: NodeJS.Signals | null): Promise<TrainingOutcome> {
    const { silence, errors, log, thrown } = this
    if (thrown) throw thrown.error
    if (exitCode === 0) return 'done'
    if (!silence && errors.length === 0) {
      if (exitCode === interruptedExitCode || this.lastEnd === 'interrupted') return 'interrupted'
      if (await this.hasSaved(exitCode)) return this.interrupted ? 'interrupted' : 'requeue'
    }
    const { directory, launch } = this.options
    const { processes } = launch
    const failure = await firstFailure(directory, { processes, exitCode, exitSignal, errors, silence, log })
    throw trainingError(failure, log, join(directory, logFileName))
  }

  /**
   * Whether it is to be started again because all of its processes saved. When one is killed, mpirun and srun send SIGTERM to
   * the others, and rank 0 may then save and say so, as if it had been asked to.
   */
  private async hasSaved(exitCode: number | null): Promise<boolean> {
    if (exitCode !== requeueExitCode && this.lastEnd !== 'requeue') return false
    const { directory, launch } = this.options
    if (launch.starter === 'process') return true
    const end = performance.now() + sharedFileSeconds * 1000
    while (!killedProcess(this.log)) {
      if ((await unfinishedRanks(directory, launch.processes)).length === 0) return true
      if (performance.now() > end) return false
      await delay(500)
    }
    return false
  }
}

const describe = ({ rank, message, code }: ErrorEvent): string => `rank ${rank}: ${message} [${code}]`

function startFailure(file: string, cause: Error): BranchMergeError {
  return new BranchMergeError('ERR_TRAINING_FAILED', `Cannot start ${file}: ${cause.message}`, { cause })
}
