import { type Dtype, dtypeBytes } from '../../lib/checkpoint/dtypes.js'
import type { Checkpoint, CheckpointTensor } from '../../lib/checkpoint/openCheckpoint.js'
import { elementCount } from './writeCheckpoint.js'

type Entry = readonly [name: string, dtype: string, shape: number[], file?: number]

/** A checkpoint as openCheckpoint describes one, of tensors that lie in no file. */
export function checkpointOf(entries: readonly Entry[], fileNames: string[] = ['model.safetensors']): Checkpoint {
  const ends = fileNames.map(() => 64)
  const tensors: CheckpointTensor[] = entries.map(([name, dtype, shape, file = 0]) => {
    const elements = elementCount(shape)
    const bytes = elements * dtypeBytes(dtype as Dtype)
    const begin = ends[file] as number
    ends[file] = begin + bytes
    return { name, dtype, shape, elements, bytes, file, begin, end: begin + bytes }
  })
  return {
    path: 'model',
    directory: 'model',
    layout: fileNames.length > 1 ? 'sharded' : 'single',
    files: fileNames.map((name, i) => ({
      name,
      path: `model/${name}`,
      bytes: ends[i] as number,
      headerHash: '0123456789abcdef',
      metadata: [],
    })),
    tensors,
    parameters: tensors.reduce((total, { elements }) => total + elements, 0),
    bytes: tensors.reduce((total, { bytes }) => total + bytes, 0),
    problems: [],
  }
}
