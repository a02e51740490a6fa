import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import { hashFile } from '../files/hashFile.js'
import { version } from '../version.js'
import { type Encoding, encodingHash } from './encode.js'
import type { OpenSource } from './openSources.js'
import type { ResolvedData } from './options.js'
import { dataFormat } from './preparedData.js'

/**
 * SHA-256 of everything that prepared data depends on: the bytes of the sources' files, what is read of them and how, the
 * tokenizer, the template, the vocabulary, and the version of this package, which turned them into tokens. Where files lie
 * and how many threads work on them does not matter.
 *
 * @throws ERR_FILE_READ; the signal's reason after an abort
 */
export async function dataKey(
  sources: readonly OpenSource[],
  encoding: Encoding,
  data: ResolvedData,
  { signal, onBytes }: { signal: AbortSignal | undefined; onBytes: (bytes: number) => void },
): Promise<string> {
  const described: unknown[] = []
  for (const { source, reader, files } of sources) {
    const hashes: string[] = []
    for (const { path, bytes } of files) {
      hashes.push(await hashFile(path, signal))
      onBytes(bytes)
    }
    const { paths: _, ...options } = source
    described.push({
      ...options,
      format: reader.format,
      files: files.map(({ path }, i) => [basename(path), hashes[i]]),
    })
  }
  const { sources: _, cache: __, tokenizer: ___, template: ____, ...options } = data
  const { vocabularySize } = encoding
  const whole = { dataFormat, version, described, encoding: encodingHash(encoding), vocabularySize, options }
  return createHash('sha256').update(JSON.stringify(whole)).digest('hex')
}
