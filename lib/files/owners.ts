import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, readlinkSync } from 'node:fs'
import { open, readdir, readFile, rm, utimes } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** Ends the name of every file that is not finished: <name>.<token>.branchmerge-partial */
export const partialSuffix = '.branchmerge-partial'

/** In the name of a file of a process that would like to write to a directory, and has not yet found out whether it may. */
export const candidateMark = '.candidate.'

/** Nobody needs to make room for it. */
export const isCandidate = (path: string): boolean => path.includes(candidateMark) && path.endsWith(partialSuffix)

/**
 * Who writes an unfinished file. A process number means something on its own host only, since its last start, and in its own
 * container; there it means one process only together with the time at which that started.
 */
export interface Owner {
  pid: number
  /** Clock ticks after the start of the host. */
  started: number
  /** As people know it. */
  host: string
  /** Of the host's start, the container and the host's name. */
  place: string
}

/** Within which a process number means one process, together with the time of its start. */
export interface Place {
  host: string
  /** Of the host's start. */
  boot: string
  /** Of the container. */
  pidNamespace: string
}

/** As an owner has it. */
export const placeName = ({ host, boot, pidNamespace }: Place): string =>
  createHash('sha256')
    .update(JSON.stringify([host, boot, pidNamespace]))
    .digest('hex')
    .slice(0, 8)

const ownTime = () => startOf(readFileSync('/proc/self/stat', 'latin1')) ?? 0

let self: Owner | undefined

function thisProcess(): Owner {
  self ??= {
    pid: process.pid,
    started: orElse(0, ownTime),
    host: (hostname().split('.')[0] ?? '').replace(/\W/g, '_').slice(0, 32) || '_',
    place: placeName({
      host: hostname(),
      boot: orElse('', () => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()),
      pidNamespace: orElse('', () => readlinkSync('/proc/self/ns/pid')),
    }),
  }
  return self
}

function orElse<T>(otherwise: T, read: () => T): T {
  try {
    return read()
  } catch {
    return otherwise // hidden from us, or another system than Linux
  }
}

/** A name for this process's unfinished files, new at each call. */
export function newToken(): string {
  const { pid, started, host, place } = thisProcess()
  return `${pid}-${started}-${host}-${place}-${randomBytes(4).toString('hex')}`
}

/** Who writes the unfinished file of this name; undefined where the name does not say. */
export function ownerOf(name: string): Owner | undefined {
  const [, pid, started, host, place] =
    /\.(\d+)-(\d+)-(\w+)-([0-9a-f]{8})-[0-9a-f]{8}\.branchmerge-partial$/.exec(name) ?? []
  if (host === undefined || place === undefined) return undefined
  return { pid: Number(pid), started: Number(started), host, place }
}

/** Whether process numbers of there mean the same here. */
export const isHere = ({ place }: Pick<Owner, 'place'>): boolean => place === thisProcess().place

/** Whether it is this process. */
export const isOwn = (owner: Owner): boolean =>
  isHere(owner) && owner.pid === thisProcess().pid && owner.started === thisProcess().started

/**
 * Whether the owner of an unfinished file is another process that is at work. One of another host is when its file changes
 * while we look, for up to `seconds`: it touches it every few seconds ({@link keepAlive}), and no clocks are compared.
 */
export async function isAtWork(path: string, owner: Owner, seconds = watchSeconds): Promise<boolean> {
  if (isOwn(owner)) return false
  return isHere(owner) ? await isRunning(owner.pid, owner.started) : await changes(path, seconds)
}

/** Whether there is a process of this number, started at this time if one is given, that has not ended. */
export async function isRunning(pid: number, started?: number): Promise<boolean> {
  try {
    process.kill(pid, 0)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => undefined)
  if (stat === undefined) return true // of another user who hides it
  // A zombie still takes signals; on Linux its state says so.
  return !/\) [ZX] /.test(stat) && (started === undefined || startOf(stat) === started)
}

/** Field 22 of /proc/PID/stat; the second, the program's name, may hold spaces and parentheses. */
function startOf(stat: string): number | undefined {
  const field = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
  return field === undefined ? undefined : Number(field)
}

const beatSeconds = 5
const watchSeconds = 30
const lookSeconds = 1
/** Clocks do not differ by so much, and no process stands still for so long between two touches. */
const oldSeconds = 3600
/** What nobody needs removed is left alone for longer: a process of another host may have been suspended. */
const abandonedSeconds = 24 * 3600

/** Touches the files, those that are there, until the function that is returned is called. */
export function keepAlive(paths: () => Iterable<string>): () => void {
  const beat = () => {
    const now = new Date()
    for (const path of paths()) utimes(path, now, now).catch(() => {}) // not there yet, or no longer
  }
  const timer = setInterval(beat, beatSeconds * 1000)
  timer.unref()
  return () => clearInterval(timer)
}

/** What did not change while it was watched need not be watched again. */
const silent = new Map<string, string>()

/** Whether a file of another host changes within so many seconds. What is an hour old is taken not to. */
export async function changes(path: string, seconds: number): Promise<boolean> {
  const first = await stampOf(path)
  if (!first || secondsOld(first) > oldSeconds || silent.get(path) === first.text) return false
  for (let waited = 0; waited < seconds; waited += lookSeconds) {
    await sleep(lookSeconds * 1000)
    const stamp = await stampOf(path)
    if (stamp?.text !== first.text) return stamp !== undefined
  }
  silent.set(path, first.text)
  return false
}

/** Opened first: a client of NFS asks the server then, and may answer from its memory otherwise. */
async function stampOf(path: string): Promise<{ text: string; modified: number } | undefined> {
  try {
    const handle = await open(path, 'r')
    try {
      const { mtimeNs, size, mtimeMs } = await handle.stat({ bigint: true })
      return { text: `${mtimeNs} ${size}`, modified: Number(mtimeMs) }
    } finally {
      await handle.close()
    }
  } catch {
    return undefined
  }
}

const secondsOld = ({ modified }: { modified: number }): number => (Date.now() - modified) / 1000

/**
 * Removes unfinished files and directories whose processes are no more, of those in a directory whose names begin with
 * `prefix`. What another host may be writing is left until it has not changed for a day.
 */
export async function removeAbandoned(directory: string, prefix = ''): Promise<void> {
  const names = await readdir(directory).catch(() => [])
  for (const name of names) {
    if (!name.startsWith(prefix) || !name.endsWith(partialSuffix)) continue
    const path = join(directory, name)
    if (await isAbandoned(path, ownerOf(name))) await rm(path, { recursive: true, force: true })
  }
}

async function isAbandoned(path: string, owner: Owner | undefined): Promise<boolean> {
  if (owner && isHere(owner)) return !isOwn(owner) && !(await isRunning(owner.pid, owner.started))
  const stamp = await stampOf(path)
  return stamp !== undefined && secondsOld(stamp) > abandonedSeconds
}
