import { createHash } from 'node:crypto'
import { readdir, realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Checkpoint, openCheckpoint } from '../checkpoint/openCheckpoint.js'
import { listSideFiles } from '../checkpoint/sideFiles.js'
import { completeNames } from '../checkpoint/weightFiles.js'
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

/** What a model answers with: its tensors, configuration, tokenizer and templates. It is to stay as it is while it is read. */
export class CheckpointContent {
  private constructor(
    readonly checkpoint: Checkpoint,
    private readonly directory: string,
    private readonly begun: string,
  ) {}

  /**
   * Notes how the files are, before anything of them is read.
   *
   * @throws ERR_CHECKPOINT_NOT_FOUND, ERR_CONFIG_JSON for a file of weights, ERR_FILE_READ and what openCheckpoint throws
   */
  static async open(path: string, signal: AbortSignal | undefined): Promise<CheckpointContent> {
    const checkpoint = await openCheckpoint(path, { signal })
    const { directory } = checkpoint
    if (directory === undefined) {
      throw new BranchMergeError(
        'ERR_CONFIG_JSON',
        `Expected a directory with config.json and a tokenizer but ${path} is a file of weights. Pass its directory.`,
      )
    }
    return new CheckpointContent(checkpoint, directory, await stateNow(checkpoint, directory))
  }

  /**
   * SHA-256 of all of it, wherever the files lie.
   *
   * @throws ERR_FILE_READ, ERR_OUTPUT_WRITE; the signal's reason after an abort
   */
  async hash({ cache, signal, onProgress }: ContentHashOptions): Promise<string> {
    const { checkpoint, directory } = this
    const sideFiles = await relevantFiles(directory)
    const paths = await pathsOf(checkpoint, directory, sideFiles)
    const states = await settledStates(paths)
    const record = join(cache, 'contents', `${sha256(await realpath(directory))}.json`)
    const known = await readRecord(record)
    if (states !== undefined && known?.states === states) return known.hash
    const found = await hashTensors(checkpoint, signal, onProgress)
    for (const name of sideFiles)
      found.push(JSON.stringify([`file ${name}`, await hashFile(join(directory, name), signal)]))
    const hash = sha256(found.sort().join('\n'))
    if (states !== undefined && (await settledStates(paths)) === states) {
      await makeCache(join(cache, 'contents'))
      await writeWhole(record, `${JSON.stringify({ states, hash })}\n`)
    }
    return hash
  }

  /**
   * Whether what was read since the content was opened is what was hashed.
   *
   * @throws ERR_FILE_CHANGED
   */
  async checkUnchanged(): Promise<void> {
    const { checkpoint, directory } = this
    const now = await stateNow(checkpoint, directory).catch(() => undefined)
    if (now === this.begun) return
    throw new BranchMergeError(
      'ERR_FILE_CHANGED',
      `The files of ${directory} changed while they were read. Run again when nothing writes to them.`,
    )
  }
}

const relevantFiles = async (directory: string): Promise<string[]> =>
  (await listSideFiles(directory)).filter((name) => !irrelevant.test(name))

/** The index is among them: it says in which of the files a tensor lies. */
async function pathsOf({ files }: Checkpoint, directory: string, sideFiles: readonly string[]): Promise<string[]> {
  const weights = (await readdir(directory)).filter((name) => completeNames.includes(name))
  const beside = [...weights, ...sideFiles].map((name) => join(directory, name))
  return [...new Set([...files.map(({ path }) => path), ...beside])]
}

/** What every write to the files changes, and every new one. */
async function stateNow(checkpoint: Checkpoint, directory: string): Promise<string> {
  const paths = await pathsOf(checkpoint, directory, await relevantFiles(directory))
  const states = await Promise.all(
    paths.map(async (path) => {
      const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true })
      return `${path} ${ino} ${size} ${mtimeNs} ${ctimeNs}`
    }),
  )
  return states.join('\n')
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
async function settledStates(paths: readonly string[]): Promise<string | undefined> {
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
