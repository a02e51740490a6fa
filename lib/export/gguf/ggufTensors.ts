import { isComputedBuffer } from '../../checkpoint/computedBuffers.js'
import type { DecoderShape } from '../../checkpoint/decoderShape.js'
import { decoderTensors } from '../../checkpoint/decoderTensors.js'
import type { Checkpoint, CheckpointTensor } from '../../checkpoint/openCheckpoint.js'
import { BranchMergeError } from '../../errors.js'
import type { GgufDtype, GgufTensor } from './ggufFile.js'
import { interleavesHeads } from './ggufModel.js'

/** A tensor of the checkpoint as the file has it. */
export interface ExportedTensor extends GgufTensor {
  source: CheckpointTensor
  /** Rows of a head whose halves are interleaved, or 0. */
  headRows: number
}

const outer: Record<string, string> = {
  'model.embed_tokens.weight': 'token_embd.weight',
  'model.norm.weight': 'output_norm.weight',
  'lm_head.weight': 'output.weight',
}

const ofLayer: Record<string, string> = {
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'self_attn.q_norm': 'attn_q_norm',
  'self_attn.k_norm': 'attn_k_norm',
  post_attention_layernorm: 'ffn_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
}

/**
 * The checkpoint's tensors under llama.cpp's names, in the order of the computation. Norms and biases are F32 whatever the
 * dtype: llama.cpp computes with nothing else there. A head that is the embedding matrix is not stored twice.
 *
 * @throws ERR_TENSOR_MISSING, ERR_SHAPE_MISMATCH, ERR_DTYPE_UNSUPPORTED, ERR_MODEL_UNSUPPORTED for a tensor that the
 *   architecture does not have
 */
export function exportedTensors(checkpoint: Checkpoint, shape: DecoderShape, dtype: GgufDtype): ExportedTensor[] {
  const weights = checkpoint.tensors.filter((tensor) => !isComputedBuffer(tensor))
  const found = new Map(weights.map((tensor) => [tensor.name, tensor]))
  const tensors = decoderTensors(shape).map(({ name, shape: expected }) => {
    const source = take(found, name, expected, checkpoint.path)
    const rotated = interleavesHeads(shape.family) && /\.self_attn\.[qk]_proj\./.test(name)
    return {
      name: ggufName(name),
      dtype: expected.length === 1 ? ('F32' as const) : dtype,
      shape: expected,
      source,
      headRows: rotated ? shape.headDim : 0,
    }
  })
  // Transformers ignores a stored head when the embedding matrix is the head.
  if (shape.tied) found.delete('lm_head.weight')
  const [extra] = found.keys()
  if (extra === undefined) return tensors
  throw new BranchMergeError(
    'ERR_MODEL_UNSUPPORTED',
    `${checkpoint.path}: a ${shape.family} model has no tensor '${extra}', and there would be no place for it.`,
  )
}

function take(
  found: Map<string, CheckpointTensor>,
  name: string,
  expected: readonly number[],
  path: string,
): CheckpointTensor {
  const tensor = found.get(name)
  if (!tensor)
    throw new BranchMergeError('ERR_TENSOR_MISSING', `Expected tensor '${name}' in ${path} but there is none`)
  if (tensor.shape.length !== expected.length || tensor.shape.some((size, i) => size !== expected[i])) {
    throw new BranchMergeError(
      'ERR_SHAPE_MISMATCH',
      `Expected shape [${expected}] for tensor '${name}' of ${path}, as config.json says, but it has [${tensor.shape}]`,
    )
  }
  if (!['BF16', 'F16', 'F32', 'F64'].includes(tensor.dtype)) {
    throw new BranchMergeError(
      'ERR_DTYPE_UNSUPPORTED',
      `Expected BF16, F16, F32 or F64 for tensor '${name}' of ${path} but it is ${tensor.dtype}`,
    )
  }
  found.delete(name)
  return tensor
}

function ggufName(name: string): string {
  const whole = outer[name]
  if (whole) return whole
  const [, layer, part = '', kind] = /^model\.layers\.(\d+)\.(.+)\.(weight|bias)$/.exec(name) ?? []
  return `blk.${layer}.${ofLayer[part]}.${kind}`
}
