import { isInteger } from './dtypes.js'
import type { CheckpointTensor } from './openCheckpoint.js'

/**
 * Whether a tensor is one that models compute from their configuration: frequencies of rotary embeddings, causal masks,
 * positions. Transformers stored them once and does no longer; loaders pass them over.
 */
export function isComputedBuffer({ name, dtype, shape }: Pick<CheckpointTensor, 'name' | 'dtype' | 'shape'>): boolean {
  if (rotary.test(name) || /(^|\.)masked_bias$/.test(name)) return true
  if (/(^|\.)position_ids$/.test(name)) return isInteger(dtype)
  // A bias is a vector; the mask of GPT-2 and GPT-NeoX is [1, 1, positions, positions].
  return /(^|\.)(attn|attention)\.(bias|causal_mask)$/.test(name) && shape.length === 4
}

const rotary = /(^|\.)rotary_(pos_)?emb\.((original_)?inv_freq|(cos|sin)_cached)$/
