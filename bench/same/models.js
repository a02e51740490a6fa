import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { safetensors } from '../../test/corpus/writeSafetensors.js'
import { decode, encode } from '../../test/support/floats.js'
import { Random } from '../../test/support/random.js'

/**
 * Small fine-tunes of one model, of the shapes that real ones have: an embedding, biases, norms, integers, several shards.
 *
 * @typedef {import('../../test/support/floats.js').FloatDtype} FloatDtype
 * @typedef {{ dtype: string, shape: number[], data: Uint8Array }} TensorData
 * @typedef {Record<string, TensorData>} Tensors
 */

const hidden = 64
const intermediate = 160
const keyValue = 32
const layers = 3
export const vocabulary = 500

/** @type {[name: string, shape: number[]][]} */
const shapes = [
  ['model.embed_tokens.weight', [vocabulary, hidden]],
  ...Array.from(
    { length: layers },
    (_, i) => /** @type {[string, number[]][]} */ (layerShapes(`model.layers.${i}`)),
  ).flat(),
  ['model.norm.weight', [hidden]],
]

/** @param {string} layer @returns {[string, number[]][]} */
function layerShapes(layer) {
  return [
    [`${layer}.input_layernorm.weight`, [hidden]],
    [`${layer}.mlp.down_proj.weight`, [hidden, intermediate]],
    [`${layer}.mlp.gate_proj.weight`, [intermediate, hidden]],
    [`${layer}.mlp.up_proj.weight`, [intermediate, hidden]],
    [`${layer}.post_attention_layernorm.weight`, [hidden]],
    [`${layer}.self_attn.k_proj.bias`, [keyValue]],
    [`${layer}.self_attn.k_proj.weight`, [keyValue, hidden]],
    [`${layer}.self_attn.o_proj.weight`, [hidden, hidden]],
    [`${layer}.self_attn.q_proj.bias`, [hidden]],
    [`${layer}.self_attn.q_proj.weight`, [hidden, hidden]],
    [`${layer}.self_attn.v_proj.bias`, [keyValue]],
    [`${layer}.self_attn.v_proj.weight`, [keyValue, hidden]],
  ]
}

/** @param {FloatDtype} dtype @returns {Tensors} */
export function drawBase(dtype) {
  const random = new Random(1)
  return Object.fromEntries(
    shapes.map(([name, shape]) => {
      const elements = shape.reduce((product, size) => product * size, 1)
      const values = Array.from({ length: elements }, () => random.normal() * 0.02)
      return [name, { dtype, shape, data: encode(dtype, values) }]
    }),
  )
}

/** @param {Tensors} base @param {number} seed @returns {Tensors} a fine-tune of it */
export function trained(base, seed) {
  const random = new Random(seed)
  return Object.fromEntries(
    Object.entries(base).map(([name, tensor]) => {
      if (!/^(BF16|F16|F32|F64)$/.test(tensor.dtype) || name === 'model.norm.weight') return [name, tensor]
      const dtype = /** @type {FloatDtype} */ (tensor.dtype)
      const values = Array.from(decode(dtype, tensor.data), (value) =>
        random.uniform() < 0.3 ? value : value + random.normal() * 2e-3,
      )
      return [name, { ...tensor, data: encode(dtype, values) }]
    }),
  )
}

/** @param {Tensors} tensors @param {FloatDtype} dtype @returns {Tensors} the same values in another dtype */
export function converted(tensors, dtype) {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { dtype: from, shape, data }]) => {
      const values = Array.from(decode(/** @type {FloatDtype} */ (from), data))
      return [name, { dtype, shape, data: encode(dtype, values) }]
    }),
  )
}

/** @param {Tensors} tensors @param {number} rows @returns {Tensors} with a vocabulary of so many rows, new ones like the first */
export function withRows(tensors, rows) {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, tensor]) => {
      if (!/embed_tokens|lm_head/.test(name)) return [name, tensor]
      const [old, columns] = /** @type {[number, number]} */ (tensor.shape)
      const rowBytes = tensor.data.length / old
      const data = Buffer.concat([tensor.data, tensor.data.subarray(0, Math.max(0, rows - old) * rowBytes)])
      return [name, { ...tensor, shape: [rows, columns], data: data.subarray(0, rows * rowBytes) }]
    }),
  )
}

/**
 * Writes a checkpoint directory.
 *
 * @param {string} directory @param {Tensors} tensors
 * @param {{ shards?: number, config?: Record<string, unknown> }} [options]
 */
export function writeModel(directory, tensors, { shards = 1, config = {} } = {}) {
  mkdirSync(directory, { recursive: true })
  const names = Object.keys(tensors)
  const size = Math.ceil(names.length / shards)
  const number = (/** @type {number} */ n) => String(n).padStart(5, '0')
  /** @type {Record<string, string>} */
  const weightMap = {}
  for (let i = 0; i < shards; i++) {
    const file = shards === 1 ? 'model.safetensors' : `model-${number(i + 1)}-of-${number(shards)}.safetensors`
    const members = names.slice(i * size, (i + 1) * size)
    for (const name of members) weightMap[name] = file
    const entries = members.map((name) => [name, /** @type {TensorData} */ (tensors[name])])
    writeFileSync(join(directory, file), safetensors(Object.fromEntries(entries), { format: 'pt' }))
  }
  if (shards > 1) {
    const total = Object.values(tensors).reduce((sum, { data }) => sum + data.length, 0)
    const index = { metadata: { total_size: total }, weight_map: weightMap }
    writeFileSync(join(directory, 'model.safetensors.index.json'), `${JSON.stringify(index, null, 2)}\n`)
  }
  const fields = {
    architectures: ['Qwen2ForCausalLM'],
    hidden_size: hidden,
    intermediate_size: intermediate,
    model_type: 'qwen2',
    num_attention_heads: 4,
    num_hidden_layers: layers,
    num_key_value_heads: 2,
    tie_word_embeddings: true,
    torch_dtype: 'bfloat16',
    vocab_size: vocabulary,
    ...config,
  }
  writeFileSync(join(directory, 'config.json'), `${JSON.stringify(fields, null, 2)}\n`)
  writeFileSync(
    join(directory, 'tokenizer.json'),
    '{"version":"1.0","model":{"type":"BPE","vocab":{"a":0},"merges":[]}}\n',
  )
  writeFileSync(join(directory, 'tokenizer_config.json'), `{"tokenizer_class":"Qwen2Tokenizer","of":"${shards}"}\n`)
  writeFileSync(join(directory, 'LICENSE'), 'Apache License, Version 2.0\n')
  return directory
}
