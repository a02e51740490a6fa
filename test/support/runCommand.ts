import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const ownScript = fileURLToPath(new URL('../../bin/branchmerge.js', import.meta.url))

/** NODE_OPTIONS that load a script of test/support before the command. */
export const preload = (name: string): string => `--import=${new URL(name, import.meta.url).href}`

export interface CommandResult {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

export interface CommandOptions {
  cwd?: string
  env?: Record<string, string>
  /** Called when the process runs, for tests that send it signals. */
  onStart?: (child: ChildProcess) => void
  /** Default: bin/branchmerge.js of this package. */
  script?: string
  /** A shell that sets something up and then runs "$@". */
  shell?: string
}

/** Runs `branchmerge` as a user would, in a process of its own. */
export function runCommand(args: string[], options: CommandOptions = {}): Promise<CommandResult> {
  const { cwd, env = {}, onStart, script = ownScript, shell } = options
  const command = [process.execPath, script, ...args]
  const [file, ...rest] = shell ? ['/bin/sh', '-c', shell, 'sh', ...command] : command
  const child = spawn(file as string, rest, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  onStart?.(child)
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text) => {
    output.stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text) => {
    output.stderr += text
  })
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (code, signal) => resolve({ code, signal, ...output }))
  })
}
