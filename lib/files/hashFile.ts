import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { readFailure } from './readSmallFile.js'

/**
 * SHA-256 of a whole file, lower-case hexadecimal digits.
 *
 * @throws ERR_FILE_READ; the signal's reason after an abort
 */
export async function hashFile(path: string, signal?: AbortSignal | undefined): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path, { highWaterMark: 2 ** 20 }), hash, signal ? { signal } : {}).catch((cause) => {
    signal?.throwIfAborted()
    throw readFailure(path, cause)
  })
  return hash.digest('hex')
}
