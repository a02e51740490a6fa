import { alignmentRank, type Dtype, dtypeBytes, type FloatDtype, isFloat } from '../checkpoint/dtypes.js'
import { type Checkpoint, singleFileName } from '../checkpoint/openCheckpoint.js'
import type { TensorPair } from './pairTensors.js'

export interface PlannedTensor extends TensorPair {
  outputDtype: string
  outputBytes: number
}

export interface OutputFile {
  name: string
  /** In writing order. */
  tensors: PlannedTensor[]
  /** Of the tensors, without the header. */
  bytes: number
}

/**
 * Which output file holds which tensors: Left's own files, or files of at most `maxShardBytes` of tensors, filled in Left's
 * order. In a file the most strictly aligned dtypes come first, then names in byte order, as the reference writer does.
 */
export function planOutput(
  pairs: TensorPair[],
  left: Checkpoint,
  options: { dtype: FloatDtype | undefined; maxShardBytes: number | undefined },
): OutputFile[] {
  const tensors = pairs.map((pair) => planTensor(pair, options.dtype))
  const groups =
    options.maxShardBytes === undefined ? groupsOfLeft(tensors, left) : fill(tensors, options.maxShardBytes)
  const keepNames =
    options.maxShardBytes === undefined && left.layout === 'sharded' && groups.length === left.files.length
  return groups.map((group, i) => ({
    name: keepNames ? (left.files[i]?.name as string) : shardName(i, groups.length),
    tensors: group.sort(inWritingOrder),
    bytes: totalBytes(group),
  }))
}

function planTensor(pair: TensorPair, dtype: FloatDtype | undefined): PlannedTensor {
  const outputDtype = dtype && isFloat(pair.dtype) ? dtype : pair.dtype
  return { ...pair, outputDtype, outputBytes: pair.elements * dtypeBytes(outputDtype as Dtype) }
}

/** A file that would hold nothing (its only tensor was a tied head) is left out. */
function groupsOfLeft(tensors: PlannedTensor[], left: Checkpoint): PlannedTensor[][] {
  const groups: PlannedTensor[][] = left.files.map(() => [])
  for (const tensor of tensors) groups[tensor.left.file]?.push(tensor)
  return groups.filter((group) => group.length > 0)
}

/** A tensor that is larger than the limit gets a file of its own. */
function fill(tensors: PlannedTensor[], maxBytes: number): PlannedTensor[][] {
  const groups: PlannedTensor[][] = []
  let room = 0
  for (const tensor of tensors) {
    if (groups.length === 0 || tensor.outputBytes > room) {
      groups.push([])
      room = maxBytes
    }
    groups.at(-1)?.push(tensor)
    room -= tensor.outputBytes
  }
  return groups
}

function shardName(i: number, count: number): string {
  const number = (n: number) => String(n).padStart(5, '0')
  return count === 1 ? singleFileName : `model-${number(i + 1)}-of-${number(count)}.safetensors`
}

function inWritingOrder(a: PlannedTensor, b: PlannedTensor): number {
  return alignmentRank(b.outputDtype) - alignmentRank(a.outputDtype) || compareNames(a.name, b.name)
}

/** Order of the names' UTF-8 bytes. */
export function compareNames(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

const totalBytes = (tensors: PlannedTensor[]): number =>
  tensors.reduce((total, { outputBytes }) => total + outputBytes, 0)

/** Whether Hugging Face loads these files through an index. */
export const needsIndex = (files: OutputFile[]): boolean => files.length > 1 || files[0]?.name !== singleFileName

/** `model.safetensors.index.json` as Hugging Face writes it. */
export function indexText(files: OutputFile[]): string {
  const places = files.flatMap(({ name: file, tensors }) => tensors.map(({ name }) => [name, file] as const))
  const weightMap = Object.fromEntries(places.sort(([a], [b]) => compareNames(a, b)))
  const totalSize = files.reduce((total, { bytes }) => total + bytes, 0)
  return `${JSON.stringify({ metadata: { total_size: totalSize }, weight_map: weightMap }, null, 2)}\n`
}
