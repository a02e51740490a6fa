import { describe, expect, test } from 'vitest'
import { packGreedily } from '../../lib/data/pack.js'
import { growth, proportional } from '../support/growth.js'
import { Random } from '../support/random.js'

const lengthsOf = (lengths: number[], capacity: number) =>
  packGreedily(lengths, capacity).map((pack) => pack.map((i) => lengths[i]))

describe('the greedy knapsack of LLaMA-Factory', () => {
  test.each([
    [[], 10, []],
    [[10], 10, [[10]]],
    [[5, 5, 5], 10, [[5, 5], [5]]],
    // The longest first, then the longest that fits what is left.
    [[1, 2, 3, 4, 5, 6], 10, [[6, 4], [5, 3, 2], [1]]],
    [
      [9, 8, 7, 3, 2, 1],
      10,
      [
        [9, 1],
        [8, 2],
        [7, 3],
      ],
    ],
    // Greedy is not optimal: 4 + 3 + 3 and 4 + 3 + 3 would be two packs.
    [[4, 4, 3, 3, 3, 3], 10, [[4, 4], [3, 3, 3], [3]]],
  ])('%j in %i', (lengths, capacity, packs) => {
    expect(lengthsOf(lengths as number[], capacity as number)).toEqual(packs)
  })

  test('of documents of one length the later goes first', () => {
    expect(packGreedily([5, 5, 5], 10)).toEqual([[2, 1], [0]])
  })
})

/** The same, slowly: lists of what is left, looked through one by one. */
function packSlowly(lengths: number[], capacity: number): number[][] {
  const left = new Set(lengths.keys())
  const packs: number[][] = []
  while (left.size > 0) {
    const pack: number[] = []
    let room = capacity
    for (;;) {
      let best: number | undefined
      for (const i of left) {
        const length = lengths[i] as number
        if (length <= room && (best === undefined || length >= (lengths[best] as number))) best = i
      }
      if (best === undefined) break
      left.delete(best)
      pack.push(best)
      room -= lengths[best] as number
    }
    packs.push(pack)
  }
  return packs
}

test('agrees with a slow implementation on random lengths', () => {
  const random = new Random(11)
  for (let round = 0; round < 300; round++) {
    const capacity = 1 + random.below(round % 2 === 0 ? 60 : 4000)
    const lengths = Array.from({ length: random.below(200) }, () => 1 + random.below(capacity))
    const packs = packGreedily(lengths, capacity)
    expect(packs).toEqual(packSlowly(lengths, capacity))
    expect(packs.flat().sort((a, b) => a - b)).toEqual([...lengths.keys()])
    for (const pack of packs) {
      expect(pack.reduce((sum, i) => sum + (lengths[i] as number), 0)).toBeLessThanOrEqual(capacity)
    }
  }
})

test('a hundred thousand documents are packed well, and the time grows as they do', async () => {
  const random = new Random(3)
  const lengths = Array.from({ length: 100_000 }, () => 1 + random.below(16_383))
  expect(await growth((count) => packGreedily(lengths.slice(0, count), 16_383), 12_500)).toBeLessThan(proportional)
  const packs = packGreedily(lengths, 16_383)
  const tokens = lengths.reduce((sum, length) => sum + length, 0)
  expect(tokens / (packs.length * 16_383)).toBeGreaterThan(0.99)
})
