import { readdir, realpath, stat, statfs } from 'node:fs/promises'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { BranchMergeError } from '../errors.js'
import { formatBytes } from '../text/formatUnits.js'
import { isAtWork, isCandidate, ownerOf, partialSuffix } from './owners.js'

/** Where a checkpoint lies: its directory where it is one, and its weight files. */
export interface InputPlace {
  directory?: string | undefined
  files: readonly { path: string }[]
}

/**
 * That writing to `path` cannot touch an input: it is not an input directory, in one or above one, and neither is nor is
 * above an input file's directory. Symbolic links are followed. `path` may also name a file to write.
 *
 * @throws ERR_OUTPUT_IS_INPUT
 */
export async function refuseInputs(path: string, inputs: readonly InputPlace[]): Promise<void> {
  const out = await realOrFuturePath(path)
  for (const { directory, files } of inputs) {
    const input = directory && (await realpath(directory))
    const weights = await Promise.all(files.map((file) => realpath(file.path)))
    const taken = [input, ...weights].find((file) => file && isWithin(file, out))
    if (taken || (input && isWithin(out, input))) {
      throw new BranchMergeError(
        'ERR_OUTPUT_IS_INPUT',
        `Expected an output outside of the inputs but ${path} is, contains or lies in ${taken ?? input}. Choose another.`,
      )
    }
  }
}

/**
 * That writing to `out` cannot touch the directory `kept`: it is not it, in it or above it. Symbolic links are followed.
 *
 * @throws ERR_OUTPUT_IS_INPUT
 */
export async function refuseWithin(out: string, kept: string): Promise<void> {
  const [there, here] = [await realOrFuturePath(out), await realOrFuturePath(kept)]
  if (!isWithin(there, here) && !isWithin(here, there)) return
  throw new BranchMergeError(
    'ERR_OUTPUT_IS_INPUT',
    `Expected an output outside of ${kept}, which it is compared with, but ${out} is, contains or lies in it. Choose another.`,
  )
}

/** Whether `path` is `ancestor` or below it. */
function isWithin(path: string, ancestor: string): boolean {
  return path === ancestor || path.startsWith(ancestor.endsWith(sep) ? ancestor : ancestor + sep)
}

/** The real path that `path` has or would have once it is created. */
export async function realOrFuturePath(path: string): Promise<string> {
  const absolute = resolve(path)
  const existing = await realpath(absolute).catch(() => undefined)
  if (existing) return existing
  const parent = dirname(absolute)
  return parent === absolute ? absolute : join(await realOrFuturePath(parent), basename(absolute))
}

/** What is in the output directory already: unfinished files of ours apart from everything else. */
export interface ExistingOutput {
  exists: boolean
  leftovers: string[]
  content: string[]
}

/**
 * Looks at the output directory and changes nothing. Content of the names in `own` does not stand in the way. Who has no option
 * `overwrite` gives undefined.
 *
 * @throws ERR_OUTPUT_EXISTS when it is no directory, or has content that `overwrite` does not release, or another
 *   process is writing there; ERR_OUTPUT_WRITE when it cannot be looked at.
 */
export async function examineOutput(
  out: string,
  overwrite: boolean | undefined,
  own: readonly string[] = [],
): Promise<ExistingOutput> {
  const names = await listIfPresent(out)
  if (!names) return { exists: false, leftovers: [], content: [] }
  const leftovers = names.filter((name) => name.endsWith(partialSuffix))
  const content = names.filter((name) => !name.endsWith(partialSuffix))
  await refuseRunningOwner(
    out,
    leftovers.filter((name) => !isCandidate(name)),
  )
  const foreign = content.filter((name) => !own.includes(name))
  if (foreign.length === 0 || overwrite) return { exists: true, leftovers, content }
  throw new BranchMergeError(
    'ERR_OUTPUT_EXISTS',
    `Expected a new or empty directory but ${out} holds ${firstOf(foreign)}. ` +
      `Choose another${overwrite === undefined ? '' : ', or replace the checkpoint in it with overwrite (--overwrite)'}.`,
  )
}

/** Names of a directory in few words: `config.json and 7 more`. */
export const firstOf = (names: readonly string[]): string =>
  names.length > 1 ? `${names[0]} and ${names.length - 1} more` : (names[0] ?? 'nothing')

export async function listIfPresent(out: string): Promise<string[] | undefined> {
  try {
    if ((await stat(out)).isDirectory()) return await readdir(out)
  } catch (error) {
    const cause = error as NodeJS.ErrnoException
    if (cause.code === 'ENOENT') return undefined
    throw outputFailure(out, cause)
  }
  throw new BranchMergeError('ERR_OUTPUT_EXISTS', `Expected a directory for out but ${out} is a file`)
}

/** Unfinished files of a process that is still at work are no leftovers. */
async function refuseRunningOwner(out: string, names: readonly string[]): Promise<void> {
  const owned = names.map((name) => ({ path: join(out, name), owner: ownerOf(name) }))
  const found = await Promise.all(
    owned.map(async ({ path, owner }) => (owner && (await isAtWork(path, owner)) ? owner : undefined)),
  )
  const owner = found.find((each) => each !== undefined)
  if (!owner) return
  throw new BranchMergeError(
    'ERR_OUTPUT_EXISTS',
    `Process ${owner.pid} on ${owner.host} is writing to ${out}. Wait for its end, or choose another directory.`,
  )
}

/** Bytes that files of a directory take on the disk; none for one that is not there. */
export async function bytesTaken(directory: string, names: readonly string[]): Promise<number> {
  const taken = await Promise.all(
    names.map((name) =>
      stat(join(directory, name)).then(
        ({ blocks }) => blocks * 512,
        () => 0,
      ),
    ),
  )
  return taken.reduce((total, bytes) => total + bytes, 0)
}

/** Bytes that the file system of `path`, which need not exist yet, has free for this user; undefined if it does not tell. */
export async function freeBytes(path: string): Promise<number | undefined> {
  const absolute = resolve(path)
  const stats = await statfs(absolute).catch(() => undefined)
  if (stats) return stats.blocks > 0 ? stats.bavail * stats.bsize : undefined
  const parent = dirname(absolute)
  return parent === absolute ? undefined : freeBytes(parent)
}

/** @throws ERR_DISK_FULL when the file system of `directory`, which need not exist yet, has fewer than `needed` bytes free */
export async function checkFreeSpace(directory: string, needed: number): Promise<void> {
  const free = await freeBytes(directory)
  if (free === undefined || free >= needed) return
  throw new BranchMergeError(
    'ERR_DISK_FULL',
    `Expected ${formatBytes(needed)} free for ${directory} but its file system has ${formatBytes(free)}. ` +
      `Free ${formatBytes(needed - free)} or choose another directory.`,
  )
}

/** A failed write as the error that users see. */
export function outputFailure(path: string, cause: NodeJS.ErrnoException): BranchMergeError {
  const full = cause.code === 'ENOSPC' || cause.code === 'EDQUOT'
  const code = full ? 'ERR_DISK_FULL' : 'ERR_OUTPUT_WRITE'
  return new BranchMergeError(code, `Cannot write to ${path}: ${cause.message}`, { cause })
}
