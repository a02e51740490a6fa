import { createHash } from 'node:crypto'
import { realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { type Checkpoint, openCheckpoint } from '../checkpoint/openCheckpoint.js'
import { listSideFiles } from '../checkpoint/sideFiles.js'
import { BranchMergeError } from '../errors.js'
import { makeDirectory } from '../files/durableFiles.js'
import { hashFile } from '../files/hashFile.js'
import { readSmallFile } from '../files/readSmallFile.js'
import { writeWhole } from '../files/writeWhole.js'
import { threadsOfProcess } from '../machineLimits.js'
import { inputState } from '../merge/output/inputStates.js'
import { native } from '../native/native.js'
import { runJob } from '../native/runJob.js'

/** Files beside the weights that say nothing of what a model answers. */
const irrelevant = /^(licen[cs]e|notice|copying|use_policy)/i

export interface ContentHashOptions {
  /** Directory in which it is kept what files had which hash: unchanged ones are not read again. */
  cache: string
  signal?: AbortSignal | undefined
  /** Bytes of the weights. */
  onProgress?: ((done: number, total: number) => void) | undefined
}

/**
 * SHA-256 of what a model answers with: its tensors by name, wherever they lie, its configuration, tokenizer and templates.
 *
 * @throws ERR_CHECKPOINT_NOT_FOUND, ERR_FILE_READ, ERR_OUTPUT_WRITE and what openCheckpoint throws; the signal's reason after an abort
 */
export async function contentHash(path: string, { cache, signal, onProgress }: ContentHashOptions): Promise<string> {
  const checkpoint = await openCheckpoint(path, { signal })
  const { directory, files } = checkpoint
  if (directory === undefined) {
    throw new BranchMergeError(
      'ERR_CONFIG_JSON',
      `Expected a directory with config.json and a tokenizer but ${path} is a file of weights. Pass its directory.`,
    )
  }
  const sideFiles = (await listSideFiles(directory)).filter((name) => !irrelevant.test(name))
  const paths = [...files.map((file) => file.path), ...sideFiles.map((name) => join(directory, name))]
  const states = await statesOf(paths)
  const record = join(cache, 'contents', `${sha256(await realpath(directory))}.json`)
  const known = await readRecord(record)
  if (states !== undefined && known?.states === states) return known.hash
  const found = await hashTensors(checkpoint, signal, onProgress)
  for (const name of sideFiles)
    found.push(JSON.stringify([`file ${name}`, await hashFile(join(directory, name), signal)]))
  const hash = sha256(found.sort().join('\n'))
  if (states !== undefined && (await statesOf(paths)) === states) {
    await makeCache(join(cache, 'contents'))
    await writeWhole(record, `${JSON.stringify({ states, hash })}\n`)
  }
  return hash
}

async function hashTensors(
  { files, tensors }: Checkpoint,
  signal: AbortSignal | undefined,
  onProgress: ContentHashOptions['onProgress'],
): Promise<string[]> {
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0)
  const found: string[] = []
  let done = 0
  for (const [i, { path, bytes }] of files.entries()) {
    const hashes = new Map((await runJob(() => native.hashFile(path, threadsOfProcess()), signal)).tensors)
    for (const { name, dtype, shape, file } of tensors) {
      if (file === i) found.push(JSON.stringify([name, dtype, shape, hashes.get(name)]))
    }
    done += bytes
    onProgress?.(done, total)
  }
  return found
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** What tells that nothing was written to the files since; undefined where one was a moment ago. */
async function statesOf(paths: readonly string[]): Promise<string | undefined> {
  const states: string[] = []
  for (const path of paths) {
    const state = await inputState(path)
    if (!state) return undefined
    states.push(JSON.stringify([path, state]))
  }
  return sha256(states.join('\n'))
}

/** A record that cannot be read is none. */
async function readRecord(path: string): Promise<{ states: string; hash: string } | undefined> {
  const bytes = await readSmallFile(path, 4096, 'ERR_FILE_READ').catch(() => undefined)
  try {
    const { states, hash } = JSON.parse(bytes?.toString('utf8') ?? '{}')
    return typeof states === 'string' && /^[0-9a-f]{64}$/.test(hash) ? { states, hash } : undefined
  } catch {
    return undefined
  }
}

/** Another process may make it at the same time. */
export async function makeCache(directory: string): Promise<void> {
  await makeDirectory(directory).catch((error) => {
    if ((error.cause as NodeJS.ErrnoException | undefined)?.code !== 'EEXIST') throw error
  })
}
