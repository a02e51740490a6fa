import { rename, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import type { Checkpoint } from '../../checkpoint/openCheckpoint.js'
import { exportGguf } from '../../export/gguf/exportGguf.js'
import type { GgufDtype } from '../../export/gguf/ggufFile.js'
import { newToken, partialSuffix, removeAbandoned } from '../../files/owners.js'
import { type CheckpointContent, makeCache } from '../checkpointContent.js'

export interface CachedGguf {
  path: string
  /** Content hash of the checkpoint. */
  hash: string
  dtype: GgufDtype
  bytes: number
}

export interface GgufCacheOptions {
  cache: string
  signal: AbortSignal | undefined
  onProgress: ((stage: 'hash' | 'export', done: number, total: number) => void) | undefined
}

/** Counted up when the exporter writes the same checkpoint differently. */
const exporterVersion = 1

/**
 * The checkpoint as a GGUF file, written once for its content and kept. Several processes may ask at once: each writes a file of its
 * own, and whichever is complete first or last is the same.
 *
 * @throws what CheckpointContent and exportGguf throw; ERR_FILE_CHANGED where the checkpoint has changed since `content` was opened
 */
export async function cachedGguf(
  content: CheckpointContent,
  { cache, signal, onProgress }: GgufCacheOptions,
): Promise<CachedGguf> {
  const hash = await content.hash({ signal, cache, onProgress: (done, total) => onProgress?.('hash', done, total) })
  const dtype = dtypeOf(content.checkpoint)
  const directory = join(cache, 'gguf')
  const out = join(directory, `${hash}-${dtype}-${exporterVersion}.gguf`)
  const present = await stat(out).catch(() => undefined)
  if (present) {
    const now = new Date()
    // So that whoever clears the cache sees what is used.
    await utimes(out, now, present.mtime).catch(() => {})
    await content.checkUnchanged()
    return { path: out, hash, dtype, bytes: present.size }
  }
  await makeCache(directory)
  await removeAbandoned(directory)
  // Under this name nobody looks for it until the checkpoint is known to be what was hashed.
  const unchecked = `${out}.${newToken()}${partialSuffix}`
  try {
    const { bytes } = await exportGguf(content.checkpoint.path, {
      out: unchecked,
      dtype,
      overwrite: true,
      signal,
      onProgress: ({ bytesDone, bytesTotal }) => onProgress?.('export', bytesDone, bytesTotal),
    })
    await content.checkUnchanged()
    await rename(unchecked, out)
    return { path: out, hash, dtype, bytes }
  } finally {
    await rm(unchecked, { force: true })
  }
}

/** As most of the weights are; what GGUF has not is rounded to BF16, or refused by the exporter. */
function dtypeOf({ tensors }: Checkpoint): GgufDtype {
  const bytes = new Map<string, number>()
  for (const tensor of tensors) bytes.set(tensor.dtype, (bytes.get(tensor.dtype) ?? 0) + tensor.bytes)
  const [most] = [...bytes].sort(([, a], [, b]) => b - a)[0] ?? []
  return most === 'F16' || most === 'F32' ? most : most === 'F64' ? 'F32' : 'BF16'
}
