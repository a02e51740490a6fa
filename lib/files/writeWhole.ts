import { open, rename, rm, stat } from 'node:fs/promises'
import { BranchMergeError } from '../errors.js'
import { outputFailure } from './outputDirectory.js'
import { newToken, partialSuffix } from './owners.js'

/**
 * Writes a text file under a temporary name that becomes `path` when all is on disk.
 *
 * @throws ERR_OUTPUT_WRITE or ERR_DISK_FULL, and nothing is left
 */
export async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = `${path}.${newToken()}${partialSuffix}`
  try {
    const handle = await open(temporary, 'w')
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {}) // the first failure tells more
    throw outputFailure(path, error as NodeJS.ErrnoException)
  }
}

/** @throws ERR_OUTPUT_EXISTS when something is at `path`, unless it is a file that may be replaced */
export async function refuseExisting(path: string, overwrite: boolean): Promise<void> {
  const existing = await stat(path).catch(() => undefined)
  if (!existing || (existing.isFile() && overwrite)) return
  throw new BranchMergeError('ERR_OUTPUT_EXISTS', `Expected no file at ${path}; replace it with --overwrite`)
}
