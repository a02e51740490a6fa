import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { openCheckpoint } from '../checkpoint/openCheckpoint.js'
import { listSideFiles } from '../checkpoint/sideFiles.js'
import { BranchMergeError } from '../errors.js'
import { hashFile } from '../files/hashFile.js'
import { threadsOfProcess } from '../machineLimits.js'
import { native } from '../native/native.js'
import { runJob } from '../native/runJob.js'

/** Files beside the weights that say nothing of what a model answers. */
const irrelevant = /^(licen[cs]e|notice|copying|use_policy)/i

/**
 * SHA-256 of what a model answers with: its tensors by name, wherever they lie, its configuration, tokenizer and templates.
 *
 * @throws ERR_CHECKPOINT_NOT_FOUND, ERR_FILE_READ and what openCheckpoint throws; the signal's reason after an abort
 */
export async function contentHash(
  path: string,
  {
    signal,
    onProgress,
  }: { signal?: AbortSignal | undefined; onProgress?: ((done: number, total: number) => void) | undefined },
): Promise<string> {
  const checkpoint = await openCheckpoint(path, { signal })
  const { directory, files } = checkpoint
  if (directory === undefined) {
    throw new BranchMergeError(
      'ERR_CONFIG_JSON',
      `Expected a directory with config.json and a tokenizer but ${path} is a file of weights. Pass its directory.`,
    )
  }
  const found: string[] = []
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0)
  let done = 0
  for (const [i, file] of files.entries()) {
    const counted = new Set(checkpoint.tensors.filter((tensor) => tensor.file === i).map(({ name }) => name))
    const { tensors } = await runJob(() => native.hashFile(file.path, threadsOfProcess()), signal)
    const kept = tensors.filter(([name]) => counted.has(name))
    const shapes = new Map(
      checkpoint.tensors.filter((tensor) => tensor.file === i).map((tensor) => [tensor.name, tensor]),
    )
    found.push(
      ...kept.map(([name, hash]) => JSON.stringify([name, shapes.get(name)?.dtype, shapes.get(name)?.shape, hash])),
    )
    done += file.bytes
    onProgress?.(done, total)
  }
  for (const name of await listSideFiles(directory)) {
    if (!irrelevant.test(name))
      found.push(JSON.stringify([`file ${name}`, await hashFile(join(directory, name), signal)]))
  }
  return createHash('sha256').update(found.sort().join('\n')).digest('hex')
}
