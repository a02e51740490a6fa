/**
 * Weights of a base model and of two fine-tunes of it, block by block, in worker threads. A block's values depend on
 * the seed, the tensor and the block alone, so the files are the same at every number of threads.
 */
import { closeSync, openSync, writeSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { isMainThread, Worker, workerData } from 'node:worker_threads'

/**
 * @typedef {object} WeightBlocks one tensor's place in the two files
 * @property {number} tensor index of the tensor: part of the seed
 * @property {number} elements
 * @property {number} mean
 * @property {number} std
 * @property {boolean} frozen the fine-tunes did not touch it
 * @property {string} left path
 * @property {string} right path
 * @property {number} position of its first byte, the same in both files
 *
 * @typedef {object} WeightJob
 * @property {WeightBlocks[]} tensors
 * @property {number} delta standard deviation of a fine-tune's change
 * @property {number} seed
 */

/** 2 MiB of bf16: large enough for a write to be cheap, small enough to stay in L2 with its twin. */
const BLOCK_ELEMENTS = 1 << 20

/** 65536 normal deviates fit in L2, and bf16 can tell fewer apart. */
const TABLE_SIZE = 1 << 16

/**
 * Small fast counter generator: 32 bits a call, independent streams for different seeds.
 * @param {number} seed
 * @param {number} tensor
 * @param {number} block
 */
function randomBits(seed, tensor, block) {
  let [a, b, c, counter] = [seed, tensor, block, 1]
  const next = () => {
    const sum = (a + b + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + sum) | 0
    return sum
  }
  for (let i = 0; i < 12; i++) next() // the seeds have to spread first
  return next
}

/** @param {number} seed */
function normalTable(seed) {
  const next = randomBits(seed, 0, 0)
  const uniform = () => ((next() >>> 0) + 0.5) / 2 ** 32
  return Float32Array.from(
    { length: TABLE_SIZE },
    () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
  )
}

const float = new Float32Array(1)
const bits = new Uint32Array(float.buffer)

/** Nearest bf16, ties to even. @param {number} value */
function toBfloat16(value) {
  float[0] = value
  const word = bits[0] ?? 0
  return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16
}

/** @param {number} value */
function roundToBfloat16(value) {
  bits[0] = toBfloat16(value) << 16
  return float[0] ?? 0
}

/**
 * @param {WeightJob} job
 * @param {number} worker
 * @param {number} workers
 */
function writeBlocks({ tensors, delta, seed }, worker, workers) {
  const normal = normalTable(seed)
  const change = normal.map((value) => value * delta)
  const unchanged = new Float32Array(TABLE_SIZE)
  const left = new Uint16Array(BLOCK_ELEMENTS)
  const right = new Uint16Array(BLOCK_ELEMENTS)
  const descriptors = new Map()
  const descriptor = (/** @type {string} */ path) => {
    if (!descriptors.has(path)) descriptors.set(path, openSync(path, 'r+'))
    return descriptors.get(path)
  }
  let turn = 0
  for (const { tensor, elements, mean, std, frozen, position, ...paths } of tensors) {
    // The base model was stored in bf16 too.
    const base = normal.map((value) => roundToBfloat16(mean + std * value))
    for (let first = 0; first < elements; first += BLOCK_ELEMENTS, turn++) {
      if (turn % workers !== worker) continue
      const count = Math.min(BLOCK_ELEMENTS, elements - first)
      const next = randomBits(seed, tensor + 1, first / BLOCK_ELEMENTS)
      fillBlock(left, right, count, base, frozen ? unchanged : change, next)
      writeSync(descriptor(paths.left), left, 0, count * 2, position + first * 2)
      writeSync(descriptor(paths.right), right, 0, count * 2, position + first * 2)
    }
  }
  for (const open of descriptors.values()) closeSync(open)
}

/**
 * @param {Uint16Array} left
 * @param {Uint16Array} right
 * @param {number} count
 * @param {Float32Array} base
 * @param {Float32Array} change
 * @param {() => number} next
 */
function fillBlock(left, right, count, base, change, next) {
  for (let i = 0; i < count; i++) {
    const first = next()
    const weight = base[first >>> 16] ?? 0
    left[i] = toBfloat16(weight + (change[first & 0xffff] ?? 0))
    right[i] = toBfloat16(weight + (change[next() >>> 16] ?? 0))
  }
}

/**
 * Fills the data of existing files.
 * @param {WeightJob} job
 * @returns {Promise<void>}
 */
export async function writeWeights(job) {
  const workers = availableParallelism()
  const run = (/** @type {number} */ worker) =>
    new Promise((resolve, reject) => {
      const thread = new Worker(new URL(import.meta.url), { workerData: { weightJob: job, worker, workers } })
      thread.on('error', reject)
      thread.on('exit', resolve)
    })
  await Promise.all(Array.from({ length: workers }, (_, worker) => run(worker)))
}

if (!isMainThread && workerData?.weightJob) writeBlocks(workerData.weightJob, workerData.worker, workerData.workers)
