import { open, rename, rm } from 'node:fs/promises'
import { outputFailure, partialSuffix } from '../merge/outputDirectory.js'

/**
 * Writes a text file under a temporary name that becomes `path` when all is on disk.
 *
 * @throws ERR_OUTPUT_WRITE or ERR_DISK_FULL, and nothing is left
 */
export async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}${partialSuffix}`
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
    await rm(temporary, { force: true })
    throw outputFailure(path, error as NodeJS.ErrnoException)
  }
}
