import { readdir } from 'node:fs/promises'
import { BranchMergeError } from '../errors.js'

/**
 * The names in a directory; none where it does not exist.
 *
 * @throws ERR_FILE_READ when it cannot be read: that it is empty is then not known
 */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory)
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (code === 'ENOENT') return []
    throw new BranchMergeError('ERR_FILE_READ', `${directory}: cannot read the directory: ${message}`, { cause })
  }
}
