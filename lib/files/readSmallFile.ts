import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { BranchMergeError, type ErrorCode } from '../errors.js'
import { formatBytes } from '../text/formatUnits.js'

/**
 * The bytes of a regular file of at most `limit` bytes; undefined when there is none.
 *
 * @throws ERR_FILE_READ when it cannot be read or is no regular file, `tooLarge` when it is larger.
 */
export async function readSmallFile(path: string, limit: number, tooLarge: ErrorCode): Promise<Buffer | undefined> {
  // O_NONBLOCK: opening a named pipe must not wait for a writer.
  const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)).catch((cause) => {
    if (cause.code === 'ENOENT') return undefined
    throw readFailure(path, cause)
  })
  if (!handle) return undefined
  try {
    const stat = await handle.stat()
    if (!stat.isFile()) throw new BranchMergeError('ERR_FILE_READ', `Expected a regular file at ${path}`)
    if (stat.size > limit) {
      const message = `Expected at most ${formatBytes(limit)} in ${path} but it has ${formatBytes(stat.size)}`
      throw new BranchMergeError(tooLarge, message)
    }
    return await handle.readFile().catch((cause) => {
      throw readFailure(path, cause)
    })
  } finally {
    await handle.close()
  }
}

export function readFailure(path: string, cause: NodeJS.ErrnoException): BranchMergeError {
  return new BranchMergeError('ERR_FILE_READ', `Cannot read ${path}: ${cause.message}`, { cause })
}
