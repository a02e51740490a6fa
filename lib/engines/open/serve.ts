import { type ChildProcess, spawn } from 'node:child_process'
import { setMaxListeners } from 'node:events'
import { createWriteStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { BranchMergeError } from '../../errors.js'
import { outputFailure } from '../../files/outputDirectory.js'

/** A server that this process started. */
export interface ServedModel {
  /** Its base URL. */
  url: string
  /** File with what it printed. */
  log: string
  pid: number
  /** Aborted, with an error that says why, once the server has ended by itself. */
  ended: AbortSignal
  /** Ends it and all that it started. */
  stop(): Promise<void>
}

export interface ServeOptions {
  path: string
  command: string
  /** Milliseconds until it must answer. */
  startTimeout: number
  log: string | undefined
  signal: AbortSignal | undefined
  /** Called about every second while it starts, with the seconds so far. */
  onWait?: ((seconds: number) => void) | undefined
}

/** Process groups that must not outlive this process. */
const running = new Set<number>()
let isWatching = false

function endWithThisProcess(pid: number): void {
  running.add(pid)
  if (isWatching) return
  isWatching = true
  process.on('exit', () => {
    for (const each of running) signalGroup(each, 'SIGKILL')
  })
}

/**
 * A shell that waits for the end of this process and then ends the group: after a `kill -9` nothing here runs any more. It waits
 * for the end of its stdin, whose other end only this process has, in a session of its own, which Ctrl-C does not reach.
 */
function watcherOf(pid: number): ChildProcess {
  const watcher = spawn('/bin/sh', ['-c', `read -r line; kill -s KILL -- -${pid}`], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  })
  watcher.on('error', () => {}) // no shell: the server then outlives a kill -9
  watcher.unref()
  // It keeps this process no longer either.
  ;(watcher.stdin as Socket | null)?.unref()
  return watcher
}

/**
 * Starts the command that serves a checkpoint, on a free port of this machine, and waits until it answers.
 *
 * @throws ERR_ENGINE where it ends or does not answer in time, with the last lines that it printed; ERR_INVALID_ARGUMENT for a
 *   command that cannot be read; ERR_OUTPUT_WRITE for its log; the signal's reason after an abort. Nothing is left running then.
 */
export async function serveModel(options: ServeOptions): Promise<ServedModel> {
  const { signal } = options
  signal?.throwIfAborted()
  const port = await freePort()
  const { file, args, env } = commandOf(options.command, options.path, port)
  const log = options.log ?? join(tmpdir(), `branchmerge-serve-${process.pid}-${port}.log`)
  const handle = await open(log, 'w').catch((cause) => {
    throw outputFailure(log, cause)
  })
  const child = spawn(file, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A group of its own, so that the workers that it starts are stopped with it.
    detached: true,
  })
  const lines = new LastLines()
  const output = createWriteStream(log, { fd: handle.fd, autoClose: false })
  output.on('error', () => {}) // a log that cannot be written, on a full disk, ends no server
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (bytes: Buffer) => {
      lines.push(bytes.toString('utf8'))
      if (output.writable) output.write(bytes)
    })
  }
  const ended = new AbortController()
  // Every answer that is on its way listens.
  setMaxListeners(0, ended.signal)
  let isStopped = false
  const { pid } = child
  const watcher = pid === undefined ? undefined : watcherOf(pid)
  const whenEnded = new Promise<void>((resolve) => {
    const finish = (how: string) => {
      // Its number may become that of another group.
      if (pid !== undefined && !isGroupRunning(pid)) watcher?.kill('SIGKILL')
      if (!isStopped && !ended.signal.aborted) ended.abort(endedError(options.command, how, lines, log))
      resolve()
    }
    child.once('error', (error) => finish(error.message))
    const how = (code: number | null, by: string | null) =>
      by === null ? `it ended with exit code ${code}` : `it was ended by ${by}`
    child.once('close', (code, by) => finish(how(code, by)))
    // Workers that it leaves hold its pipes open, so that they close only with the last of them.
    child.once('exit', (code, by) => setTimeout(() => finish(how(code, by)), 200))
  })
  if (pid !== undefined) endWithThisProcess(pid)
  const stop = async () => {
    isStopped = true
    if (pid !== undefined) await endGroup(pid, whenEnded)
    watcher?.kill('SIGKILL')
    await new Promise<void>((resolve) => output.end(() => resolve()))
    await handle.close().catch(() => {}) // closed by an earlier stop
  }
  const url = `http://127.0.0.1:${port}/v1`
  try {
    await whenReady(url, options, ended.signal, lines, log)
  } catch (error) {
    await stop()
    throw error
  }
  return { url, log, pid: pid as number, ended: ended.signal, stop }
}

async function whenReady(
  url: string,
  { command, startTimeout, signal, onWait }: ServeOptions,
  ended: AbortSignal,
  lines: LastLines,
  log: string,
): Promise<void> {
  const begun = performance.now()
  const anyEnd = AbortSignal.any([ended, ...(signal ? [signal] : [])])
  for (let pause = 100; ; pause = Math.min(1000, pause * 1.5)) {
    anyEnd.throwIfAborted()
    if (await answers(`${url}/models`, anyEnd)) return
    const waited = performance.now() - begun
    if (waited > startTimeout) {
      throw endedError(command, `it did not answer at ${url}/models within ${startTimeout / 1000} s`, lines, log)
    }
    onWait?.(waited / 1000)
    await sleep(pause, undefined, { signal: anyEnd }).catch(() => {})
  }
}

/** 200, as servers answer once their model is loaded. */
async function answers(url: string, signal: AbortSignal): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(5000)]) })
    await response.arrayBuffer()
    return response.ok
  } catch {
    return false
  }
}

const endedError = (command: string, how: string, lines: LastLines, log: string): BranchMergeError =>
  new BranchMergeError(
    'ERR_ENGINE',
    `Cannot use the server that "${command}" starts: ${how}. All that it printed is in ${log}; the end of it:\n${lines.text()}`,
  )

/** The end of what a program printed. */
class LastLines {
  private kept = ''

  push(text: string): void {
    this.kept = (this.kept + text).slice(-8192)
  }

  text(): string {
    return this.kept.trim().split('\n').slice(-20).join('\n') || '(nothing)'
  }
}

/** First asked, then made to. */
async function endGroup(pid: number, whenEnded: Promise<void>): Promise<void> {
  signalGroup(pid, 'SIGTERM')
  const begun = performance.now()
  while (isGroupRunning(pid) && performance.now() - begun < 10_000) await sleep(50)
  signalGroup(pid, 'SIGKILL')
  // Pipes that a process outside of the group holds are not waited for.
  await Promise.race([whenEnded, sleep(2000, undefined, { ref: false })])
  running.delete(pid)
}

function isGroupRunning(pid: number): boolean {
  try {
    process.kill(-pid, 0)
    return true
  } catch {
    return false
  }
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch {
    // no process of it is left
  }
}

/** A port that nobody listens on at this moment. */
async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

/**
 * A command line as words, quoted as a shell has them, with the model and the port in their places; words `NAME=value` in front are
 * variables of its environment.
 *
 * @throws ERR_INVALID_ARGUMENT
 */
export function commandOf(
  command: string,
  model: string,
  port: number,
): { file: string; args: string[]; env: Record<string, string> } {
  const words = splitWords(command).map((word) => word.replaceAll('{model}', model).replaceAll('{port}', String(port)))
  const first = words.findIndex((word) => !/^[A-Za-z_]\w*=/.test(word))
  const file = words[first]
  if (file === undefined) throw unreadable(command, 'it has no program')
  const env = words.slice(0, first).map((word) => {
    const equals = word.indexOf('=')
    return [word.slice(0, equals), word.slice(equals + 1)]
  })
  return { file, args: words.slice(first + 1), env: Object.fromEntries(env) }
}

function splitWords(command: string): string[] {
  const words: string[] = []
  const part = /\s+|'([^']*)'|"((?:[^"\\]|\\.)*)"|\\(.)|([^\s'"\\]+)/gsy
  let word: string | undefined
  while (part.lastIndex < command.length) {
    const begin = part.lastIndex
    const found = part.exec(command)
    if (!found) throw unreadable(command, `the quote at character ${begin + 1} has no end`)
    const [whole, single, double, escaped, plain] = found
    const text = single ?? double?.replace(/\\(["\\$`])/g, '$1') ?? escaped ?? plain
    if (text !== undefined) word = (word ?? '') + text
    else if (whole.trim() === '' && word !== undefined) {
      words.push(word)
      word = undefined
    }
  }
  return word === undefined ? words : [...words, word]
}

const unreadable = (command: string, why: string): BranchMergeError =>
  new BranchMergeError(
    'ERR_INVALID_ARGUMENT',
    `Expected a command line for serve but received ${JSON.stringify(command)}: ${why}`,
  )
