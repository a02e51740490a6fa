import { expect, test } from 'vitest'
import type { Checkpoint } from '../../lib/checkpoint/openCheckpoint.js'
import { BranchMergeError } from '../../lib/errors.js'
import { matchTensors } from '../../lib/merge/plan/matchTensors.js'
import { checkpointOf } from '../support/checkpointOf.js'

const base: [name: string, dtype: string, shape: number[]][] = [
  ['model.embed_tokens.weight', 'BF16', [8, 4]],
  ['model.layers.0.weight', 'F32', [4, 4]],
  ['model.norm.weight', 'F16', [4]],
  ['position_ids', 'I64', [1, 8]],
]

const pairTensors = (left: Checkpoint, right: Checkpoint) =>
  matchTensors([
    { label: 'Left', checkpoint: left },
    { label: 'Right', checkpoint: right },
  ])

function failure(left: Checkpoint, right: Checkpoint): BranchMergeError {
  try {
    pairTensors(left, right)
  } catch (error) {
    if (error instanceof BranchMergeError) return error
    throw error
  }
  throw new Error('Expected a refusal')
}

const change = (name: string, dtype: string, shape: number[]) =>
  checkpointOf(base.map((entry) => (entry[0] === name ? ([name, dtype, shape] as const) : entry)))

test("pairs come in Left's order, whatever Right's", () => {
  const pairs = pairTensors(checkpointOf(base), checkpointOf(base.toReversed()))
  expect(pairs.map(({ name }) => name)).toEqual(base.map(([name]) => name))
  expect(pairs[1]).toMatchObject({ dtype: 'F32', shape: [4, 4], elements: 16 })
  for (const { name, models } of pairs) expect(models.map((tensor) => tensor.name)).toEqual([name, name])
})

test('a tensor that one side lacks is named with both sides', () => {
  const less = checkpointOf(base.slice(0, 3))
  expect(failure(checkpointOf(base), less)).toMatchObject({ code: 'ERR_TENSOR_MISSING' })
  expect(failure(checkpointOf(base), less).message).toContain('"position_ids" is in Left but not in Right')
  expect(failure(less, checkpointOf(base)).message).toContain('"position_ids" is in Right but not in Left')
})

test('an output head of one model only comes with a hint', () => {
  const more = checkpointOf([...base, ['lm_head.weight', 'BF16', [8, 4]]])
  expect(failure(more, checkpointOf(base)).message).toContain('--heads embedding takes the embedding as the head')
})

test('an adapter is told as such beside a model, and is as good as any beside another', () => {
  const name = 'base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight'
  const adapter = checkpointOf([[name, 'F32', [8, 4]]])
  expect(failure(checkpointOf(base), adapter).message).toMatch(
    / Right, .*, holds an adapter: merge that into its base first\./,
  )
  expect(failure(checkpointOf(base), checkpointOf([])).message).not.toContain('adapter')
  expect(pairTensors(adapter, adapter)).toHaveLength(1)
})

test('different dtypes, shapes, and dtypes that fusion does not know are refused by name', () => {
  const cases: [Checkpoint, string, string][] = [
    [
      change('model.norm.weight', 'F32', [4]),
      'ERR_DTYPE_MISMATCH',
      '"model.norm.weight" is F16 in Left and F32 in Right',
    ],
    [
      change('model.embed_tokens.weight', 'BF16', [9, 4]),
      'ERR_SHAPE_MISMATCH',
      '"model.embed_tokens.weight" is [8, 4] in Left and [9, 4] in Right',
    ],
    // Equal numbers of elements do not make equal shapes.
    [change('model.layers.0.weight', 'F32', [2, 8]), 'ERR_SHAPE_MISMATCH', '[4, 4] in Left and [2, 8] in Right'],
    [change('model.layers.0.weight', 'F32', [16]), 'ERR_SHAPE_MISMATCH', '[4, 4] in Left and [16] in Right'],
  ]
  for (const [right, code, text] of cases) {
    expect(failure(checkpointOf(base), right).code).toBe(code)
    expect(failure(checkpointOf(base), right).message).toContain(text)
  }
  for (const dtype of ['F8_E4M3', 'F8_E5M2', 'F4', 'C64']) {
    const quantised = change('model.layers.0.weight', dtype, [4, 4])
    expect(failure(quantised, quantised)).toMatchObject({ code: 'ERR_DTYPE_UNSUPPORTED' })
    expect(failure(quantised, quantised).message).toContain(`"model.layers.0.weight" is ${dtype}`)
  }
})

test("all problems are listed under the first one's code, up to twenty", () => {
  const many = (shape: number[]) =>
    checkpointOf(Array.from({ length: 30 }, (_, i) => [`layer.${i}`, 'F32', shape] as const))
  const { code, message } = failure(many([4, 4]), many([4, 5]))
  expect(code).toBe('ERR_SHAPE_MISMATCH')
  expect(message.match(/^ {2}"layer\.\d+"/gm)).toHaveLength(20)
  expect(message).toContain('and 10 more')
})

test('nothing in common is not an empty success', () => {
  expect(failure(checkpointOf([]), checkpointOf([])).code).toBe('ERR_TENSOR_MISSING')
})

test('names of the object prototype are names like others', () => {
  const names = ['__proto__', 'constructor', 'toString']
  const odd = checkpointOf(names.map((name) => [name, 'F32', [1]] as const))
  expect(pairTensors(odd, odd).map(({ name }) => name)).toEqual(names)
  expect(failure(odd, checkpointOf([['toString', 'F32', [1]]])).message).toContain('"__proto__" is in Left')
})
