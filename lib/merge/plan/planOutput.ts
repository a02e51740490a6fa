import { alignmentRank, type Dtype, dtypeBytes, type FloatDtype, isFloat } from '../../checkpoint/dtypes.js'
import type { Checkpoint } from '../../checkpoint/openCheckpoint.js'
import { singleFileName } from '../../checkpoint/weightFiles.js'
import type { MatchedTensor } from './matchedTensor.js'

export interface PlannedTensor extends MatchedTensor {
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
 * Which output file holds which tensors: the files of the model at position `reference` (Left), or files of at most
 * `maxShardBytes` of tensors, filled in its order. In a file the most strictly aligned dtypes come first, then names in byte order, as the reference writer does.
 */
export function planOutput(
  matched: MatchedTensor[],
  model: { checkpoint: Checkpoint; reference: number },
  options: { dtype: FloatDtype | undefined; maxShardBytes: number | undefined },
): OutputFile[] {
  const { layout, files } = model.checkpoint
  const tensors = matched.map((tensor) => planTensor(tensor, options.dtype))
  const groups =
    options.maxShardBytes === undefined ? groupsOfReference(tensors, model) : fill(tensors, options.maxShardBytes)
  const keepNames = options.maxShardBytes === undefined && layout === 'sharded' && groups.length === files.length
  return groups.map((group, i) => ({
    name: keepNames ? (files[i]?.name as string) : shardName(i, groups.length),
    tensors: group.sort(inWritingOrder),
    bytes: totalBytes(group),
  }))
}

function planTensor(tensor: MatchedTensor, dtype: FloatDtype | undefined): PlannedTensor {
  const outputDtype = dtype && isFloat(tensor.dtype) ? dtype : tensor.dtype
  return { ...tensor, outputDtype, outputBytes: tensor.elements * dtypeBytes(outputDtype as Dtype) }
}

/** A file that would hold nothing (its only tensor was a tied head) is left out. */
function groupsOfReference(
  tensors: PlannedTensor[],
  { checkpoint, reference }: { checkpoint: Checkpoint; reference: number },
): PlannedTensor[][] {
  const groups: PlannedTensor[][] = checkpoint.files.map(() => [])
  for (const tensor of tensors) groups[tensor.models[reference]?.file as number]?.push(tensor)
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
