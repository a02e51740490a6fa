import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { byteSize, decode, encode, type FloatDtype } from './floats.js'
import { Random } from './random.js'
import type { TestTensor } from './readSafetensors.js'

export type Tensors = Map<string, TestTensor>

const model = { hidden: 16, intermediate: 48, layers: 2, heads: 4, keyValueHeads: 2, vocabulary: 96 }

/** Names and shapes of a small Qwen2 model, without an output head: it is tied. */
export function qwen2Shapes({ layers, hidden, intermediate, heads, keyValueHeads, vocabulary } = model) {
  const keyValue = (hidden / heads) * keyValueHeads
  const shapes: [name: string, shape: number[]][] = [['model.embed_tokens.weight', [vocabulary, hidden]]]
  for (let i = 0; i < layers; i++) {
    const layer = `model.layers.${i}`
    shapes.push(
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
    )
  }
  return [...shapes, ['model.norm.weight', [hidden]] as [string, number[]]]
}

/** Weights of a base model, normal with the spread of trained ones. The same seed gives the same bytes. */
export function drawModel(options: { dtype?: FloatDtype; seed?: number; shapes?: [string, number[]][] } = {}): Tensors {
  const { dtype = 'BF16', seed = 1, shapes = qwen2Shapes() } = options
  const random = new Random(seed)
  return new Map(
    shapes.map(([name, shape]) => {
      const values = Array.from({ length: elementCount(shape) }, () => random.normal() * 0.02)
      return [name, { dtype, shape, data: encode(dtype, values) }]
    }),
  )
}

/** The model after some training: every float tensor moves a little, except those that `frozen` names. */
export function fineTune(base: Tensors, options: { seed: number; delta?: number; frozen?: string[] }): Tensors {
  const { seed, delta = 2e-3, frozen = ['model.norm.weight'] } = options
  const random = new Random(seed)
  return new Map(
    [...base].map(([name, tensor]) => {
      if (frozen.includes(name) || !(tensor.dtype in byteSize)) return [name, tensor]
      const dtype = tensor.dtype as FloatDtype
      const values = Array.from(decode(dtype, tensor.data), (value) => value + random.normal() * delta)
      return [name, { ...tensor, data: encode(dtype, values) }]
    }),
  )
}

export const elementCount = (shape: number[]): number => shape.reduce((product, size) => product * size, 1)

/** The bytes of a safetensors file: tensors in the order given, padded as the reference writer pads. */
export function safetensorsBytes(tensors: Tensors, metadata: Record<string, string> = { format: 'pt' }): Buffer {
  let end = 0
  const entries = [...tensors].map(([name, { dtype, shape, data }]) => {
    const begin = end
    end += data.length
    return [name, { dtype, shape, data_offsets: [begin, end] }]
  })
  const json = Buffer.from(JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(entries) }))
  const text = Buffer.concat([json, Buffer.alloc(-json.length & 7, ' ')])
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  return Buffer.concat([length, text, ...[...tensors.values()].map(({ data }) => data)])
}

export interface CheckpointContent {
  tensors: Tensors
  /** Names of the tensors in each shard; without it, one model.safetensors. */
  shards?: string[][]
  /** Fields of config.json beside the model's own; null for no config.json. */
  config?: Record<string, unknown> | null
  /** Further files, by name; directories of names are made. */
  files?: Record<string, string>
}

/** Writes a checkpoint directory with the files that a Qwen2 model has, and returns its path. */
export function writeCheckpoint(directory: string, { tensors, shards, config = {}, files = {} }: CheckpointContent) {
  mkdirSync(directory, { recursive: true })
  if (shards) writeShards(directory, tensors, shards)
  else writeFileSync(join(directory, 'model.safetensors'), safetensorsBytes(tensors))
  const texts = { ...(config ? { 'config.json': configText(config) } : {}), ...tokenizerFiles, ...files }
  for (const [name, text] of Object.entries(texts)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true })
    writeFileSync(join(directory, name), text)
  }
  return directory
}

function writeShards(directory: string, tensors: Tensors, shards: string[][]) {
  const number = (value: number) => String(value).padStart(5, '0')
  const weightMap: Record<string, string> = {}
  for (const [i, names] of shards.entries()) {
    const file = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`
    const members = new Map(names.map((name) => [name, tensors.get(name) as TestTensor]))
    writeFileSync(join(directory, file), safetensorsBytes(members))
    for (const name of names) weightMap[name] = file
  }
  const totalSize = [...tensors.values()].reduce((total, { data }) => total + data.length, 0)
  const index = { metadata: { total_size: totalSize }, weight_map: weightMap }
  writeFileSync(join(directory, 'model.safetensors.index.json'), `${JSON.stringify(index, null, 2)}\n`)
}

/** Deals the names to `count` shards of about as many tensors each. */
export function dealToShards(tensors: Tensors, count: number): string[][] {
  const names = [...tensors.keys()]
  const size = Math.ceil(names.length / count)
  return Array.from({ length: count }, (_, i) => names.slice(i * size, (i + 1) * size))
}

function configText(fields: Record<string, unknown>): string {
  const config = {
    architectures: ['Qwen2ForCausalLM'],
    hidden_size: model.hidden,
    intermediate_size: model.intermediate,
    model_type: 'qwen2',
    num_attention_heads: model.heads,
    num_hidden_layers: model.layers,
    num_key_value_heads: model.keyValueHeads,
    tie_word_embeddings: true,
    torch_dtype: 'bfloat16',
    vocab_size: model.vocabulary,
    ...fields,
  }
  // As Python prints a float: what a careless rewrite would turn into 1000000.
  return `${JSON.stringify(config, null, 2).slice(0, -2)},\n  "rope_theta": 1000000.0\n}\n`
}

const tokenizerFiles = {
  'generation_config.json': '{\n  "do_sample": true,\n  "temperature": 0.7\n}\n',
  'tokenizer.json': '{"version":"1.0","model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":[]}}\n',
  'tokenizer_config.json': '{\n  "tokenizer_class": "Qwen2Tokenizer"\n}\n',
  'vocab.json': '{"a":0,"b":1}\n',
  'merges.txt': '#version: 0.2\n',
  LICENSE: 'Apache License, Version 2.0\n',
  'README.md': '# The model this directory came with\n',
}

/** Two fine-tunes of one base in `directory`/left and `directory`/right, in one file or dealt to shards. */
export function writePair(
  directory: string,
  options: { dtype?: FloatDtype; leftShards?: number; rightShards?: number } = {},
) {
  const base = drawModel(options.dtype ? { dtype: options.dtype } : {})
  const write = (side: string, seed: number, shards: number | undefined) => {
    const tensors = fineTune(base, { seed })
    const path = join(directory, side)
    writeCheckpoint(path, shards ? { tensors, shards: dealToShards(tensors, shards) } : { tensors })
    return { path, tensors }
  }
  return { left: write('left', 2, options.leftShards), right: write('right', 3, options.rightShards) }
}
