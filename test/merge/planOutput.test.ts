import { expect, test } from 'vitest'
import type { Checkpoint } from '../../lib/checkpoint/openCheckpoint.js'
import { matchTensors } from '../../lib/merge/plan/matchTensors.js'
import { compareNames, indexText, needsIndex, planOutput } from '../../lib/merge/plan/planOutput.js'
import { checkpointOf } from '../support/checkpointOf.js'

const shards = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']
const sharded = checkpointOf(
  [
    ['b.half', 'BF16', [100], 0],
    ['b.word', 'F32', [100], 0],
    ['a.half', 'BF16', [100], 1],
    ['z.ids', 'I64', [10], 1],
    ['a.word', 'F32', [100], 1],
    ['c.half', 'F16', [100], 1],
  ],
  shards,
)
const pairOf = (checkpoint: Checkpoint, leftOut?: string) =>
  matchTensors(
    ['Left', 'Right'].map((label) => ({ label, checkpoint, leftOut: leftOut === undefined ? [] : [leftOut] })),
  )
const pairs = pairOf(sharded)
const plan = (options: { dtype?: 'F32' | 'F64'; maxShardBytes?: number } = {}, left = sharded, of = pairs) =>
  planOutput(
    of,
    { checkpoint: left, reference: 0 },
    { dtype: options.dtype, maxShardBytes: options.maxShardBytes },
  ).map(({ name, tensors, bytes }) => ({
    name,
    tensors: tensors.map((tensor) => tensor.name),
    bytes,
  }))

test("without a limit the output has Left's files, each in the reference writer's order", () => {
  expect(plan()).toEqual([
    { name: shards[0], tensors: ['b.word', 'b.half'], bytes: 600 },
    // Largest alignment first: I64, F32, BF16, F16; then names.
    { name: shards[1], tensors: ['z.ids', 'a.word', 'a.half', 'c.half'], bytes: 880 },
  ])
})

test("a limit fills files in Left's order and numbers them", () => {
  expect(plan({ maxShardBytes: 700 })).toEqual([
    { name: 'model-00001-of-00003.safetensors', tensors: ['b.word', 'b.half'], bytes: 600 },
    { name: 'model-00002-of-00003.safetensors', tensors: ['z.ids', 'a.word', 'a.half'], bytes: 680 },
    { name: 'model-00003-of-00003.safetensors', tensors: ['c.half'], bytes: 200 },
  ])
})

test('a tensor larger than the limit gets a file of its own, and none is empty', () => {
  const files = plan({ maxShardBytes: 100 })
  expect(files.map(({ tensors }) => tensors.length)).toEqual([1, 1, 1, 1, 1, 1])
  expect(files[5]?.name).toBe('model-00006-of-00006.safetensors')
})

test('all in one file is called model.safetensors and needs no index', () => {
  const files = planOutput(pairs, { checkpoint: sharded, reference: 0 }, { dtype: undefined, maxShardBytes: 1e9 })
  expect(files.map(({ name }) => name)).toEqual(['model.safetensors'])
  expect(needsIndex(files)).toBe(false)
})

test('conversion changes float tensors only, and the order follows the new dtypes', () => {
  const [, second] = planOutput(
    pairs,
    { checkpoint: sharded, reference: 0 },
    { dtype: 'F64', maxShardBytes: undefined },
  )
  expect(second?.tensors.map(({ name, outputDtype }) => `${name} ${outputDtype}`)).toEqual([
    'z.ids I64',
    'a.half F64',
    'a.word F64',
    'c.half F64',
  ])
  expect(second?.bytes).toBe(80 + 3 * 800)
})

test('a file that would be empty is left out and the others are numbered anew', () => {
  const left = checkpointOf(
    [
      ['a', 'F32', [1], 0],
      ['lm_head.weight', 'F32', [1], 1],
      ['b', 'F32', [1], 2],
    ],
    ['model-00001-of-00003.safetensors', 'model-00002-of-00003.safetensors', 'model-00003-of-00003.safetensors'],
  )
  const tied = pairOf(left, 'lm_head.weight')
  expect(plan({}, left, tied).map(({ name, tensors }) => [name, ...tensors])).toEqual([
    ['model-00001-of-00002.safetensors', 'a'],
    ['model-00002-of-00002.safetensors', 'b'],
  ])
})

test('names are ordered by their bytes, as the reference writer and Python order them', () => {
  const names = ['layers.10', 'layers.2', 'layers.1', 'Z', '\u{1f600}', '\uffee']
  expect(names.sort(compareNames)).toEqual(['Z', 'layers.1', 'layers.10', 'layers.2', '\uffee', '\u{1f600}'])
})

test('the index is what Hugging Face writes', () => {
  const files = planOutput(pairs, { checkpoint: sharded, reference: 0 }, { dtype: undefined, maxShardBytes: undefined })
  expect(needsIndex(files)).toBe(true)
  expect(indexText(files)).toBe(`{
  "metadata": {
    "total_size": 1480
  },
  "weight_map": {
    "a.half": "${shards[1]}",
    "a.word": "${shards[1]}",
    "b.half": "${shards[0]}",
    "b.word": "${shards[0]}",
    "c.half": "${shards[1]}",
    "z.ids": "${shards[1]}"
  }
}
`)
})

test('an index keeps tensors with names of the object prototype', () => {
  const odd = checkpointOf([['__proto__', 'F32', [1]]])
  const files = planOutput(
    pairOf(odd),
    { checkpoint: odd, reference: 0 },
    { dtype: undefined, maxShardBytes: undefined },
  )
  expect(indexText(files)).toContain('"__proto__": "model.safetensors"')
})
