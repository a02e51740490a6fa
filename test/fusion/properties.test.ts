import { describe, expect, test } from 'vitest'
import { fuse } from '../../lib/index.js'
import { expectAgreement, expectBytesOfEitherSide, expectNear } from '../support/agreement.js'
import { fuseEverywhere, fuseNative, instructionSets, threadCounts } from '../support/engine.js'
import { byteSize, decode, encode, type FloatDtype } from '../support/floats.js'
import {
  type Draw,
  drawPair,
  fineTuned,
  gridded,
  heavyTailed,
  offsetRows,
  smallestValues,
  sparse,
  unrelated,
} from '../support/pairs.js'
import { Random } from '../support/random.js'
import type { ReferenceOptions, TensorPair } from './reference.js'

const arcee: ReferenceOptions = {
  scope: 'row',
  divergence: 'right||left',
  score: 'abs',
  gate: 'ge',
  lambda: 1.5,
  epsilon: 1e-8,
  quantile: 'lower',
  population: 'all',
}
const paper: ReferenceOptions = { ...arcee, scope: 'tensor', divergence: 'left||right', score: 'signed', gate: 'gt' }
const dtypes = ['BF16', 'F16', 'F32', 'F64'] as const

describe('row lengths around every block size', () => {
  const shapes = [
    ...[2, 31, 32, 33, 63, 64, 65, 255, 256, 257, 1023, 1024, 1025].map((columns) => [7, columns]),
    [1, 5000],
    [3000, 2],
    [999, 7],
    [5, 27648],
    [2, 152064],
    [100001],
    [1],
    [],
    [1, 1],
    [4000, 1],
    [3, 5, 129],
    [2, 3, 2, 65],
  ]
  test.each(shapes.map((shape) => ({ shape, name: `[${shape}]` })))('$name', async ({ shape }) => {
    const random = new Random(shape.reduce((a, b) => a * 31 + b, 1))
    const dtype = random.pick(dtypes)
    const pair = drawPair(random, dtype, shape, fineTuned(dtype === 'BF16' || dtype === 'F16' ? 5e-4 : 1e-5))
    await expectAgreement(pair, arcee)
    await expectAgreement(pair, paper)
  })

  test.each([[[0]], [[0, 5]], [[5, 0]], [[2, 0, 3]]])('no elements: [%s]', async (shape) => {
    const empty = new Uint8Array(0)
    const { fused, stats } = await fuseEverywhere({ dtype: 'BF16', shape, left: empty, right: empty }, arcee)
    expect(fused.length).toBe(0)
    expect(stats).toMatchObject({ elements: 0, kept: 0, degenerate: false })
  })
})

describe('kinds of tensors', () => {
  const kinds: Record<string, Draw> = {
    'fine-tuned by 2e-3': fineTuned(2e-3),
    'fine-tuned by 2e-4': fineTuned(2e-4),
    'four fifths unchanged': sparse(fineTuned(2e-3), 0.8),
    'half unchanged': sparse(fineTuned(2e-3), 0.5),
    unrelated: unrelated(1),
    'a wide range': unrelated(16),
    'few distinct values': gridded(),
    'heavy tails': heavyTailed(),
    'rows that differ by a constant': offsetRows(),
  }
  const optionSets: Record<string, ReferenceOptions> = {
    arcee,
    'arcee over changed elements': { ...arcee, population: 'changed' },
    paper,
    'paper-soft': { ...paper, gate: 'soft' },
  }
  for (const [kind, draw] of Object.entries(kinds)) {
    for (const [name, options] of Object.entries(optionSets)) {
      test.each(dtypes)(`${kind}, ${name}, %s`, async (dtype) => {
        await expectAgreement(drawPair(new Random(kind.length), dtype, [61, 333], draw), options)
      })
    }
  }

  test.each(dtypes)('subnormals and zeros of both signs keep their bits, %s', async (dtype) => {
    const pair = drawPair(new Random(3), dtype, [40, 200], smallestValues(dtype))
    await expectAgreement(pair, arcee)
    await expectAgreement(pair, { ...arcee, population: 'changed' })
    await expectAgreement(pair, paper)
  })

  test.each(['BF16', 'F32', 'F64'] as const)('magnitudes of 1e30, %s', async (dtype) => {
    const pair = drawPair(new Random(4), dtype, [50, 100], unrelated(1e30))
    await expectAgreement(pair, arcee)
    await expectAgreement(pair, paper)
  })

  test.each([0, 1e-30, 1])('rows far apart with epsilon %f', async (epsilon) => {
    for (const scale of [50, 1000, 1e30]) {
      for (const dtype of ['BF16', 'F32', 'F64'] as const) {
        const pair = drawPair(new Random(9), dtype, [40, 200], unrelated(scale))
        await expectAgreement(pair, { ...arcee, epsilon })
        await expectAgreement(pair, { ...paper, epsilon })
      }
    }
  })

  test.each(['BF16', 'F32'] as const)('magnitudes at the edge of the format, %s', async (dtype) => {
    const pair = drawPair(new Random(5), dtype, [50, 100], (random) => [
      random.pick([3.2e38, -3.2e38, 1]),
      random.pick([3.2e38, -3.2e38, 2]),
    ])
    await expectAgreement(pair, arcee)
  })

  // Softmax does not see the offset, and what it does see is a thousandth of it or less.
  test.each([0.01, 0.1, 1, 20, 300])('one side about %f above the other', async (offset) => {
    const pair = drawPair(new Random(6), 'F32', [30, 100], (random) => {
      const value = random.below(1000) / 1024
      return [value, value + offset + random.below(4) / 4096]
    })
    await expectAgreement(pair, arcee)
    await expectAgreement(pair, { ...arcee, divergence: 'left||right' })
  })

  test.each(dtypes)('every row differs by a constant: kl is 0 and nothing is invented, %s', async (dtype) => {
    const pair = drawPair(new Random(8), dtype, [40, 96], (random) => {
      const value = random.below(64) / 1024
      return [value, value + 2 ** -9]
    })
    const { fused, stats } = await fuseEverywhere(pair, arcee)
    expectBytesOfEitherSide(fused, pair)
    for (const name of ['min', 'median', 'max'] as const) expectNear(stats.kl[name], 0, 1e-18, `${name} kl`)
    expectNear(stats.threshold, 0, 1e-18, 'threshold')
  })
})

describe('options, drawn at random', () => {
  const draws: Draw[] = [fineTuned(1e-3), sparse(fineTuned(1e-3), 0.8), gridded(), heavyTailed(), unrelated(2)]
  const seeds = Array.from({ length: 60 }, (_, i) => 1000 + i)
  test.each(seeds)('seed %i', async (seed) => {
    const random = new Random(seed)
    const dtype = random.pick(dtypes)
    const shape = random.pick([[97, 41], [13, 1000], [4001], [2, 9, 77], [1, 3000], [500, 3]])
    const pair = drawPair(random, dtype, shape, random.pick(draws))
    const options: ReferenceOptions = {
      scope: random.pick(['row', 'tensor']),
      divergence: random.pick(['right||left', 'left||right']),
      score: random.pick(['abs', 'signed']),
      gate: random.pick(['ge', 'gt', 'soft']),
      lambda: random.pick([0, 0.25, 1.5, 3]),
      epsilon: random.pick([0, 1e-12, 1e-8, 1e-6, 1e-3]),
      quantile: random.pick(['lower', 'linear']),
      population: random.pick(['all', 'changed']),
    }
    await expectAgreement(pair, options, { outputDtype: random.below(4) === 0 ? random.pick(dtypes) : dtype })
  })
})

test('scope tensor decides ties exactly, whatever the divergence', async () => {
  // Deltas are multiples of 2⁻¹⁰, and so is median + 2·(Q3 − Q1): many equal it.
  const pair = drawPair(new Random(21), 'BF16', [50, 120], gridded())
  for (const gate of ['ge', 'gt'] as const) {
    for (const score of ['abs', 'signed'] as const) {
      for (const lambda of [0, 1, 2]) {
        const options = { ...arcee, scope: 'tensor', gate, score, lambda } as const
        const { actual, expected } = await expectAgreement(pair, options)
        expect(Buffer.compare(actual.fused, expected.fused), `${gate} ${score} ${lambda}`).toBe(0)
        expect(actual.stats.kept).toBe(expected.kept)
      }
    }
  }
})

describe('population changed', () => {
  test('selects nothing unchanged, not even the other sign of zero', async () => {
    const left = encode('F32', [0, -0, 0.5, 0.25, 0.125, -0.5, 0, 1])
    const right = encode('F32', [-0, 0, 0.5, 0.5, 0.25, -0.5, -0, 1])
    const pair: TensorPair = { dtype: 'F32', shape: [8], left, right }
    const { fused } = await fuseEverywhere(pair, { ...arcee, population: 'changed', lambda: 0 })
    const changed = [3, 4]
    for (let i = 0; i < 8; i++) {
      if (!changed.includes(i)) expect(fused.subarray(i * 4, i * 4 + 4)).toEqual(left.subarray(i * 4, i * 4 + 4))
    }
  })

  test('undoes the degenerate threshold of a sparse update', async () => {
    const pair = drawPair(new Random(9), 'BF16', [64, 256], sparse(fineTuned(2e-3), 0.8))
    const all = await fuseEverywhere(pair, arcee)
    expect(all.stats).toMatchObject({ threshold: 0, degenerate: true, kept: 64 * 256 })
    expect(Buffer.compare(all.fused, pair.right)).toBe(0)
    const changed = await fuseEverywhere(pair, { ...arcee, population: 'changed' })
    expect(changed.stats.degenerate).toBe(false)
    expect(changed.stats.threshold).toBeGreaterThan(0)
    expect(changed.stats.kept).toBeLessThan(0.05 * 64 * 256)
  })
})

test.each(dtypes)('equal tensors are copied, %s', async (dtype) => {
  const { left, shape } = drawPair(new Random(10), dtype, [33, 65], unrelated(1))
  const { fused, stats } = await fuseEverywhere({ dtype, shape, left, right: left.slice() }, arcee)
  expect(Buffer.compare(fused, left)).toBe(0)
  expect(stats).toMatchObject({ identical: true, degenerate: false, threshold: 0, nonFinite: undefined })
  const converted = await fuseEverywhere({ dtype, shape, left, right: left.slice() }, arcee, { outputDtype: 'BF16' })
  expect(Buffer.compare(converted.fused, encode('BF16', decode(dtype, left)))).toBe(0)
})

describe('values that are not finite', () => {
  const shape = [30, 70]
  function spoiled(dtype: FloatDtype, side: 'left' | 'right', index: number, value: number): TensorPair {
    const pair = drawPair(new Random(13), dtype, shape, fineTuned(1e-3))
    pair[side].set(encode(dtype, [value]), index * byteSize[dtype])
    return pair
  }

  for (const side of ['left', 'right'] as const) {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      test.each(dtypes)(`${value} in ${side} is an error that says where, %s`, async (dtype) => {
        for (const index of [0, 1234, 2099]) {
          const run = fuseNative(spoiled(dtype, side, index, value), arcee)
          await expect(run).rejects.toMatchObject({
            code: 'ERR_NON_FINITE',
            message: expect.stringMatching(new RegExp(`(${side}.*\\b${index}\\b|\\b${index}\\b.*${side})`, 'is')),
          })
        }
      })
    }
  }

  test('of several the first is named, on every instruction set and thread count', async () => {
    const pair = spoiled('BF16', 'right', 2000, Number.NaN)
    pair.right.set(encode('BF16', [Number.NaN]), 1999 * 2)
    pair.right.set(encode('BF16', [Number.NaN]), 77 * 2)
    const messages = new Set<string>()
    for (const instructionSet of instructionSets) {
      for (const threads of threadCounts) {
        await fuseNative(pair, arcee, { instructionSet, threads }).catch((error: Error) => messages.add(error.message))
      }
    }
    expect([...messages]).toEqual([expect.stringMatching(/\b77\b/)])
  })

  test.each(['left', 'right'] as const)('nonFinite %s keeps that side whole', async (kept) => {
    for (const side of ['left', 'right'] as const) {
      const pair = spoiled('F32', side, 99, Number.NaN)
      const { fused, stats } = await fuseEverywhere(pair, arcee, { nonFinite: kept })
      expect(Buffer.compare(fused, pair[kept])).toBe(0)
      expect(stats.nonFinite).toBe(kept)
    }
  })

  test.each(['left', 'right'] as const)('nonFinite %s leaves finite tensors to the gate', async (nonFinite) => {
    const pair = drawPair(new Random(14), 'F32', shape, fineTuned(1e-3))
    const plain = await fuseNative(pair, arcee)
    const { fused, stats } = await fuseNative(pair, arcee, { nonFinite })
    expect(Buffer.compare(fused, plain.fused)).toBe(0)
    expect(stats.nonFinite).toBe(undefined)
  })

  test('the public function raises the same error', async () => {
    const { dtype, left, right } = spoiled('F32', 'right', 5, Number.NaN)
    const run = fuse({ dtype, shape, data: left }, { dtype, shape, data: right })
    await expect(run).rejects.toMatchObject({ name: 'BranchMergeError', code: 'ERR_NON_FINITE' })
  })
})

describe('integers and booleans', () => {
  test.each(['I64', 'I32', 'I16', 'I8', 'U8', 'BOOL'])('%s: equal is copied, different is refused', async (dtype) => {
    const data = Uint8Array.from({ length: 64 }, (_, i) => i % 2)
    const size = { I64: 8, I32: 4, I16: 2, I8: 1, U8: 1, BOOL: 1 }[dtype] as number
    const shape = [64 / size]
    const { tensor } = await fuse({ dtype, shape, data }, { dtype, shape, data: data.slice() })
    expect(Buffer.compare(new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, 64), data)).toBe(0)
    const other = data.slice()
    other[63] = 1 - (other[63] as number)
    await expect(fuse({ dtype, shape, data }, { dtype, shape, data: other })).rejects.toMatchObject({
      code: 'ERR_INTEGER_MISMATCH',
    })
  })
})

describe('output dtype', () => {
  for (const from of dtypes) {
    test.each(dtypes)(`${from} to %s: the chosen value, rounded once`, async (to) => {
      // Wide enough that F16 rounds into its subnormals and halfway cases occur; what F16 cannot hold is refused elsewhere.
      const exponents = from === 'F16' || to === 'F16' ? 38 : 44
      const pair = drawPair(new Random(15), from, [50, 64], (random) => {
        const value = random.normal() * 2 ** (random.below(exponents) - 25)
        return [value, random.pick([value * (1 + 2 ** -8), value * (1 + 2 ** -11), value * (1 + 2 ** -24), -value])]
      })
      await expectAgreement(pair, arcee, { outputDtype: to })
    })
  }

  test('no double rounding from F64 to BF16 or F16', async () => {
    // Just above a midpoint by less than float32 shows: through float32 it would become a tie and go down.
    const values = [1 + 2 ** -8 + 2 ** -40, 1 + 2 ** -11 + 2 ** -40, -(1 + 2 ** -8 + 2 ** -50), 5 * 2 ** -25 + 2 ** -70]
    const left = encode('F64', values)
    const right = encode(
      'F64',
      values.map((value) => value * 2),
    )
    for (const to of ['BF16', 'F16'] as const) {
      await expectAgreement({ dtype: 'F64', shape: [4], left, right }, arcee, { outputDtype: to })
    }
  })
})

test('a run repeats itself', async () => {
  const pair = drawPair(new Random(16), 'BF16', [300, 777], fineTuned(2e-4))
  const first = await fuseNative(pair, arcee, { threads: 7 })
  for (let i = 0; i < 5; i++) {
    const again = await fuseNative(pair, arcee, { threads: 7 })
    expect(Buffer.compare(again.fused, first.fused)).toBe(0)
    expect(again.stats).toEqual(first.stats)
  }
})
