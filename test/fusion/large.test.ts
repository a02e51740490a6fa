import { expect, test } from 'vitest'
import { expectFusion } from '../support/agreement.js'
import { type EngineResult, fuseNative, instructionSets } from '../support/engine.js'
import { drawPair, fineTuned } from '../support/pairs.js'
import { Random } from '../support/random.js'
import { fuseReference, type ReferenceOptions } from './reference.js'

const options: ReferenceOptions = {
  scope: 'row',
  divergence: 'right||left',
  score: 'abs',
  gate: 'ge',
  lambda: 1.5,
  epsilon: 1e-8,
  quantile: 'lower',
  population: 'all',
}

test('twelve million elements, fine-tuned by 2e-4', async () => {
  const pair = drawPair(new Random(1), 'BF16', [2344, 5120], fineTuned(2e-4))
  const expected = fuseReference(pair, options)
  // The page's table: this is the regime in which float32, summed as the definition prints it, is noise.
  expect(expected.kl.slice().sort()[1172]).toBeGreaterThan(1e-8)
  expect(expected.undecidedCount).toBeLessThan(200)
  const runs: EngineResult[] = []
  for (const instructionSet of instructionSets) {
    const threads = instructionSet === 'scalar' ? 1 : 2
    runs.push(await fuseNative(pair, options, { instructionSet, threads }))
  }
  for (const run of runs) {
    expectFusion(run, expected, pair, options)
    expect(Buffer.compare(run.fused, (runs[0] as EngineResult).fused)).toBe(0)
    expect(run.stats).toEqual(runs[0]?.stats)
  }
})
