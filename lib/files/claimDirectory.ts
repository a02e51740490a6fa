import { readdir, realpath, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { BranchMergeError, type ErrorCode } from '../errors.js'
import { write, writeNew } from './durableFiles.js'
import {
  candidateMark,
  isAtWork,
  isCandidate,
  keepAlive,
  newToken,
  type Owner,
  ownerOf,
  partialSuffix,
  removeAbandoned,
} from './owners.js'

/** Directories that this process has claimed, by their real paths. */
const claimed = new Set<string>()

/** A candidate decides within milliseconds, unless its process is suspended. */
const patienceSeconds = 10
const lookMilliseconds = 10

/**
 * Makes this process the only one that writes to a directory, which exists, until the function that is returned is called. A
 * process that ends otherwise leaves a file that the next one removes. Of several that begin at the same time, one is not refused.
 *
 * @param name - of what is claimed, the first part of the file's name
 * @param code - of the error when another process is at work there
 * @param token - of this claim, as {@link newToken} makes them
 */
export async function claimDirectory(
  directory: string,
  name: string,
  code: ErrorCode,
  token = newToken(),
): Promise<() => Promise<void>> {
  const real = await realpath(directory)
  const key = join(real, name)
  const refuse = (who: string) =>
    new BranchMergeError(code, `${who} is writing to ${directory}. Wait for its end, or choose another directory.`)
  if (claimed.has(key)) throw refuse('This process')
  claimed.add(key)
  const candidate = join(real, `${name}${candidateMark}${token}${partialSuffix}`)
  const path = join(real, `${name}.${token}${partialSuffix}`)
  try {
    await removeAbandoned(real, `${name}.`)
    await write(candidate, () => writeNew(candidate, ''))
    const stop = keepAlive(() => [candidate, path])
    const release = async () => {
      stop()
      await rm(candidate, { force: true })
      await rm(path, { force: true })
    }
    try {
      const other = await rivalOf(candidate, real, name, token)
      if (other) throw refuse(`Process ${other.pid} on ${other.host}`)
      // Before the candidate goes: whoever lists the directory sees one of the two.
      await write(path, () => writeNew(path, ''))
      await rm(candidate, { force: true })
    } catch (error) {
      await release()
      throw error
    }
    return async () => {
      await release()
      claimed.delete(key)
    }
  } catch (error) {
    claimed.delete(key)
    throw error
  }
}

/**
 * The process to which the candidate gives way: one that has claimed the directory, or a candidate whose name comes before. One whose
 * name comes after may not have seen this one, and then claims the directory; it is waited for until it has done so, or has given way.
 */
async function rivalOf(candidate: string, directory: string, name: string, token: string): Promise<Owner | undefined> {
  for (let waited = 0; ; waited += lookMilliseconds) {
    const others = await atWork(directory, name, token)
    const rival = others.find(({ path }) => !isCandidate(path) || path < candidate) ?? others[0]
    if (!rival) return undefined
    if (!isCandidate(rival.path) || rival.path < candidate || waited >= patienceSeconds * 1000) return rival.owner
    await sleep(lookMilliseconds)
  }
}

async function atWork(directory: string, name: string, token: string): Promise<{ path: string; owner: Owner }[]> {
  const found: { path: string; owner: Owner }[] = []
  for (const each of await readdir(directory)) {
    if (!each.startsWith(`${name}.`) || each.endsWith(`.${token}${partialSuffix}`)) continue
    const [path, owner] = [join(directory, each), ownerOf(each)]
    if (owner && (await isAtWork(path, owner))) found.push({ path, owner })
  }
  return found
}
