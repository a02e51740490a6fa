import { isComputedBuffer } from '../../checkpoint/computedBuffers.js'
import type { Checkpoint, CheckpointTensor } from '../../checkpoint/openCheckpoint.js'

/** Names of the buffers that not all models store alike: nothing is lost without them. */
export function unequalBuffers(models: readonly { checkpoint: Checkpoint }[]): string[] {
  const stored = new Map<string, CheckpointTensor[]>()
  for (const tensor of models.flatMap(({ checkpoint }) => checkpoint.tensors)) {
    if (isComputedBuffer(tensor)) stored.set(tensor.name, [...(stored.get(tensor.name) ?? []), tensor])
  }
  const form = ({ dtype, shape }: CheckpointTensor) => `${dtype} ${shape.join()}`
  return [...stored]
    .filter(([, tensors]) => tensors.length < models.length || new Set(tensors.map(form)).size > 1)
    .map(([name]) => name)
}
