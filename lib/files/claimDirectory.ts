import { readdir, realpath, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { BranchMergeError, type ErrorCode } from '../errors.js'
import { write, writeNew } from './durableFiles.js'
import { isAtWork, keepAlive, newToken, type Owner, ownerOf, partialSuffix, removeAbandoned } from './owners.js'

/** Directories that this process has claimed, by their real paths. */
const claimed = new Set<string>()

/**
 * Makes this process the only one that writes to a directory, which exists, until the function that is returned is called. A
 * process that ends otherwise leaves a file that the next one removes.
 *
 * @param name - of what is claimed, the first part of the file's name
 * @param code - of the error when another process is at work there
 */
export async function claimDirectory(directory: string, name: string, code: ErrorCode): Promise<() => Promise<void>> {
  const real = await realpath(directory)
  const key = join(real, name)
  const refuse = (who: string) =>
    new BranchMergeError(code, `${who} is writing to ${directory}. Wait for its end, or choose another directory.`)
  if (claimed.has(key)) throw refuse('This process')
  claimed.add(key)
  const file = `${name}.${newToken()}${partialSuffix}`
  const path = join(real, file)
  try {
    await removeAbandoned(real, `${name}.`)
    await write(path, () => writeNew(path, ''))
    const stop = keepAlive(() => [path])
    // Looked for after ours is there, so that of two processes at least one sees the other.
    const other = await otherOwner(real, name, file)
    if (other) {
      stop()
      await rm(path, { force: true })
      throw refuse(`Process ${other.pid} on ${other.host}`)
    }
    return async () => {
      stop()
      await rm(path, { force: true })
      claimed.delete(key)
    }
  } catch (error) {
    claimed.delete(key)
    throw error
  }
}

async function otherOwner(directory: string, name: string, own: string): Promise<Owner | undefined> {
  for (const each of await readdir(directory)) {
    if (!each.startsWith(`${name}.`) || each === own) continue
    const owner = ownerOf(each)
    if (owner && (await isAtWork(join(directory, each), owner))) return owner
  }
  return undefined
}
