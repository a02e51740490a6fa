import { describe, expect, test } from 'vitest'
import { fromNative } from '../../lib/errors.js'
import { native } from '../../lib/native/native.js'
import { threadCounts } from '../support/engine.js'
import { byteSize } from '../support/floats.js'
import { disagreement } from './agreement.js'
import {
  type GoldenCase,
  goldenCase,
  goldenCases,
  type MethodInput,
  methodNames,
  refusedCases,
  variants,
} from './cases.js'

/** One run of the native engine. */
async function merge(input: MethodInput, threads: number): Promise<Uint8Array> {
  const { method, tensor, dtype, outputDtype, shape, inputs, base } = input
  const elements = shape.reduce((product, size) => product * size, 1)
  // Filled with a pattern, so that an element the engine forgets is seen.
  const out = new Uint8Array(elements * byteSize[outputDtype]).fill(0xa5)
  const operands = base === undefined ? inputs : [base, ...inputs]
  const parameters = Object.fromEntries(
    Object.entries(input.parameters).map(([name, value]) => [name, Array.isArray(value) ? value : [Number(value)]]),
  )
  const job = native.mergeTensor(
    { name: tensor, dtype, outputDtype, shape, operands, out },
    { method, parameters },
    threads,
    undefined,
    undefined,
  )
  try {
    await job.promise
    return out
  } catch (error) {
    throw fromNative(error)
  }
}

/** On any number of threads the same bytes, which agree with the reference. */
async function expectGolden(golden: GoldenCase) {
  const [first, ...others] = await Promise.all(threadCounts.map((threads) => merge(golden, threads)))
  expect(disagreement(golden, first as Uint8Array)).toBeUndefined()
  for (const other of others) expect(Buffer.compare(other, first as Uint8Array)).toBe(0)
}

describe.each(methodNames)('%s', (method) => {
  test.each(goldenCases(method))('$name', expectGolden)

  // Workers share a tensor in blocks of 2^17 elements.
  test.each(variants[method].map((variant, v) => ({ variant, v })))(
    'over several blocks, setting $v',
    async ({ variant, v }) => {
      const tensor = { dtype: v % 2 === 0 ? 'F32' : 'BF16', shape: [401, 331], tensor: 'large', seed: 77 + v } as const
      await expectGolden(goldenCase(method, variant, 'fineTuned', { ...tensor, shape: [...tensor.shape] }))
    },
  )
})

test.each(refusedCases())('refuses what has no result: $name', async (refused) => {
  await expect(merge(refused, 2)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
})
