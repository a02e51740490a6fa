#!/usr/bin/env node
/**
 * Writes two Qwen2-shaped bf16 checkpoints that look like two fine-tunes of one base model: DIR/left and DIR/right.
 *
 *   node bench/makePair.js tiny|2gb DIR [--delta 3e-4]
 */
import {
  closeSync,
  cpSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { qwen2Config, qwen2Tensors } from './pair/qwen2.js'
import { makeTokenizer } from './pair/tokenizer.js'
import { writeWeights } from './pair/weights.js'

/** @import { TensorPlan, Qwen2Shape } from './pair/qwen2.js' */

/** Changes whenever the same preset would give other bytes. */
const GENERATOR_VERSION = 1
const SEED = 20_250_306
/** What the fine-tunes left alone. */
const FROZEN = new Set(['model.norm.weight'])
const LICENSE = fileURLToPath(new URL('../LICENSE', import.meta.url))

/** @type {Record<string, Qwen2Shape & { maxShardBytes: number }>} */
export const PRESETS = {
  // 1.4 MB each, in one file: for examples and tests.
  tiny: { hidden: 64, intermediate: 1536, layers: 2, heads: 4, keyValueHeads: 2, vocabulary: 1000, maxShardBytes: 5e9 },
  // 1,004,859,904 parameters, 2.01 GB each, in three shards: Qwen2.5-3B with 9 of its 36 layers.
  '2gb': {
    hidden: 2048,
    intermediate: 11008,
    layers: 9,
    heads: 16,
    keyValueHeads: 2,
    vocabulary: 151936,
    maxShardBytes: 750e6,
  },
}

/** @param {TensorPlan} tensor */
const elementsOf = ({ shape }) => shape.reduce((product, size) => product * size, 1)

/**
 * In order, each shard as full as the limit allows.
 * @param {TensorPlan[]} tensors
 * @param {number} maxShardBytes
 */
function dealToShards(tensors, maxShardBytes) {
  /** @type {TensorPlan[][]} */
  const shards = [[]]
  let bytes = 0
  for (const tensor of tensors) {
    const size = elementsOf(tensor) * 2
    if (bytes > 0 && bytes + size > maxShardBytes) {
      shards.push([])
      bytes = 0
    }
    bytes += size
    shards.at(-1)?.push(tensor)
  }
  const name = (/** @type {number} */ index) => {
    const number = (/** @type {number} */ value) => String(value).padStart(5, '0')
    return shards.length === 1
      ? 'model.safetensors'
      : `model-${number(index + 1)}-of-${number(shards.length)}.safetensors`
  }
  return shards.map((shard, index) => ({ file: name(index), tensors: shard }))
}

/**
 * The first bytes of a shard (tensors sorted by name, padded to a multiple of 8, as the reference writer does), and the
 * position of each tensor.
 * @param {TensorPlan[]} tensors
 */
function layOutShard(tensors) {
  const sorted = tensors.toSorted((a, b) => (a.name < b.name ? -1 : 1))
  let end = 0
  const placed = sorted.map((tensor) => {
    const begin = end
    end += elementsOf(tensor) * 2
    return { tensor, begin, end }
  })
  const entries = placed.map((at) => [
    at.tensor.name,
    { dtype: 'BF16', shape: at.tensor.shape, data_offsets: [at.begin, at.end] },
  ])
  const json = JSON.stringify({ __metadata__: { format: 'pt' }, ...Object.fromEntries(entries) })
  const text = json.padEnd(Math.ceil(json.length / 8) * 8)
  const header = Buffer.alloc(8 + text.length)
  header.writeBigUInt64LE(BigInt(text.length))
  header.write(text, 8)
  return {
    header,
    bytes: header.length + end,
    positions: placed.map(({ tensor, begin }) => ({ tensor, position: header.length + begin })),
  }
}

/**
 * @param {string} path
 * @param {Buffer} header
 * @param {number} bytes
 */
function createShard(path, header, bytes) {
  const descriptor = openSync(path, 'w')
  writeSync(descriptor, header)
  ftruncateSync(descriptor, bytes)
  closeSync(descriptor)
}

/**
 * Everything beside the weights; only the sampling temperature tells the two fine-tunes apart.
 * @param {string} directory
 * @param {Qwen2Shape} model
 * @param {number} temperature
 */
function writeSideFiles(directory, model, temperature) {
  const { tokens, files } = makeTokenizer(readFileSync(LICENSE, 'utf8'), 640)
  /** @type {Record<string, unknown>} */
  const contents = {
    'config.json': qwen2Config(model, tokens),
    'generation_config.json': {
      bos_token_id: tokens.begin,
      do_sample: true,
      eos_token_id: [tokens.end, tokens.begin],
      pad_token_id: tokens.begin,
      temperature,
      top_k: 20,
      top_p: 0.8,
      transformers_version: '4.57.1',
    },
    ...files,
  }
  for (const [name, content] of Object.entries(contents)) {
    const text = typeof content === 'string' ? content : `${JSON.stringify(content, null, 2)}\n`
    writeFileSync(join(directory, name), text)
  }
  cpSync(LICENSE, join(directory, 'LICENSE'))
}

/**
 * @param {string} directory
 * @param {ReturnType<typeof dealToShards>} shards
 */
function writeIndex(directory, shards) {
  const files = shards.flatMap(({ file, tensors }) => tensors.map(({ name }) => /** @type {const} */ ([name, file])))
  const parameters = shards.flatMap(({ tensors }) => tensors).reduce((sum, tensor) => sum + elementsOf(tensor), 0)
  const index = {
    metadata: { total_parameters: parameters, total_size: parameters * 2 },
    weight_map: Object.fromEntries(files.toSorted(([a], [b]) => (a < b ? -1 : 1))),
  }
  writeFileSync(join(directory, 'model.safetensors.index.json'), `${JSON.stringify(index, null, 2)}\n`)
}

/** @param {string} marker @param {string} content */
const isUpToDate = (marker, content) => existsSync(marker) && readFileSync(marker, 'utf8') === content

/**
 * Makes `directory/left` and `directory/right`, or leaves them alone when the marker says that they are there already.
 * The same arguments give the same bytes everywhere.
 * @param {string} preset a key of {@link PRESETS}
 * @param {string} directory
 * @param {{ delta?: number }} [options] delta: standard deviation of each fine-tune's change; about 2e-4 to 5e-4 is
 *   what supervised fine-tuning does
 * @returns {Promise<{ left: string, right: string, parameters: number, made: boolean }>}
 */
export async function makePair(preset, directory, { delta = 3e-4 } = {}) {
  const model = PRESETS[preset]
  if (!model) throw new Error(`Expected one of ${Object.keys(PRESETS).join(', ')} for preset but received ${preset}`)
  if (!(delta >= 0)) throw new Error(`Expected a number of at least 0 for delta but received ${delta}`)
  const tensors = qwen2Tensors(model)
  const sides = { left: join(directory, 'left'), right: join(directory, 'right') }
  const parameters = tensors.reduce((sum, tensor) => sum + elementsOf(tensor), 0)
  const marker = join(directory, 'pair.json')
  const content = `${JSON.stringify({ preset, delta, seed: SEED, generator: GENERATOR_VERSION })}\n`
  if (isUpToDate(marker, content)) return { ...sides, parameters, made: false }

  for (const path of [marker, sides.left, sides.right]) rmSync(path, { recursive: true, force: true })
  for (const path of [sides.left, sides.right]) mkdirSync(path, { recursive: true })
  writeSideFiles(sides.left, model, 0.7)
  writeSideFiles(sides.right, model, 0.6)
  const shards = dealToShards(tensors, model.maxShardBytes)
  const order = new Map(tensors.map(({ name }, index) => [name, index]))
  const blocks = shards.flatMap(({ file, tensors: members }) => {
    const { header, bytes, positions } = layOutShard(members)
    const paths = { left: join(sides.left, file), right: join(sides.right, file) }
    for (const path of Object.values(paths)) createShard(path, header, bytes)
    return positions.map(({ tensor, position }) => ({
      tensor: order.get(tensor.name) ?? 0,
      elements: elementsOf(tensor),
      mean: tensor.mean,
      std: tensor.std,
      frozen: FROZEN.has(tensor.name),
      position,
      ...paths,
    }))
  })
  await writeWeights({ tensors: blocks, delta, seed: SEED })
  if (shards.length > 1) for (const path of Object.values(sides)) writeIndex(path, shards)
  writeFileSync(marker, content)
  return { ...sides, parameters, made: true }
}

async function main() {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { delta: { type: 'string' } } })
  const [preset, directory] = positionals
  if (!preset || !directory || positionals.length > 2) {
    throw new Error(`Usage: node bench/makePair.js ${Object.keys(PRESETS).join('|')} DIR [--delta 3e-4]`)
  }
  const pair = await makePair(preset, directory, values.delta === undefined ? {} : { delta: Number(values.delta) })
  const verb = pair.made ? 'Made' : 'Already there:'
  console.log(`${verb} ${pair.left} and ${pair.right}, ${pair.parameters.toLocaleString('en')} parameters each`)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error) => {
    console.error(error.message)
    process.exitCode = 1
  })
}
