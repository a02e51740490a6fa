import { open, readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { BranchMergeError, fromNative } from '../errors.js'
import { readFailure, readSmallFile } from '../files/readSmallFile.js'
import { type NativeFileInfo, type NativeIndex, native } from '../native/native.js'
import { runJob } from '../native/runJob.js'
import { checkOptionNames, checkPath, checkSignal } from '../validate.js'
import { indexFileName, singleFileName } from './weightFiles.js'

/** 262,144 tensors, the most that one header may name, at 200 bytes an entry, rounded up. */
const maxIndexBytes = 64 * 2 ** 20
/** The largest published models have a few hundred. */
const maxShards = 10_000
const shardPattern = /^model-\d+-of-\d+\.safetensors$/

/** A tensor as a header describes it, and where its bytes lie. */
export interface CheckpointTensor {
  name: string
  dtype: string
  shape: number[]
  elements: number
  bytes: number
  /** Position in {@link Checkpoint.files}. */
  file: number
  /** First byte and one past the last, counted from the start of the file. */
  begin: number
  end: number
}

/** A weights file whose header has been validated. */
export interface CheckpointFile {
  name: string
  path: string
  bytes: number
  /** XXH64 of the header (length bytes and JSON text), 16 hexadecimal digits. */
  headerHash: string
  /** `__metadata__` in file order. */
  metadata: [key: string, value: string][]
}

/** A validated checkpoint: everything but the tensors' data. */
export interface Checkpoint {
  /** As it was given. */
  path: string
  /** Undefined for a checkpoint that is one file: configuration and tokenizer are then not looked for. */
  directory: string | undefined
  layout: 'file' | 'single' | 'sharded'
  /** By name. */
  files: CheckpointFile[]
  /** By file, then in the order of the file. */
  tensors: CheckpointTensor[]
  /** Number of elements of all tensors. */
  parameters: number
  /** Bytes of all tensors, without headers. */
  bytes: number
  /** What is odd but harmless, in words. */
  problems: string[]
}

/**
 * Reads and validates the headers of a checkpoint: a directory that holds `model.safetensors`, or shards with
 * `model.safetensors.index.json`, or one .safetensors file. Where a directory has both, `model.safetensors` is taken,
 * as Transformers does.
 *
 * @throws BranchMergeError ERR_CHECKPOINT_NOT_FOUND, ERR_FILE_READ, one of ERR_HEADER_*, ERR_TENSOR_* or ERR_INDEX_*.
 */
export async function openCheckpoint(
  path: string,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Checkpoint> {
  checkPath(path, 'path')
  checkOptionNames(options, ['signal'])
  const signal = checkSignal(options.signal)
  const kind = await stat(path).catch((cause) => {
    throw cause.code === 'ENOENT' ? notFound(path) : readFailure(path, cause)
  })
  if (kind.isDirectory()) return openDirectory(path, signal)
  if (!kind.isFile()) throw new BranchMergeError('ERR_FILE_READ', `Expected a directory or a regular file at ${path}`)
  if (!path.endsWith('.safetensors')) throw notSafetensors(path)
  return assemble({ path, directory: undefined, layout: 'file' }, [await readFile(path, signal)], [])
}

async function openDirectory(directory: string, signal: AbortSignal | undefined): Promise<Checkpoint> {
  const names = await readdir(directory).catch((cause) => {
    throw readFailure(directory, cause)
  })
  if (names.includes(singleFileName)) {
    const file = await readFile(join(directory, singleFileName), signal)
    const problems = names.includes(indexFileName) ? [`${indexFileName} is ignored beside ${singleFileName}`] : []
    return assemble({ path: directory, directory, layout: 'single' }, [file], problems)
  }
  if (names.includes(indexFileName)) return openShards(directory, names, signal)
  throw await noWeights(directory, names)
}

async function openShards(directory: string, names: string[], signal: AbortSignal | undefined): Promise<Checkpoint> {
  const indexPath = join(directory, indexFileName)
  const index = await readIndex(indexPath)
  const shards = [...new Set(index.weightMap.map(([, file]) => file))].sort()
  checkShardNames(indexPath, shards)
  const unlisted = names.filter((name) => shardPattern.test(name) && !shards.includes(name)).sort()
  await checkShardsExist(directory, shards, unlisted)
  const files: NativeFileInfo[] = []
  for (const shard of shards) files.push(await readFile(join(directory, shard), signal))
  const passedOver = checkWeightMap(indexPath, index, shards, files)
  const problems = [
    ...unlisted.map((name) => `${name} is not listed in ${indexFileName} and is ignored`),
    ...shards.flatMap((shard, i) => overlayProblem(shard, passedOver[i] as Map<string, string>)),
  ]
  const chosen = files.map((file, i) => ({
    ...file,
    tensors: file.tensors.filter(({ name }) => !passedOver[i]?.has(name)),
  }))
  const checkpoint = assemble({ path: directory, directory, layout: 'sharded' }, chosen, problems)
  const sizeProblem = totalSizeProblem(index.totalSize, checkpoint.bytes)
  if (sizeProblem) problems.push(sizeProblem)
  return checkpoint
}

async function readIndex(path: string): Promise<NativeIndex> {
  const text = await readSmallFile(path, maxIndexBytes, 'ERR_INDEX_JSON')
  if (!text) throw new BranchMergeError('ERR_FILE_READ', `Cannot read ${path}: it is a broken link or has gone`)
  try {
    return native.parseIndex(path, text)
  } catch (error) {
    throw fromNative(error)
  }
}

/** That they are bare names the native parser has checked. */
function checkShardNames(index: string, shards: string[]): void {
  if (shards.length > maxShards) {
    throw new BranchMergeError(
      'ERR_INDEX_JSON',
      `Expected at most ${maxShards} shards in ${index}, not ${shards.length}`,
    )
  }
  const odd = shards.find((name) => !name.endsWith('.safetensors'))
  if (odd === undefined) return
  throw new BranchMergeError('ERR_INDEX_SHARD_NAME', `Expected names of .safetensors files in ${index}, not "${odd}"`)
}

/** `unlisted`: shards in the directory that the index does not name. */
async function checkShardsExist(directory: string, shards: string[], unlisted: string[]): Promise<void> {
  const missing: string[] = []
  for (const shard of shards) {
    await stat(join(directory, shard)).catch((cause) => {
      if (cause.code !== 'ENOENT') throw readFailure(join(directory, shard), cause)
      missing.push(shard)
    })
  }
  if (missing.length === 0) return
  const advice =
    unlisted.length > 0
      ? `The directory holds other shards, ${listSome(unlisted)}: the index is stale. ` +
        'Replace it by the index of these shards, or the shards by those that it lists.'
      : 'Download the rest.'
  throw new BranchMergeError(
    'ERR_INDEX_SHARD_MISSING',
    `${indexFileName} lists ${shards.length} shards but ${missing.length} of them ` +
      `${missing.length === 1 ? 'is' : 'are'} not in ${directory}: ${listSome(missing)}. ${advice}`,
  )
}

/**
 * Every tensor must be in the shard where the index places it, and every shard hold tensors of the index only. Another
 * shard may hold an older copy, which the index passes over.
 *
 * @returns for each shard its tensors that are passed over, with the shard that they come from
 */
function checkWeightMap(
  indexPath: string,
  index: NativeIndex,
  shards: string[],
  files: NativeFileInfo[],
): Map<string, string>[] {
  const places = new Map(index.weightMap)
  const unseen = new Map(places)
  const faults: string[] = []
  const passedOver = files.map(() => new Map<string, string>())
  for (const [i, file] of files.entries()) {
    for (const { name } of file.tensors) {
      const place = places.get(name)
      if (place === shards[i]) unseen.delete(name)
      else if (place !== undefined) passedOver[i]?.set(name, place)
      else faults.push(`"${name}" is in ${shards[i]} but the index does not list it`)
    }
  }
  const elsewhere = new Map(passedOver.flatMap((names, i) => [...names.keys()].map((name) => [name, shards[i]])))
  for (const [name, shard] of unseen) {
    const found = elsewhere.get(name)
    faults.push(`"${name}" is not in ${shard} as the index says${found === undefined ? '' : ` but in ${found}`}`)
  }
  if (faults.length === 0) return passedOver
  throw new BranchMergeError(
    'ERR_INDEX_MISMATCH',
    `${indexPath} does not describe its shards: ${listSome(faults, '; ')}`,
  )
}

function overlayProblem(shard: string, passedOver: Map<string, string>): string[] {
  const [first] = passedOver
  if (!first) return []
  const [name, place] = first
  const others = passedOver.size > 1 ? `, and ${passedOver.size - 1} more such` : ''
  return [`"${name}" of ${shard} is passed over: ${indexFileName} takes it from ${place}${others}`]
}

function totalSizeProblem(declared: number | undefined, actual: number): string | undefined {
  if (declared === actual) return undefined
  if (declared === undefined) return `${indexFileName} does not say total_size (it is ${actual})`
  return `${indexFileName} says total_size ${declared}, the tensors have ${actual} bytes`
}

async function readFile(path: string, signal: AbortSignal | undefined): Promise<NativeFileInfo> {
  try {
    return await runJob(() => native.readHeader(path), signal)
  } catch (error) {
    if (!(error instanceof BranchMergeError && error.code === 'ERR_HEADER_TOO_LARGE' && (await isLfsPointer(path)))) {
      throw error
    }
    throw new BranchMergeError(error.code, `${path} is a pointer of Git LFS, not the weights: run git lfs pull there`)
  }
}

/** What a clone of a hub's repository without Git LFS has in the place of a large file. */
async function isLfsPointer(path: string): Promise<boolean> {
  const signature = 'version https://git-lfs.github.com/spec/'
  const handle = await open(path).catch(() => undefined)
  if (!handle) return false
  try {
    const { buffer } = await handle.read(Buffer.alloc(signature.length), 0, signature.length, 0)
    return buffer.toString('latin1') === signature
  } finally {
    await handle.close()
  }
}

function assemble(
  head: Pick<Checkpoint, 'path' | 'directory' | 'layout'>,
  files: NativeFileInfo[],
  problems: string[],
): Checkpoint {
  const tensors = files.flatMap((file, i) =>
    file.tensors.map((tensor) => ({ ...tensor, bytes: tensor.end - tensor.begin, file: i })),
  )
  return {
    ...head,
    files: files.map(({ path, bytes, headerHash, metadata }) => ({
      name: basename(path),
      path,
      bytes,
      headerHash,
      metadata,
    })),
    tensors,
    parameters: sum(tensors.map((tensor) => tensor.elements)),
    bytes: sum(tensors.map((tensor) => tensor.bytes)),
    problems,
  }
}

const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0)

function listSome(items: string[], separator = ', '): string {
  const shown = items.slice(0, 10).join(separator)
  return items.length > 10 ? `${shown}${separator}and ${items.length - 10} more` : shown
}

function notFound(path: string): BranchMergeError {
  const [, name] = /^https?:\/\/[^/]+\/([\w-][\w.-]*\/[\w-][\w.-]*)/.exec(path) ?? []
  const advice = name === undefined ? '' : ` Of a model on the Hub pass the name, ${name}.`
  return new BranchMergeError('ERR_CHECKPOINT_NOT_FOUND', `There is no checkpoint at ${path}.${advice}`)
}

function notSafetensors(path: string): BranchMergeError {
  const advice = /\.(bin|pt|pth|ckpt)$/.test(path)
    ? ': convert PyTorch pickles to safetensors first'
    : path.endsWith('.gguf')
      ? ': merge the safetensors that it comes from'
      : ''
  return new BranchMergeError(
    'ERR_CHECKPOINT_NOT_FOUND',
    `Expected a directory or a .safetensors file but received ${path}${advice}`,
  )
}

async function noWeights(directory: string, names: string[]): Promise<BranchMergeError> {
  const found = `Expected ${singleFileName} or ${indexFileName} in ${directory}`
  const message = (advice: string) => new BranchMergeError('ERR_CHECKPOINT_NOT_FOUND', `${found}; ${advice}`)
  if (names.includes('adapter_model.safetensors')) return message('it holds an adapter: merge that into its base first')
  const safetensors = names.filter((name) => name.endsWith('.safetensors')).sort()
  if (safetensors.length > 0)
    return message(`it holds ${listSome(safetensors)}: pass such a file, or its index is missing`)
  if (names.some((name) => /^pytorch_model.*\.bin(\.index\.json)?$/.test(name))) {
    return message('it holds PyTorch pickles: convert them to safetensors first')
  }
  if (names.some((name) => name.endsWith('.gguf')))
    return message('it holds GGUF files: merge the safetensors that they come from')
  const snapshots = names.includes('snapshots') ? await snapshotsOf(directory) : []
  if (snapshots.length > 0) return message(`it is a cache of Hugging Face: pass ${snapshots.join(' or ')}`)
  const below = await checkpointsIn(directory, names)
  return message(below.length > 0 ? `pass a directory below it: ${listSome(below)}` : 'it holds no weights')
}

/** Checkpoints of a hub's cache, the one that `main` refers to alone where there is one. */
async function snapshotsOf(directory: string): Promise<string[]> {
  const snapshots = join(directory, 'snapshots')
  const revisions = await readdir(snapshots).catch((): string[] => [])
  const main = await readSmallFile(join(directory, 'refs', 'main'), 1024, 'ERR_FILE_READ').catch(() => undefined)
  const current = main?.toString('latin1').trim()
  const all = await checkpointsIn(snapshots, revisions)
  return all.filter((path) => basename(path) === current).concat(all.filter(() => !revisions.includes(current ?? '')))
}

/** Subdirectories that hold weights: those of a training, for example. */
async function checkpointsIn(directory: string, names: string[]): Promise<string[]> {
  const found: string[] = []
  for (const name of names.slice(0, maxShards).sort()) {
    const content = await readdir(join(directory, name)).catch((): string[] => [])
    if (content.includes(singleFileName) || content.includes(indexFileName)) found.push(join(directory, name))
  }
  return found
}
