import { type ChildProcess, spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import type { Readable, Writable } from 'node:stream'
import { BranchMergeError } from '../errors.js'
import type { Python } from './findPython.js'
import { encodeFrame, type Frame, FrameReader, ProtocolError } from './frames.js'
import type { SandboxLevel } from './program.js'

/** How a sandbox is started. */
export interface SandboxStart {
  binary: string
  python: Python
  minimumLevel: SandboxLevel
  /** Whom programs run as where we are root. */
  userId: number
}

/** The sandbox ended, or said what it cannot have said, before it answered. */
export class SandboxEnded extends Error {}

/** This interpreter does not start here; another may. */
export class PythonFails extends Error {}

const startSeconds = 60
const keptLogBytes = 4096

/** What branchmerge-sandbox says on its status descriptor. */
interface Reached {
  level: SandboxLevel
  notes: string[]
}
type StatusLine =
  | Reached
  | { failed: 'python'; message: string }
  | { failed: 'setup'; message: string }
  | { failed: 'level'; reached: Reached }

/**
 * One branchmerge-sandbox with its interpreter. It answers one request at a time. It has a process group of its own, which is killed as
 * a whole; and it ends by itself when its standard input closes, as when this process dies.
 */
export class SandboxProcess {
  level: SandboxLevel = 0
  /** It has ended, or was killed. */
  ended = false
  private readonly child: ChildProcess
  private readonly reader = new FrameReader()
  private readonly gone: Promise<void>
  private pending: { resolve: (frame: Frame) => void; reject: (error: Error) => void } | undefined
  private log = ''
  private reason = 'the sandbox ended'

  private constructor({ binary, python, minimumLevel, userId }: SandboxStart) {
    const args = [
      ...['--python', python.executable, '--user-id', String(userId), '--minimum-level', String(minimumLevel)],
      ...python.readable.flatMap((path) => ['--readable', path]),
    ]
    this.child = spawn(binary, args, { detached: true, stdio: ['pipe', 'pipe', 'pipe', 'pipe'], env: {}, cwd: '/' })
    const { stdin, stdout, stderr } = this.child as { stdin: Writable; stdout: Readable; stderr: Readable }
    this.gone = new Promise((resolve) => {
      this.child.on('error', (error) => this.end(`${binary} did not start: ${error.message}`))
      this.child.on('close', (code, signal) => {
        this.end(`the sandbox ended with ${signal ?? code}${this.log === '' ? '' : `: ${this.log.trim()}`}`)
        resolve()
      })
    })
    stdin.on('error', () => {}) // it has ended, which is told elsewhere
    stdout.on('data', (chunk: Buffer) => this.receive(chunk))
    stderr.on('data', (chunk: Buffer) => {
      this.log = (this.log + chunk.toString('latin1')).slice(-keptLogBytes)
    })
  }

  /**
   * Starts a sandbox and waits until it has tested itself.
   *
   * @throws ERR_SANDBOX; PythonFails; SandboxEnded
   */
  static async start(options: SandboxStart): Promise<SandboxProcess> {
    const sandbox = new SandboxProcess(options)
    try {
      const ready = sandbox.expect(0, startSeconds)
      ready.catch(() => {})
      const status = await sandbox.readStatus()
      if ('failed' in status) throw startFailure(status, options)
      sandbox.level = status.level
      const { header } = await ready.catch((error) => {
        throw new PythonFails(`${options.python.executable}: ${(error as Error).message}`)
      })
      checkSelfTest(header, status.level)
      sandbox.hold(false)
      return sandbox
    } catch (error) {
      await sandbox.kill()
      throw error
    }
  }

  /**
   * Asks and waits for the answer.
   *
   * @param maxPartBytes - of each part of the answer
   * @param seconds - after which the sandbox is taken for broken
   * @throws SandboxEnded
   */
  async request(
    header: Record<string, unknown>,
    parts: readonly Buffer[],
    { maxPartBytes, seconds }: { maxPartBytes: number; seconds: number },
  ): Promise<Frame> {
    this.hold(true)
    try {
      const answer = this.expect(maxPartBytes, seconds)
      const { stdin } = this.child
      if (!this.ended && stdin !== null) {
        stdin.cork()
        for (const piece of encodeFrame(header, parts)) stdin.write(piece)
        stdin.uncork()
      }
      return await answer
    } finally {
      this.hold(false)
    }
  }

  /** Kills all of it, and waits until it is gone. */
  async kill(reason?: string): Promise<void> {
    this.end(reason)
    this.hold(true) // or this process might end before it is gone
    await this.gone
  }

  private expect(maxPartBytes: number, seconds: number): Promise<Frame> {
    if (this.ended) return Promise.reject(new SandboxEnded(this.reason))
    return new Promise<Frame>((resolve, reject) => {
      const timer = setTimeout(() => this.end(`no answer in ${seconds} s`), seconds * 1000)
      const settle = () => {
        clearTimeout(timer)
        this.pending = undefined
      }
      this.reader.maxPartBytes = maxPartBytes
      this.pending = {
        resolve: (frame) => {
          settle()
          resolve(frame)
        },
        reject: (error) => {
          settle()
          reject(error)
        },
      }
    })
  }

  private receive(chunk: Buffer): void {
    if (this.ended) return
    try {
      if (this.pending === undefined) throw new ProtocolError('a reply to no request')
      const frame = this.reader.push(chunk)
      if (frame) this.pending.resolve(frame)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.end(`it sent ${error.message}`)
    }
  }

  /** No answer comes any more, and no process is left. */
  private end(reason?: string): void {
    const { pid, exitCode, signalCode } = this.child
    if (pid !== undefined && exitCode === null && signalCode === null) {
      try {
        process.kill(-pid, 'SIGKILL')
      } catch {
        // It has just ended.
      }
    }
    if (this.ended) return
    this.ended = true
    if (reason !== undefined) this.reason = reason
    this.pending?.reject(new SandboxEnded(this.reason))
  }

  private readStatus(): Promise<StatusLine> {
    const pipe = this.child.stdio[3] as Readable
    return new Promise((resolve, reject) => {
      let text = ''
      pipe.on('data', (chunk: Buffer) => {
        text += chunk.toString('utf8')
        const end = text.indexOf('\n')
        if (end >= 0) resolve(JSON.parse(text.slice(0, end)) as StatusLine)
      })
      pipe.on('error', reject)
      pipe.on('close', () => {
        void this.gone.then(() =>
          reject(new BranchMergeError('ERR_SANDBOX', `The sandbox did not start: ${this.reason}`)),
        )
      })
    })
  }

  /** Whether this process waits for the sandbox before it ends. */
  private hold(holds: boolean): void {
    if (holds) this.child.ref()
    else this.child.unref()
    for (const stream of this.child.stdio as unknown as Socket[]) {
      if (stream.destroyed) continue
      if (holds) stream.ref()
      else stream.unref()
    }
  }
}

function startFailure(status: Exclude<StatusLine, Reached>, { minimumLevel }: SandboxStart): Error {
  if (status.failed === 'python') return new PythonFails(status.message)
  if (status.failed !== 'level') return new BranchMergeError('ERR_SANDBOX', `There is no sandbox: ${status.message}`)
  const { level, notes } = status.reached
  const lines = [
    `Expected a sandbox of level ${minimumLevel} but this system allows level ${level}:`,
    ...notes.map((note) => `  ${note}`),
    'Programs that a model writes could do more than compute. Landlock needs Linux 5.13 with landlock among its security modules',
    '(/sys/kernel/security/lsm); namespaces need user.max_user_namespaces above 0 and, on Ubuntu,',
    'kernel.apparmor_restrict_unprivileged_userns=0; seccomp needs a kernel with CONFIG_SECCOMP_FILTER.',
    `Or accept what level ${level} leaves open (docs/evaluate-sandbox.md): minimumLevel ${level}, --sandbox-level ${level}.`,
  ]
  return new BranchMergeError('ERR_SANDBOX', lines.join('\n'))
}

/** What programs can do without Landlock and namespaces, when they have been allowed to do without. */
const aboutFiles = /^(read|write in) /

function checkSelfTest({ escapes, problem }: Record<string, unknown>, level: SandboxLevel): void {
  if (typeof problem === 'string') {
    throw new BranchMergeError('ERR_SANDBOX', `The sandbox's self-test did not run to its end: ${problem}`)
  }
  if (!Array.isArray(escapes)) throw new PythonFails('the interpreter did not report its self-test')
  if (level === 0) return
  const allowed = level === 1 ? aboutFiles : /^$/
  const wrong = escapes.filter((deed) => !allowed.test(String(deed)))
  if (wrong.length === 0) return
  throw new BranchMergeError(
    'ERR_SANDBOX',
    `The sandbox has level ${level}, but its self-test could ${wrong.join(', ')}. No program is run in it.`,
  )
}
