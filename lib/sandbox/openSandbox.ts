import { BranchMergeError } from '../errors.js'
import { threadsOfProcess } from '../machineLimits.js'
import { checkOptionNames, invalidArgument } from '../validate.js'
import { AloneLock } from './aloneLock.js'
import { checkRun } from './checkRun.js'
import { describePython, noPython, type Python, pythonCandidates } from './findPython.js'
import { findSandbox } from './findSandbox.js'
import type {
  CodeOutline,
  Program,
  ProgramInput,
  ProgramLimits,
  ProgramRunner,
  RunOutcome,
  SandboxLevel,
} from './program.js'
import { PythonFails, SandboxProcess } from './sandboxProcess.js'
import { SandboxSlot } from './sandboxSlot.js'

export interface OpenSandboxOptions {
  /** Programs that run at the same time. Default: one less than the cores, so that the clock of each is its own. */
  workers?: number | undefined
  /** Below it nothing is run. Default: 2. */
  minimumLevel?: SandboxLevel | undefined
  /** The interpreter. Default: the first python3 on PATH that works in the sandbox. */
  python?: string | undefined
  /** Ends the opening. */
  signal?: AbortSignal | undefined
}

/** More than the cores of any machine, and few enough to have a user each. */
const maxWorkers = 1024

/**
 * Users that no system gives to people: from here on, one for each sandbox. Two processes of this machine seldom share one, and lose
 * nothing when they do but threads.
 */
const firstUserId = 60_000
const userIds = 5000

/**
 * Opens a sandbox for Python programs that nobody trusts. It uses processes, and says which level of isolation they have. Close it.
 *
 * @throws ERR_SANDBOX where the sandbox is not built, there is no python3, this system does not allow the level, or the self-test
 *   fails; ERR_INVALID_ARGUMENT; the signal's reason after an abort
 */
export async function openSandbox(options: OpenSandboxOptions = {}): Promise<ProgramRunner & { python: string }> {
  const { workers = Math.max(1, threadsOfProcess() - 1), minimumLevel = 2, python, signal } = options
  checkOptionNames(options, ['workers', 'minimumLevel', 'python', 'signal'])
  if (!Number.isInteger(workers) || workers < 1 || workers > maxWorkers) {
    throw invalidArgument(`an integer from 1 to ${maxWorkers}`, 'workers', workers)
  }
  if (![0, 1, 2, 3].includes(minimumLevel)) throw invalidArgument('0, 1, 2 or 3', 'minimumLevel', minimumLevel)
  if (python !== undefined && (typeof python !== 'string' || python === '')) {
    throw invalidArgument('a path', 'python', python)
  }
  signal?.throwIfAborted()
  const binary = await findSandbox()
  const first = await startFirst(binary, python === undefined ? pythonCandidates() : [python], minimumLevel, signal)
  return new Sandbox(
    first.process,
    workers,
    (slot) => SandboxProcess.start({ binary, python: first.python, minimumLevel, userId: userIdOf(slot) }),
    first.python.executable,
  )
}

const userIdOf = (slot: number): number => firstUserId + (((process.pid % 78) * 64 + slot) % userIds)

/** The first interpreter that starts in a sandbox, and that sandbox. */
async function startFirst(
  binary: string,
  candidates: readonly string[],
  minimumLevel: SandboxLevel,
  signal: AbortSignal | undefined,
): Promise<{ process: SandboxProcess; python: Python }> {
  const problems: string[] = []
  const tried = new Set<string>()
  for (const path of candidates) {
    const python = await describePython(path)
    signal?.throwIfAborted()
    if (typeof python === 'string') {
      problems.push(python)
      continue
    }
    if (tried.has(python.executable)) continue
    tried.add(python.executable)
    try {
      const process = await SandboxProcess.start({ binary, python, minimumLevel, userId: userIdOf(0) })
      if (signal?.aborted) await process.kill()
      signal?.throwIfAborted()
      return { process, python }
    } catch (error) {
      if (!(error instanceof PythonFails)) throw error
      problems.push(error.message)
    }
  }
  throw noPython(problems)
}

interface Waiting {
  start: (slot: SandboxSlot) => void
  fail: (error: unknown) => void
}

class Sandbox implements ProgramRunner {
  readonly level: SandboxLevel
  private readonly lock = new AloneLock()
  private readonly idle: SandboxSlot[]
  private readonly slots: SandboxSlot[]
  private waiting: Waiting[] = []
  private closed = false

  constructor(
    first: SandboxProcess,
    workers: number,
    start: (slot: number) => Promise<SandboxProcess>,
    readonly python: string,
  ) {
    this.level = first.level
    this.slots = Array.from({ length: workers }, (_, i) => new SandboxSlot(() => start(i), i === 0 ? first : undefined))
    this.idle = this.slots.toReversed()
  }

  outline(code: string, signal?: AbortSignal): Promise<CodeOutline> {
    if (typeof code !== 'string') throw invalidArgument('a string', 'code', code)
    return this.withSlot(signal, (slot) => this.lock.run(false, signal, () => slot.outline(code, signal)))
  }

  run(
    program: Program,
    inputs: readonly ProgramInput[],
    limits: ProgramLimits,
    options: {
      signal?: AbortSignal | undefined
      goOn?: ((outcome: RunOutcome, index: number) => boolean) | undefined
    } = {},
  ): Promise<RunOutcome[]> {
    checkRun(program, inputs, limits)
    const { signal, goOn = () => true } = options
    return this.withSlot(signal, async (slot) => {
      const outcomes: RunOutcome[] = []
      for (const [index, input] of inputs.entries()) {
        let outcome = await this.lock.run(false, signal, () => slot.run(program, input, limits, signal))
        // It may have been slow because of what else ran.
        if (outcome.status === 'timeout') {
          outcome = await this.lock.run(true, signal, () => slot.run(program, input, limits, signal))
        }
        outcomes.push(outcome)
        if (!goOn(outcome, index)) break
      }
      return outcomes
    })
  }

  async close(): Promise<void> {
    if (this.closed) return
    this.closed = true
    const error = closedError()
    for (const { fail } of this.waiting.splice(0)) fail(error)
    await Promise.all(this.slots.map((slot) => slot.close()))
  }

  /** Work on a sandbox that nobody else uses; an abort kills what runs in it. */
  private async withSlot<T>(signal: AbortSignal | undefined, work: (slot: SandboxSlot) => Promise<T>): Promise<T> {
    const slot = await this.acquire(signal)
    const abort = () => void slot.kill()
    signal?.addEventListener('abort', abort, { once: true })
    try {
      signal?.throwIfAborted()
      const result = await work(slot)
      signal?.throwIfAborted()
      return result
    } catch (error) {
      signal?.throwIfAborted()
      if (this.closed) throw closedError()
      throw error
    } finally {
      signal?.removeEventListener('abort', abort)
      this.release(slot)
    }
  }

  private acquire(signal: AbortSignal | undefined): Promise<SandboxSlot> {
    if (this.closed) return Promise.reject(closedError())
    signal?.throwIfAborted()
    const slot = this.idle.pop()
    if (slot) return Promise.resolve(slot)
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.waiting = this.waiting.filter((one) => one !== entry)
        reject(signal?.reason)
      }
      const entry: Waiting = {
        start: (free) => {
          signal?.removeEventListener('abort', leave)
          resolve(free)
        },
        fail: (error) => {
          signal?.removeEventListener('abort', leave)
          reject(error)
        },
      }
      signal?.addEventListener('abort', leave, { once: true })
      this.waiting.push(entry)
    })
  }

  private release(slot: SandboxSlot): void {
    const next = this.waiting.shift()
    if (next) next.start(slot)
    else this.idle.push(slot)
  }
}

const closedError = () => new BranchMergeError('ERR_SANDBOX', 'The sandbox is closed')
