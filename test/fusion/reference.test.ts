import { describe, expect, test } from 'vitest'
import { decodeBf16, decodeF16, encodeBf16, encodeF16 } from '../support/floats.js'
import { goldenCases } from '../support/goldenCases.js'
import { Random } from '../support/random.js'
import { divergence, fuseReference, quantileOf } from './reference.js'
import { textbookDivergence } from './textbook.js'

/** The golden data is good to 80-bit arithmetic and the reference to float64: far inside the engine's tolerance. */
const relative = 1e-11

function expectClose(actual: number, expected: number, name: string) {
  expect(Math.abs(actual - expected), `${name}: ${actual} against ${expected}`).toBeLessThanOrEqual(
    relative * Math.abs(expected) + 1e-28,
  )
}

describe('the reference reproduces golden case', () => {
  test.each(goldenCases())('$name', ({ pair, options, expected, fused, mask, undecided, kl }) => {
    const actual = fuseReference(pair, options)
    expect(actual.kl.length).toBe(kl.length)
    for (const [row, value] of kl.entries()) expectClose(actual.kl[row] as number, value, `kl of row ${row}`)
    expectClose(actual.q1, expected.q1, 'q1')
    expectClose(actual.median, expected.median, 'median')
    expectClose(actual.q3, expected.q3, 'q3')
    expectClose(actual.threshold, expected.threshold, 'threshold')
    expect(Buffer.compare(actual.undecided, undecided), 'undecided marks').toBe(0)
    expect(Math.abs(actual.kept - expected.kept)).toBeLessThanOrEqual(actual.undecidedCount)
    const size = fused.length / mask.length
    for (const [i, taken] of mask.entries()) {
      if (undecided[i]) continue
      if (options.gate !== 'soft') expect(actual.mask[i], `mask of element ${i}`).toBe(taken)
      const range = [i * size, (i + 1) * size] as const
      expect(actual.fused.subarray(...range), `fused element ${i}`).toEqual(fused.subarray(...range))
    }
  })
})

describe('the divergence agrees with the textbook sum in 180 digits', () => {
  const rows: { what: string; length: number; row: (random: Random) => [number, number] }[] = [
    { what: 'deltas of 1e-2', length: 200, row: (r) => pairNear(0.02 * r.normal(), 1e-2 * r.normal()) },
    { what: 'deltas of 1e-5', length: 200, row: (r) => pairNear(0.02 * r.normal(), 1e-5 * r.normal()) },
    { what: 'deltas of 1e-8', length: 50, row: (r) => pairNear(0.02 * r.normal(), 1e-8 * r.normal()) },
    { what: 'unrelated rows', length: 100, row: (r) => [3 * r.normal(), 3 * r.normal()] },
    { what: 'a wide range', length: 40, row: (r) => [40 * r.normal(), 40 * r.normal()] },
    { what: 'a common offset of 90', length: 40, row: (r) => pairNear(r.normal(), 90 + 1e-4 * r.normal()) },
    { what: 'one heavy outlier', length: 40, row: (r) => pairNear(r.normal(), r.below(40) === 0 ? 12 : 1e-5) },
  ]
  for (const { what, length, row } of rows) {
    test.each([0, 1e-8, 1e-3])(`${what}, epsilon %f`, (epsilon) => {
      const random = new Random(7)
      const pairs = Array.from({ length }, () => row(random))
      const x = Float64Array.from(pairs, ([value]) => value)
      const y = Float64Array.from(pairs, ([, value]) => value)
      const exact = textbookDivergence(x, y, epsilon)
      const error = Math.abs(divergence(x, y, 0, length, epsilon) - exact)
      expect(error).toBeLessThanOrEqual(1e-10 * exact)
    })
  }

  test('the fixed-point sum itself knows ln 2', () => {
    // softmax is (2/3, 1/3) against (1/2, 1/2), up to the rounding of Math.LN2.
    const exact = (2 / 3) * Math.log(4 / 3) + (1 / 3) * Math.log(2 / 3)
    expect(textbookDivergence([Math.LN2, 0], [0, 0], 0)).toBeCloseTo(exact, 14)
  })
})

function pairNear(value: number, delta: number): [number, number] {
  return [value, value + delta]
}

describe('the conversions of the tests', () => {
  test('every finite BF16 and F16 value survives a round trip', () => {
    for (let bits = 0; bits < 65536; bits++) {
      if ((bits & 0x7f80) !== 0x7f80) expect(encodeBf16(decodeBf16(bits))).toBe(bits)
      if ((bits & 0x7c00) !== 0x7c00) expect(encodeF16(decodeF16(bits))).toBe(bits)
    }
  })

  test('midpoints go to the even neighbour, and a bit more goes up', () => {
    for (const [decodeBits, encodeBits, largest] of [
      [decodeBf16, encodeBf16, 0x7f7f],
      [decodeF16, encodeF16, 0x7bff],
    ] as const) {
      for (let bits = 0; bits < largest; bits++) {
        const middle = (decodeBits(bits) + decodeBits(bits + 1)) / 2
        expect(encodeBits(middle)).toBe(bits + (bits % 2))
        expect(encodeBits(middle * (1 + 2 ** -50))).toBe(bits + 1)
        expect(encodeBits(middle * (1 - 2 ** -50))).toBe(bits)
      }
    }
  })

  test('what is too large becomes infinity', () => {
    expect(encodeF16(65519)).toBe(0x7bff)
    expect(encodeF16(65520)).toBe(0x7c00)
    expect(encodeF16(-1e9)).toBe(0xfc00)
    expect(encodeBf16(3.4e38)).toBe(0x7f80)
  })
})

test('quartiles follow their definitions', () => {
  const sorted = Float64Array.of(1, 2, 4, 8, 16, 32)
  expect([0.25, 0.5, 0.75].map((q) => quantileOf(sorted, q, 'lower'))).toEqual([2, 4, 8])
  expect([0.25, 0.5, 0.75].map((q) => quantileOf(sorted, q, 'linear'))).toEqual([2.5, 6, 14])
})
