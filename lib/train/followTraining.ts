import { execFile } from 'node:child_process'
import { open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { BranchMergeError, type ErrorCode } from '../errors.js'
import { logFileName } from './superviseTrainer.js'
import { LineReader, parseEvent, type TrainingEvent } from './trainerEvents.js'
import { metricsFileName } from './trainingMetrics.js'
import { failureFileName } from './trainingOutput.js'
import { trainingLogName } from './trainingScript.js'

/** How often files are looked at; Slurm is asked as often at first, and then less. */
const fileSeconds = 1
const slurmSeconds = 5
const eagerSeconds = 30
/** Answers of Slurm that may fail in a row: its controller is restarted now and then. */
const patience = 24

const shownLines = 20

export interface Following {
  job: string
  /** `training/` of the output. */
  directory: string
  /** After an abort the job is told to save and end, and the promise rejects with the signal's reason. */
  signal: AbortSignal | undefined
  /** Cancels the job at once. */
  kill?: AbortSignal | undefined
  /** Ends the following with its reason; the job goes on. */
  leave?: AbortSignal | undefined
  onEvent: (event: TrainingEvent) => void
  onLog: (line: string) => void
  /** PENDING, RUNNING, ...; called when it changes. */
  onState: (state: string) => void
}

/**
 * Follows a job that trains, through every requeue, to its end.
 *
 * @throws what the trainer said when it failed; ERR_SLURM when Slurm ended the job otherwise
 */
export async function followTraining(following: Following): Promise<void> {
  const { job, directory, signal, kill, leave, onState } = following
  const tails = [
    new Tail(join(directory, metricsFileName), eventsTo(following)),
    new Tail(join(directory, logFileName), following.onLog),
  ]
  const ask = () => void askToEnd(job)
  const cancel = () => void scancel([job])
  signal?.addEventListener('abort', ask, { once: true })
  if (signal?.aborted) ask()
  kill?.addEventListener('abort', cancel, { once: true })
  try {
    for (const tail of tails) await tail.skip()
    const state = await endOf(job, onState, async () => {
      leave?.throwIfAborted()
      for (const tail of tails) await tail.look()
    })
    for (const tail of tails) await tail.look()
    signal?.throwIfAborted()
    if (state !== 'COMPLETED') throw await failureOf(job, state, directory)
  } finally {
    signal?.removeEventListener('abort', ask)
    kill?.removeEventListener('abort', cancel)
  }
}

function eventsTo({ onEvent }: Following): (line: string) => void {
  return (line) => {
    const event = parseEvent(line)
    if (event && event.event !== 'error') onEvent(event as TrainingEvent)
  }
}

const goingOn = [
  'PENDING',
  'CONFIGURING',
  'RUNNING',
  'COMPLETING',
  'SUSPENDED',
  'REQUEUED',
  'REQUEUE_HOLD',
  'STAGE_OUT',
  'SIGNALING',
  'STOPPED',
  'RESIZING',
  'REQUEUE_FED',
]
/** Slurm puts these back into the queue itself, for the job asks for it. */
const requeuedBySlurm = ['NODE_FAIL', 'PREEMPTED']

/** Waits for the last state of a job, a requeued one included. */
async function endOf(job: string, onState: (state: string) => void, each: () => Promise<void>): Promise<string> {
  let [last, failures, requeueable, changed] = ['', 0, 0, performance.now()]
  for (;;) {
    const state = await stateOf(job)
    failures = state === undefined ? failures + 1 : 0
    if (failures > patience) throw new BranchMergeError('ERR_SLURM', `Slurm no longer knows of job ${job}`)
    if (state !== undefined && state !== last) {
      changed = performance.now()
      onState(state)
    }
    last = state ?? last
    requeueable = requeuedBySlurm.includes(last) ? requeueable + 1 : 0
    const ended = last !== '' && !goingOn.includes(last) && (requeueable === 0 || requeueable > patience)
    if (ended) return last
    const pause = performance.now() - changed < eagerSeconds * 1000 ? fileSeconds : slurmSeconds
    for (let waited = 0; waited < pause; waited += fileSeconds) {
      await each()
      await delay(fileSeconds * 1000)
    }
  }
}

async function stateOf(job: string): Promise<string | undefined> {
  const answer = await promisify(execFile)('scontrol', ['show', 'job', '--oneliner', job]).catch(() => undefined)
  return /\bJobState=(\w+)/.exec(answer?.stdout ?? '')?.[1]
}

/** A job that waits in the queue has nothing to save, and takes no signal. */
async function askToEnd(job: string): Promise<void> {
  await scancel((await stateOf(job)) === 'PENDING' ? [job] : ['--batch', '--signal=INT', job])
}

async function scancel(args: readonly string[]): Promise<void> {
  await promisify(execFile)('scancel', args).catch(() => {}) // the job may have ended meanwhile
}

async function failureOf(job: string, state: string, directory: string): Promise<BranchMergeError> {
  const said = await readFile(join(directory, failureFileName), 'utf8').catch(() => undefined)
  if (said !== undefined) {
    const { code, message } = JSON.parse(said) as { code: ErrorCode; message: string }
    return new BranchMergeError(code, message)
  }
  const log = join(directory, trainingLogName)
  const lines = (await readFile(log, 'utf8').catch(() => '')).trimEnd().split('\n').slice(-shownLines)
  return new BranchMergeError(
    'ERR_SLURM',
    `Job ${job} ended as ${state}. The last lines of ${log}:\n${lines.map((line) => `  | ${line}`).join('\n')}`,
  )
}

/** Lines that are added to a file. */
class Tail {
  private position = 0
  private readonly reader: LineReader

  constructor(
    private readonly path: string,
    onLine: (line: string) => void,
  ) {
    this.reader = new LineReader(onLine)
  }

  /** What is there already is not of interest. */
  async skip(): Promise<void> {
    this.position = await this.size()
  }

  async look(): Promise<void> {
    const size = await this.size()
    // A run that goes on takes back what it will do again.
    if (size < this.position) this.position = size
    if (size === this.position) return
    const handle = await open(this.path)
    try {
      const bytes = Buffer.alloc(size - this.position)
      const { bytesRead } = await handle.read(bytes, 0, bytes.length, this.position)
      // An end within a character waits for the rest of its line.
      const end = bytes.subarray(0, bytesRead).lastIndexOf(0x0a) + 1
      this.position += end
      this.reader.push(bytes.toString('utf8', 0, end))
    } finally {
      await handle.close()
    }
  }

  private async size(): Promise<number> {
    const handle = await open(this.path).catch(() => undefined)
    if (!handle) return 0
    try {
      return (await handle.stat()).size
    } finally {
      await handle.close()
    }
  }
}
