import { describe, expect, test } from 'vitest'
import * as api from '../lib/index.js'

type Call = (...args: unknown[]) => unknown

const functions: [name: string, call: Call][] = Object.entries({ ...api, ...prefixed(api.plan) }).flatMap(
  ([name, value]) =>
    typeof value === 'function' && value !== api.BranchMergeError ? [[name, value as unknown as Call]] : [],
)

function prefixed(calls: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(calls).map(([name, call]) => [`plan.${name}`, call]))
}

const wrong = [
  undefined,
  null,
  true,
  0,
  Number.NaN,
  '',
  '\0',
  7n,
  Symbol('x'),
  [],
  [null],
  {},
  { x: 1 },
  () => {},
  new Map(),
]

/** Every wrong value alone, and behind arguments of the right kind. */
const calls: unknown[][] = [
  [],
  ...wrong.flatMap((value) => [
    [value],
    [value, value],
    [value, value, value],
    ['nothing', value],
    ['nothing.yaml', value],
    ['nothing', 'nothing', value],
    [['nothing.yaml'], value],
    [{}, value],
  ]),
]

/** What a call came to: the code of our error, or what is no error of ours. */
async function outcome(call: Call, args: unknown[]): Promise<unknown> {
  try {
    await call(...args)
    return 'no error'
  } catch (error) {
    return error instanceof api.BranchMergeError ? error.code : error
  }
}

describe('missing, null and wrong arguments are refused with the error of the library', () => {
  test.each(functions)('%s', async (name, call) => {
    for (const args of calls) {
      const found = await outcome(call, args)
      // devices takes nothing; batch tells of a recipe's failure in its results.
      if (name === 'devices' || (name === 'batch' && found === 'no error')) continue
      // Any two texts can be compared.
      if (name === 'verifyMath' && found === 'no error' && typeof args[0] === 'string' && typeof args[1] === 'string')
        continue
      expect([args, found]).toEqual([args, expect.stringMatching(/^ERR_(?!INTERNAL)/)])
    }
  })

  test('all functions are called', () => {
    expect(functions.map(([name]) => name).sort()).toEqual([
      'analyse',
      'batch',
      'compare',
      'convert',
      'devices',
      'evaluate',
      'exportGguf',
      'finishMerge',
      'fuse',
      'init',
      'merge',
      'mergePart',
      'openCheckpoint',
      'plan.analyse',
      'plan.fuse',
      'plan.merge',
      'plan.sft',
      'planPipeline',
      'prepareData',
      'previewData',
      'push',
      'readRecipe',
      'regrade',
      'report',
      'reproduce',
      'runPipeline',
      'selectData',
      'sft',
      'teach',
      'verify',
      'verifyMath',
      'writeGradient',
    ])
  })
})

test('merge and sft take a path alike, and merge needs no options where the recipe has them', async () => {
  await expect(api.merge('nothing.yaml')).rejects.toThrow(/There is no file nothing\.yaml/)
  await expect(api.sft('nothing.yaml')).rejects.toThrow(/There is no file nothing\.yaml/)
  await expect(api.merge({ models: { a: 'a', b: 'b' }, expression: 'a & b' })).rejects.toThrow(
    "Expected a directory (or the recipe's output.path) for out",
  )
})
