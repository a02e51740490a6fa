/** Pairs of checkpoints, each good on its own, that cannot be fused with each other; and odd ones that can. */

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { float32, int64, safetensors, writeFiles } from './writeSafetensors.js'

/** @typedef {import('./writeSafetensors.js').TensorData} TensorData */
/** @typedef {Record<string, TensorData>} Tensors */
/** @typedef {(directory: string) => Promise<{ left: string, right: string }>} WritePair */
/** @typedef {{ name: string, code: import('../../lib/errors.js').ErrorCode, write: WritePair }} BadPair */

const embedding = 'model.embed_tokens.weight'
const head = 'lm_head.weight'
const matrix = float32([1, 2, 3, 4, 5, 6], [2, 3])
const flag = { dtype: 'BOOL', shape: [1], data: Uint8Array.of(1) }
const otherMatrix = float32([1, 2, 3, 4, 5, 7], [2, 3])

/** @param {Tensors} left @param {Tensors} right @param {object} config @returns {WritePair} */
function writer(left, right, config) {
  return async (directory) => {
    const sides = { left: join(directory, 'left'), right: join(directory, 'right') }
    for (const [side, tensors] of /** @type {const} */ ([
      ['left', left],
      ['right', right],
    ])) {
      await mkdir(sides[side])
      const weights = safetensors(tensors, { format: 'pt' })
      await writeFiles(sides[side], { 'model.safetensors': weights, 'config.json': JSON.stringify(config) })
    }
    return sides
  }
}

const untied = { model_type: 'qwen2', tie_word_embeddings: false }
const tied = { model_type: 'qwen2', tie_word_embeddings: true }

/** @param {string} name @param {BadPair['code']} code @param {Tensors} left @param {Tensors} right @param {object} [config] @returns {BadPair} */
const pair = (name, code, left, right, config = untied) => ({ name, code, write: writer(left, right, config) })

/** @type {BadPair[]} */
export const badPairs = [
  pair('dtype differs', 'ERR_DTYPE_MISMATCH', { w: matrix }, { w: { ...matrix, dtype: 'I32' } }),
  pair('shape differs', 'ERR_SHAPE_MISMATCH', { w: matrix }, { w: { ...matrix, shape: [3, 2] } }),
  pair('tensor missing in Right', 'ERR_TENSOR_MISSING', { w: matrix, v: matrix }, { w: matrix }),
  pair('tensor missing in Left', 'ERR_TENSOR_MISSING', { w: matrix }, { w: matrix, v: matrix }),
  pair('no tensors', 'ERR_TENSOR_MISSING', {}, {}),
  pair(
    'head in one model only',
    'ERR_TENSOR_MISSING',
    { [embedding]: matrix, [head]: matrix },
    { [embedding]: matrix },
  ),
  pair(
    'tied head that differs from its embedding',
    'ERR_TIED_WEIGHTS',
    { [embedding]: matrix, [head]: otherMatrix },
    { [embedding]: matrix },
    tied,
  ),
  pair('integers differ', 'ERR_INTEGER_MISMATCH', { w: int64([1, 2]) }, { w: int64([1, 3]) }),
  pair(
    'F8 tensors',
    'ERR_DTYPE_UNSUPPORTED',
    { w: { dtype: 'F8_E4M3', shape: [2], data: Uint8Array.of(1, 2) } },
    { w: { dtype: 'F8_E4M3', shape: [2], data: Uint8Array.of(1, 3) } },
  ),
  pair('NaN in Left', 'ERR_NON_FINITE', { w: float32([1, Number.NaN]) }, { w: float32([1, 2]) }),
  pair('infinity in Right', 'ERR_NON_FINITE', { w: float32([1, 2]) }, { w: float32([1, Number.POSITIVE_INFINITY]) }),
]

/** What the fused checkpoint of each holds. @type {{ name: string, write: WritePair, tensors: string[] }[]} */
export const oddPairs = [
  {
    name: 'tied head stored in one model only, equal to its embedding',
    write: writer({ [embedding]: matrix, [head]: matrix }, { [embedding]: otherMatrix }, tied),
    tensors: [embedding],
  },
  {
    name: 'tensors in another order',
    write: writer({ v: matrix, w: otherMatrix }, { w: matrix, v: otherMatrix }, untied),
    tensors: ['v', 'w'],
  },
  {
    name: 'weights at odd positions',
    write: writer({ flag, w: matrix }, { flag, w: otherMatrix }, untied),
    tensors: ['flag', 'w'],
  },
  {
    name: 'equal integers beside weights',
    write: writer({ w: matrix, ids: int64([1, 2]) }, { w: otherMatrix, ids: int64([1, 2]) }, untied),
    tensors: ['ids', 'w'],
  },
]
