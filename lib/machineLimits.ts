import { readFileSync } from 'node:fs'
import { availableParallelism, totalmem } from 'node:os'
import { join } from 'node:path'

/** Reads a small text of the system, or undefined where there is none. */
type ReadText = (path: string) => string | undefined

const readText: ReadText = (path) => {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/**
 * Bytes of memory that this process may come to take: the machine's, or the least limit of the control groups that it is in, as a
 * container, a job of Slurm or a unit of systemd sets them. What others there take already does not count: most of it is files' pages,
 * which go when memory is asked for.
 */
export function memoryOfProcess(): number {
  const known = process.constrainedMemory() // 0, or more than there is, where Node finds no limit; it looks at one group alone
  return Math.min(totalmem(), known > 0 ? known : totalmem(), ...memoryLimits(readText))
}

/** Threads that can run at once: cores that this process may use, or the time of cores that its control groups have, rounded up. */
export function threadsOfProcess(): number {
  return Math.min(availableParallelism(), ...coreLimits(readText).map((cores) => Math.max(1, Math.ceil(cores))))
}

/** Limits of memory in bytes, of the process's control group and of all above it. */
export function memoryLimits(read: ReadText): number[] {
  const files = { unified: ['memory.max', 'memory.high'], legacy: ['memory.limit_in_bytes'] }
  return groupsOf('memory', read).flatMap(({ kind, path }) =>
    files[kind].flatMap((name) => numberOf(read(join(path, name))) ?? []),
  )
}

/** Limits of time, in cores, of the process's control group and of all above it. */
export function coreLimits(read: ReadText): number[] {
  return groupsOf('cpu', read).flatMap(({ kind, path }) => {
    const [quota, period] =
      kind === 'unified'
        ? (read(join(path, 'cpu.max')) ?? '').trim().split(' ')
        : [read(join(path, 'cpu.cfs_quota_us')), read(join(path, 'cpu.cfs_period_us'))]
    const [time, every] = [numberOf(quota), numberOf(period)]
    return time !== undefined && every !== undefined ? [time / every] : []
  })
}

/** Undefined for "max", and for -1, which says the same. */
function numberOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d+\s*$/.test(text) && Number(text) > 0 ? Number(text) : undefined
}

interface Group {
  kind: 'unified' | 'legacy'
  path: string
}

/** Directories of the control groups that limit this process: its own and those above, as far as they are mounted. */
function groupsOf(controller: string, read: ReadText): Group[] {
  const mounts = (read('/proc/self/mountinfo') ?? '').split('\n').flatMap(mountOf)
  return (read('/proc/self/cgroup') ?? '').split('\n').flatMap((line) => {
    const [, id, controllers, path] = /^(\d+):([^:]*):(\/.*)$/.exec(line) ?? []
    if (path === undefined) return []
    const unified = id === '0' && controllers === ''
    if (!unified && !controllers?.split(',').includes(controller)) return []
    const mount = mounts.find(({ type, options }) =>
      unified ? type === 'cgroup2' : type === 'cgroup' && options.includes(controller),
    )
    return mount ? upwards(mount, path, unified ? 'unified' : 'legacy') : []
  })
}

interface Mount {
  /** The group that is seen at `point`. */
  root: string
  point: string
  type: string
  options: string[]
}

function mountOf(line: string): Mount[] {
  const [before, after] = line.split(' - ')
  const [, , , root, point] = (before ?? '').split(' ').map(unescaped)
  const [type, , options] = (after ?? '').split(' ')
  if (root === undefined || point === undefined || !type?.startsWith('cgroup')) return []
  return [{ root, point, type, options: (options ?? '').split(',') }]
}

/** A space is \040 there. */
const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))

/** A container may see its own group at the mount point, by another name than the host has for it. */
function upwards({ root, point }: Mount, path: string, kind: Group['kind']): Group[] {
  const inside = root === '/' ? path : path === root || path.startsWith(`${root}/`) ? path.slice(root.length) : '/'
  const names = inside.split('/').filter((name) => name !== '' && name !== '..')
  return Array.from({ length: names.length + 1 }, (_, i) => ({ kind, path: join(point, ...names.slice(0, i)) }))
}
