import { describe, expect, test } from 'vitest'
import { fuse } from '../../lib/index.js'
import { expectFusion } from '../support/agreement.js'
import { type EngineResult, fuseEverywhere, fuseNative } from '../support/engine.js'
import { type GoldenCase, goldenCases } from '../support/goldenCases.js'
import { drawPair, fineTuned, sparse } from '../support/pairs.js'
import { Random } from '../support/random.js'
import { fuseReference, type ReferenceOptions, type TensorPair } from './reference.js'

async function fusePublic({ dtype, shape, left, right }: TensorPair, options: object): Promise<EngineResult> {
  const { tensor, stats } = await fuse({ dtype, shape, data: left }, { dtype, shape, data: right }, options)
  expect(tensor.dtype).toBe(dtype)
  expect(tensor.shape).toEqual(shape)
  const { buffer, byteOffset, byteLength } = tensor.data
  return {
    fused: new Uint8Array(buffer, byteOffset, byteLength),
    stats: { name: '', ...stats } as EngineResult['stats'],
  }
}

function expectGolden(actual: EngineResult, golden: GoldenCase) {
  const { pair, options, expected, fused, undecided, kl } = golden
  // A soft gate marks nothing undecided, its values being continuous; its count of positive weights is not.
  const undecidedCount = options.gate === 'soft' ? fuseReference(pair, options).undecidedCount : expected.undecided
  expectFusion(actual, { ...expected, fused, undecided, undecidedCount, kl }, pair, options)
}

describe.each(goldenCases())('golden case $name', (golden) => {
  test('on every instruction set and thread count, the same to the bit', async () => {
    expectGolden(await fuseEverywhere(golden.pair, golden.options), golden)
  })

  test('through the public function', async () => {
    const actual = await fusePublic(golden.pair, { preset: golden.preset, ...golden.options })
    expectGolden(actual, golden)
    const direct = await fuseNative(golden.pair, golden.options)
    expect(Buffer.compare(actual.fused, direct.fused)).toBe(0)
  })
})

const common = { lambda: 1.5, epsilon: 1e-8, quantile: 'lower', population: 'all' } as const
const presets: Record<string, ReferenceOptions> = {
  arcee: { scope: 'row', divergence: 'right||left', score: 'abs', gate: 'ge', ...common },
  paper: { scope: 'tensor', divergence: 'left||right', score: 'signed', gate: 'gt', ...common },
  'paper-soft': { scope: 'tensor', divergence: 'left||right', score: 'signed', gate: 'soft', ...common },
}

describe('a preset is the row of its table', () => {
  // Unrelated enough that the soft gate moves values: a preset taken for another cannot pass.
  const pair = drawPair(new Random(11), 'F32', [20, 64], (random) => [3 * random.normal(), 3 * random.normal()])

  test.each(Object.entries(presets))('%s', async (preset, options) => {
    const actual = await fusePublic(pair, { preset })
    const expected = await fuseNative(pair, options)
    expect(Buffer.compare(actual.fused, expected.fused)).toBe(0)
    expect(actual.stats.threshold).toBe(expected.stats.threshold)
  })

  test('arcee is the default', async () => {
    const actual = await fusePublic(pair, {})
    const expected = await fuseNative(pair, presets['arcee'] as ReferenceOptions)
    expect(Buffer.compare(actual.fused, expected.fused)).toBe(0)
  })

  test.each([
    { scope: 'tensor' },
    { divergence: 'left||right' },
    { score: 'signed' },
    { gate: 'soft' },
    { lambda: 0.5 },
    { epsilon: 0.01 },
    { quantile: 'linear' },
    { population: 'changed' },
  ] as Partial<ReferenceOptions>[])('and %o overrides that field alone', async (override) => {
    const tuned = drawPair(new Random(12), 'F32', [30, 100], sparse(fineTuned(1e-3), 0.3))
    const actual = await fusePublic(tuned, { preset: 'arcee', ...override })
    const expected = await fuseNative(tuned, { ...(presets['arcee'] as ReferenceOptions), ...override })
    expect(Buffer.compare(actual.fused, expected.fused)).toBe(0)
    expect(actual.stats.threshold).toBe(expected.stats.threshold)
    const unchanged = await fuseNative(tuned, presets['arcee'] as ReferenceOptions)
    if (!('gate' in override)) expect(actual.stats.threshold).not.toBe(unchanged.stats.threshold)
  })
})
