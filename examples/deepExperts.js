#!/usr/bin/env node
/**
 * Writes three small Qwen2-shaped checkpoints of 28 layers, fine-tunes of one base that changed some layers and kinds of
 * weight more than others, as real ones do: DIR/math, DIR/science and DIR/coding, 2.8 MB each. For the picture in
 * docs/report.md. The same bytes everywhere.
 *
 *   node examples/deepExperts.js DIR
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const layers = 28
const [hidden, intermediate, keyValue, vocabulary] = [64, 176, 32, 512]
/** Low-rank part of a fine-tune's change. */
const rank = 2

/**
 * What fine-tunes changed: the size of the changes by depth, from 0 to 1, and the part of them that is low-rank, in attention
 * and MLP. Where the size is small, bf16 rounds most of the change away.
 *
 * @typedef {object} Training
 * @property {(depth: number) => number} size
 * @property {(depth: number) => number} attention
 * @property {(depth: number) => number} mlp
 */

/** @type {Training} */
const reasoning = {
  size: (depth) => 3e-6 + 2e-3 * depth * (1 - depth) + 2e-4 * depth,
  attention: (depth) => 0.9 - 0.6 * depth,
  mlp: (depth) => 0.2 + 0.5 * depth,
}

/** @type {Training} */
const programming = {
  size: (depth) => 2e-4 + 3e-3 * depth * depth,
  attention: () => 0.2,
  mlp: (depth) => 0.2 + 0.8 * depth,
}

const experts = {
  math: { seed: 2_000_000, training: reasoning },
  science: { seed: 3_000_000, training: reasoning },
  coding: { seed: 4_000_000, training: programming },
}

/**
 * Names and shapes; by how much of the training's size a tensor changes, and what part of that is low-rank.
 * @param {Training} training
 * @returns {{ name: string, shape: number[], mean: number, change: number, lowRank: number }[]}
 */
function tensors({ size, attention, mlp }) {
  const outside = (name, shape, change) => ({ name, shape, mean: shape.length === 1 ? 1 : 0, change, lowRank: 0 })
  const layer = (index) => {
    const depth = index / (layers - 1)
    const at = (name, shape, factor, lowRank) => ({
      name: `model.layers.${index}.${name}`,
      shape,
      mean: name.includes('norm') ? 1 : 0,
      change: size(depth) * factor,
      lowRank,
    })
    // Around 1, bf16 is fifty times coarser than around 0.02.
    const norms = index < 4 ? 0 : 20
    return [
      at('input_layernorm.weight', [hidden], norms, 0),
      at('mlp.down_proj.weight', [hidden, intermediate], 1, mlp(depth)),
      at('mlp.gate_proj.weight', [intermediate, hidden], 1, mlp(depth)),
      at('mlp.up_proj.weight', [intermediate, hidden], 1, mlp(depth)),
      at('post_attention_layernorm.weight', [hidden], norms, 0),
      at('self_attn.k_proj.bias', [keyValue], 1, 0),
      at('self_attn.k_proj.weight', [keyValue, hidden], 0.8, attention(depth)),
      at('self_attn.o_proj.weight', [hidden, hidden], 0.8, attention(0.5)),
      at('self_attn.q_proj.bias', [hidden], 1, 0),
      at('self_attn.q_proj.weight', [hidden, hidden], 0.8, attention(depth)),
      at('self_attn.v_proj.bias', [keyValue], 1, 0),
      at('self_attn.v_proj.weight', [keyValue, hidden], 0.9, attention(0.3)),
    ]
  }
  return [
    outside('model.embed_tokens.weight', [vocabulary, hidden], 1.5e-4),
    ...Array.from({ length: layers }, (_, index) => layer(index)).flat(),
    outside('model.norm.weight', [hidden], 0),
    outside('lm_head.weight', [vocabulary, hidden], 4e-4),
  ]
}

/** A generator of numbers with mean 0 and variance 1, nearly normal: sums of twelve, exact in float64. @param {number} seed */
function normal(seed) {
  let state = seed >>> 0
  const uniform = () => {
    state = (state + 0x9e3779b9) >>> 0
    let bits = state
    bits = Math.imul(bits ^ (bits >>> 16), 0x21f0aaad)
    bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97)
    return ((bits ^ (bits >>> 15)) >>> 0) / 2 ** 32
  }
  return () => {
    let sum = -6
    for (let i = 0; i < 12; i++) sum += uniform()
    return sum
  }
}

/** Full-rank noise and a product of two thin matrices, in the proportion asked for. */
function drawChange({ shape, change, lowRank }, draw) {
  const columns = shape.at(-1)
  const rows = shape.length === 1 ? 1 : shape[0]
  const thin = (count) => Array.from({ length: count * rank }, draw)
  const [tall, wide] = [thin(rows), thin(columns)]
  return Array.from({ length: rows * columns }, (_, i) => {
    const [row, column] = [Math.floor(i / columns), i % columns]
    let product = 0
    for (let k = 0; k < rank; k++) product += tall[row * rank + k] * wide[column * rank + k]
    return change * (draw() * (1 - lowRank) + (product / Math.sqrt(rank)) * lowRank)
  })
}

/** Little-endian bf16, nearest, ties to even. @param {number[]} values */
function bfloat16Bytes(values) {
  const bits = new Uint32Array(Float32Array.from(values).buffer)
  const bytes = Buffer.alloc(values.length * 2)
  bits.forEach((word, i) => bytes.writeUInt16LE((word + 0x7fff + ((word >>> 16) & 1)) >>> 16, i * 2))
  return bytes
}

/** @param {[name: string, shape: number[], data: Buffer][]} entries */
function safetensors(entries) {
  let end = 0
  const header = Object.fromEntries(
    entries.map(([name, shape, data]) => {
      const begin = end
      end += data.length
      return [name, { dtype: 'BF16', shape, data_offsets: [begin, end] }]
    }),
  )
  const json = JSON.stringify({ __metadata__: { format: 'pt' }, ...header })
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  return Buffer.concat([length, text, ...entries.map(([, , data]) => data)])
}

function config() {
  return {
    architectures: ['Qwen2ForCausalLM'],
    hidden_size: hidden,
    intermediate_size: intermediate,
    model_type: 'qwen2',
    num_attention_heads: 4,
    num_hidden_layers: layers,
    num_key_value_heads: 2,
    rms_norm_eps: 1e-6,
    tie_word_embeddings: false,
    torch_dtype: 'bfloat16',
    vocab_size: vocabulary,
  }
}

function main() {
  const [directory, ...rest] = process.argv.slice(2)
  if (!directory || rest.length > 0) throw new Error('Usage: node examples/deepExperts.js DIR')
  const base = tensors(reasoning).map(({ shape, mean }, i) => {
    const draw = normal(1000 + i)
    const elements = shape.reduce((product, size) => product * size, 1)
    return Array.from({ length: elements }, () => mean + 0.02 * draw())
  })
  for (const [name, { seed, training }] of Object.entries(experts)) {
    const entries = tensors(training).map((tensor, i) => {
      const change = drawChange(tensor, normal(seed + i))
      return [tensor.name, tensor.shape, bfloat16Bytes(change.map((value, j) => value + base[i][j]))]
    })
    mkdirSync(join(directory, name), { recursive: true })
    writeFileSync(join(directory, name, 'model.safetensors'), safetensors(entries))
    writeFileSync(join(directory, name, 'config.json'), `${JSON.stringify(config(), null, 2)}\n`)
  }
}

main()
