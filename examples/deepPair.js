#!/usr/bin/env node
/**
 * Writes two small Qwen2-shaped checkpoints of 28 layers whose fine-tunes changed some layers and kinds of weight more than
 * others, as real ones do: DIR/left and DIR/right, 2.9 MB each. For the picture in docs/report.md. The same everywhere.
 *
 *   node examples/deepPair.js DIR
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const layers = 28
const [hidden, intermediate, keyValue, vocabulary] = [64, 176, 32, 512]
/** Low-rank part of a fine-tune's change. */
const rank = 2

/**
 * Names, shapes and how much each fine-tune changes them: the standard deviation of the change, and the part of it that is
 * low-rank. Zero leaves the tensor alone.
 * @returns {{ name: string, shape: number[], mean: number, change: number, lowRank: number }[]}
 */
function tensors() {
  const outside = (name, shape, change) => ({ name, shape, mean: shape.length === 1 ? 1 : 0, change, lowRank: 0 })
  const layer = (index) => {
    const depth = index / (layers - 1)
    // The middle learns most; the first layers hardly move, so that bf16 rounds most of their change away.
    const size = 3e-6 + 5e-4 * 4 * depth * (1 - depth) + 2e-4 * depth
    const at = (name, shape, factor, lowRank) => ({
      name: `model.layers.${index}.${name}`,
      shape,
      mean: name.includes('norm') ? 1 : 0,
      change: size * factor,
      lowRank,
    })
    return [
      at('input_layernorm.weight', [hidden], index < 4 ? 0 : 20, 0),
      at('mlp.down_proj.weight', [hidden, intermediate], 1, 0.3 + 0.4 * depth),
      at('mlp.gate_proj.weight', [intermediate, hidden], 1, 0.2 + 0.5 * depth),
      at('mlp.up_proj.weight', [intermediate, hidden], 1, 0.2 + 0.5 * depth),
      at('post_attention_layernorm.weight', [hidden], index < 4 ? 0 : 20, 0),
      at('self_attn.k_proj.bias', [keyValue], 1, 0),
      at('self_attn.k_proj.weight', [keyValue, hidden], 0.8, 0.9 - 0.6 * depth),
      at('self_attn.o_proj.weight', [hidden, hidden], 0.8, 0.5),
      at('self_attn.q_proj.bias', [hidden], 1, 0),
      at('self_attn.q_proj.weight', [hidden, hidden], 0.8, 0.9 - 0.6 * depth),
      at('self_attn.v_proj.bias', [keyValue], 1, 0),
      at('self_attn.v_proj.weight', [keyValue, hidden], 0.9, 0.6),
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
  if (!directory || rest.length > 0) throw new Error('Usage: node examples/deepPair.js DIR')
  const plan = tensors()
  const base = plan.map(({ shape, mean }, i) => {
    const draw = normal(1000 + i)
    const elements = shape.reduce((product, size) => product * size, 1)
    return Array.from({ length: elements }, () => mean + 0.02 * draw())
  })
  for (const [side, seed] of /** @type {const} */ ([['left', 2_000_000], ['right', 3_000_000]])) {
    const entries = plan.map((tensor, i) => {
      const change = drawChange(tensor, normal(seed + i))
      return [tensor.name, tensor.shape, bfloat16Bytes(change.map((value, j) => value + base[i][j]))]
    })
    mkdirSync(join(directory, side), { recursive: true })
    writeFileSync(join(directory, side, 'model.safetensors'), safetensors(entries))
    writeFileSync(join(directory, side, 'config.json'), `${JSON.stringify(config(), null, 2)}\n`)
  }
}

main()
