import type { DecoderShape } from './decoderShape.js'

/** A tensor of a decoder, and what it starts as in a new model: normal numbers, ones (norms) or zeros (biases). */
export interface DecoderTensor {
  name: string
  shape: number[]
  start: 'normal' | 'ones' | 'zeros'
}

/** Every tensor of a decoder by the names that Transformers gives it, in the order of the computation. */
export function decoderTensors(model: DecoderShape): DecoderTensor[] {
  const { hiddenSize, vocabularySize, tied } = model
  return [
    matrix('model.embed_tokens', vocabularySize, hiddenSize),
    ...Array.from({ length: model.layers }, (_, layer) => layerTensors(model, `model.layers.${layer}`)).flat(),
    norm('model.norm', hiddenSize),
    ...(tied ? [] : [matrix('lm_head', vocabularySize, hiddenSize)]),
  ]
}

function layerTensors(model: DecoderShape, prefix: string): DecoderTensor[] {
  const { hiddenSize, intermediateSize, inputBias, outputBias, mlpBias } = model
  const [query, keyValue] = [model.heads * model.headDim, model.keyValueHeads * model.headDim]
  const headNorms = model.family === 'qwen3' ? ['q_norm', 'k_norm'] : []
  const attention = `${prefix}.self_attn`
  return [
    norm(`${prefix}.input_layernorm`, hiddenSize),
    ...linear(`${attention}.q_proj`, query, hiddenSize, inputBias),
    ...linear(`${attention}.k_proj`, keyValue, hiddenSize, inputBias),
    ...linear(`${attention}.v_proj`, keyValue, hiddenSize, inputBias),
    ...headNorms.map((name) => norm(`${attention}.${name}`, model.headDim)),
    ...linear(`${attention}.o_proj`, hiddenSize, query, outputBias),
    norm(`${prefix}.post_attention_layernorm`, hiddenSize),
    ...linear(`${prefix}.mlp.gate_proj`, intermediateSize, hiddenSize, mlpBias),
    ...linear(`${prefix}.mlp.up_proj`, intermediateSize, hiddenSize, mlpBias),
    ...linear(`${prefix}.mlp.down_proj`, hiddenSize, intermediateSize, mlpBias),
  ]
}

function linear(name: string, rows: number, columns: number, bias: boolean): DecoderTensor[] {
  const weight = matrix(name, rows, columns)
  return bias ? [weight, { name: `${name}.bias`, shape: [rows], start: 'zeros' }] : [weight]
}

const matrix = (name: string, rows: number, columns: number): DecoderTensor => ({
  name: `${name}.weight`,
  shape: [rows, columns],
  start: 'normal',
})

const norm = (name: string, size: number): DecoderTensor => ({ name: `${name}.weight`, shape: [size], start: 'ones' })
