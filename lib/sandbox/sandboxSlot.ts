import { BranchMergeError } from '../errors.js'
import type { Frame } from './frames.js'
import type { CodeOutline, Program, ProgramInput, ProgramLimits, RunOutcome, RunStatus } from './program.js'
import { SandboxEnded, type SandboxProcess } from './sandboxProcess.js'

/** The sandbox compiles for 30 s at most (zygote.py), and may have to wait for a processor. */
const compileSeconds = 120
/** The sandbox keeps a run's time itself; one that does not answer much later is broken. */
const graceSeconds = 60
const maxProblemBytes = 16384
const maxDetailLength = 8192

const statuses: ReadonlySet<unknown> = new Set<RunStatus>([
  'finished',
  'exception',
  'exit',
  'signal',
  'timeout',
  'memory',
  'output',
  'protocol',
])

/** One place for a sandbox: starts it when it is needed, and another when it has ended. */
export class SandboxSlot {
  private program: (Pick<Program, 'code' | 'prelude'> & { entry: string | null; outline: CodeOutline }) | undefined
  private starting: Promise<SandboxProcess> | undefined
  private requests = 0
  private closed = false

  constructor(
    private readonly start: () => Promise<SandboxProcess>,
    private current: SandboxProcess | undefined,
  ) {}

  /** @throws the signal's reason after an abort */
  outline(code: string, signal: AbortSignal | undefined): Promise<CodeOutline> {
    return this.twice(
      signal,
      (sandbox) => this.askOutline(sandbox, { op: 'outline' }, [code]),
      (problem) => ({ compiles: false, problem, names: [] }),
    )
  }

  /**
   * One run. A sandbox that ends meanwhile is not the program's fault at first; twice, it is taken for it.
   *
   * @throws the signal's reason after an abort
   */
  run(
    program: Program,
    input: ProgramInput,
    limits: ProgramLimits,
    signal: AbortSignal | undefined,
  ): Promise<RunOutcome> {
    return this.twice(
      signal,
      async (sandbox) => {
        const outline = await this.load(sandbox, program)
        if (!outline.compiles) return { status: 'exception', stdout: '', detail: outline.problem, seconds: 0 }
        return this.ask(sandbox, program, input, limits)
      },
      (detail) => ({ status: 'protocol', stdout: '', detail, seconds: 0 }),
    )
  }

  /** Kills what runs. The next request starts anew. */
  async kill(): Promise<void> {
    const sandbox = await this.starting?.catch(() => undefined)
    await (sandbox ?? this.current)?.kill('it was stopped')
  }

  async close(): Promise<void> {
    this.closed = true
    await this.kill()
  }

  private async twice<T>(
    signal: AbortSignal | undefined,
    ask: (sandbox: SandboxProcess) => Promise<T>,
    giveUp: (why: string) => T,
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      const sandbox = await this.open()
      try {
        signal?.throwIfAborted()
        return await ask(sandbox)
      } catch (error) {
        await sandbox.kill()
        signal?.throwIfAborted()
        if (this.closed || !(error instanceof SandboxEnded)) throw error
        if (attempt === 2) return giveUp(error.message)
      }
    }
  }

  private async open(): Promise<SandboxProcess> {
    if (this.closed) throw new BranchMergeError('ERR_SANDBOX', 'The sandbox is closed')
    if (this.current && !this.current.ended) return this.current
    await this.current?.kill()
    this.current = undefined
    this.program = undefined
    this.starting = this.start()
    try {
      this.current = await this.starting
    } finally {
      this.starting = undefined
    }
    return this.current
  }

  /** Compiles a program, unless it is the one that this sandbox has. */
  private async load(sandbox: SandboxProcess, program: Program): Promise<CodeOutline> {
    const { code, prelude, entry = null } = program
    const loaded = this.program
    if (loaded && loaded.code === code && loaded.prelude === prelude && loaded.entry === entry) return loaded.outline
    this.program = undefined
    const sources = prelude === undefined ? [code] : [prelude, code]
    const outline = await this.askOutline(sandbox, { op: 'program', entry }, sources)
    this.program = { code, prelude, entry, outline }
    return outline
  }

  private async askOutline(
    sandbox: SandboxProcess,
    request: Record<string, unknown>,
    sources: readonly string[],
  ): Promise<CodeOutline> {
    const parts = sources.map((source) => Buffer.from(source))
    const { header } = await this.request(sandbox, request, parts, { maxPartBytes: 0, seconds: compileSeconds })
    const { compiles, problem, names } = header
    const isRight =
      typeof compiles === 'boolean' &&
      (compiles ? problem === undefined : typeof problem === 'string' && problem.length <= maxProblemBytes) &&
      Array.isArray(names) &&
      names.every((name) => typeof name === 'string')
    if (!isRight) throw new SandboxEnded('it sent an outline that is none')
    return compiles ? { compiles, names } : { compiles, problem: problem as string, names }
  }

  private async ask(
    sandbox: SandboxProcess,
    program: Program,
    input: ProgramInput,
    { seconds, memoryBytes, outputBytes }: ProgramLimits,
  ): Promise<RunOutcome> {
    const texts = input.args ?? [input.stdin]
    const frame = await this.request(
      sandbox,
      { op: 'run', seconds, memory: Math.floor(memoryBytes), output: Math.floor(outputBytes) },
      texts.map((text) => Buffer.from(text)),
      { maxPartBytes: Math.floor(outputBytes), seconds: 2 * seconds + graceSeconds },
    )
    const outcome = readOutcome(frame, program.entry !== undefined)
    // What it has left in its files is not for the next one.
    if (frame.header.used === true) await sandbox.kill()
    return outcome
  }

  private async request(
    sandbox: SandboxProcess,
    request: Record<string, unknown>,
    parts: readonly Buffer[],
    limits: { maxPartBytes: number; seconds: number },
  ): Promise<Frame> {
    const id = ++this.requests
    const frame = await sandbox.request({ ...request, id }, parts, limits)
    if (frame.header.id !== id) throw new SandboxEnded('it answered another request')
    return frame
  }
}

/** @throws SandboxEnded for what the sandbox cannot have sent */
function readOutcome({ header, parts }: Frame, hasEntry: boolean): RunOutcome {
  const { status, detail, seconds } = header
  const [stdout, value] = parts
  const isRight =
    statuses.has(status) &&
    (detail === null || (typeof detail === 'string' && detail.length <= maxDetailLength)) &&
    typeof seconds === 'number' &&
    stdout !== undefined &&
    value !== undefined
  if (!isRight) throw new SandboxEnded('it sent an outcome that is none')
  const outcome: RunOutcome = {
    status: status as RunStatus,
    stdout: new TextDecoder('utf-8', { ignoreBOM: true }).decode(stdout),
    seconds,
  }
  if (detail !== null) outcome.detail = detail as string
  if (status !== 'finished' || !hasEntry) return outcome
  try {
    outcome.value = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value)
    return outcome
  } catch {
    return { ...outcome, status: 'protocol', detail: 'a value that is no text' }
  }
}
