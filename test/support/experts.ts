import { join } from 'node:path'
import type { FloatDtype } from './floats.js'
import {
  type CheckpointContent,
  dealToShards,
  drawModel,
  fineTune,
  type Tensors,
  writeCheckpoint,
} from './writeCheckpoint.js'

export interface Experts {
  /** Paths by name. */
  paths: Record<'math' | 'science' | 'coding', string>
  tensors: Record<'math' | 'science' | 'coding', Tensors>
}

/** Three fine-tunes of one base in `directory`, each laid out in its own way. */
export function writeExperts(
  directory: string,
  options: { dtype?: FloatDtype; base?: Tensors; content?: Partial<CheckpointContent> } = {},
): Experts {
  const base = options.base ?? drawModel(options.dtype ? { dtype: options.dtype } : {})
  const shards = { math: 3, science: undefined, coding: 2 }
  const names = ['math', 'science', 'coding'] as const
  const tensors = names.map((_, i) => fineTune(base, { seed: i + 2 }))
  const paths = names.map((name, i) => {
    const own = tensors[i] as Tensors
    const count = shards[name]
    const content = { tensors: own, ...(count ? { shards: dealToShards(own, count) } : {}), ...options.content }
    return writeCheckpoint(join(directory, name), content)
  })
  const byName = <T>(values: T[]) =>
    Object.fromEntries(names.map((name, i) => [name, values[i] as T])) as Record<(typeof names)[number], T>
  return { paths: byName(paths), tensors: byName(tensors) }
}
