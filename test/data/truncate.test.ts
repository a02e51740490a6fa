import { describe, expect, test } from 'vitest'
import { fitTurns as fitCounted, fitTurn, type TurnLengths } from '../../lib/data/truncate.js'
import { Random } from '../support/random.js'

describe('infer_seqlen of LLaMA-Factory', () => {
  test.each([
    // source, target, cutoff -> source, target
    [10, 10, 100, 10, 10],
    [100, 40, 100, 60, 40], // a short answer is whole, the prompt gives way
    [40, 100, 100, 40, 60], // a short prompt is whole, the answer gives way
    [100, 100, 100, 50, 50],
    [300, 100, 100, 75, 25],
    [100, 300, 100, 25, 75],
    [60, 50, 100, 55, 45], // neither below half: 100 · 50/110 = 45.45…
    [71, 29, 100, 71, 29], // together exactly the cutoff
    [50, 50, 100, 50, 50],
    [49, 51, 100, 49, 51],
    [1000, 1, 10, 9, 1],
    [1000, 5, 10, 10, 0], // 10 · 5/1005 rounds down to nothing
    [0, 20, 10, 0, 10],
    [3, 0, 10, 3, 0],
    [7, 7, 1, 1, 0],
  ])('%i and %i in %i are %i and %i', (source, target, cutoff, keptSource, keptTarget) => {
    expect(fitTurn({ source, target }, cutoff)).toEqual({ source: keptSource, target: keptTarget })
  })

  test('never keeps more than there is or than fits, and wastes nothing', () => {
    const random = new Random(5)
    for (let i = 0; i < 5000; i++) {
      const [source, target, cutoff] = [random.below(200), random.below(200), 1 + random.below(150)]
      const kept = fitTurn({ source, target }, cutoff)
      expect(kept.source).toBeLessThanOrEqual(source)
      expect(kept.target).toBeLessThanOrEqual(target)
      const total = kept.source + kept.target
      expect(total).toBeLessThanOrEqual(cutoff)
      // Rounding down the answer's part is made up for by the prompt, when that has more.
      if (source + target <= cutoff) expect(total).toBe(source + target)
      else if (source >= cutoff) expect(total).toBe(cutoff)
    }
  })
})

/** Texts of so many tokens, which are counted in steps of seven; `counted` is how far that went. */
function countable({ source, target }: TurnLengths) {
  const side = (length: number) => ({
    counted: 0,
    upTo(count: number) {
      while (this.counted < Math.min(count, length)) this.counted = Math.min(length, this.counted + 7)
      return this.counted
    },
  })
  return { source: side(source), target: side(target) }
}

const fitTurns = (turns: TurnLengths[], cutoff: number, lastFirst: boolean) =>
  fitCounted(turns.map(countable), cutoff, lastFirst)

test('tokens that cannot be kept are not counted, and that changes nothing', () => {
  const random = new Random(6)
  for (let i = 0; i < 2000; i++) {
    const [source, target, cutoff] = [random.below(300), random.below(300), 1 + random.below(100)]
    expect(fitTurns([{ source, target }], cutoff, false)).toEqual([fitTurn({ source, target }, cutoff)])
  }
  const turns = [countable({ source: 10, target: 5000 }), countable({ source: 5000, target: 5000 })]
  expect(fitCounted(turns, 100, false)).toEqual([{ source: 10, target: 90 }])
  expect(turns[0]?.target.counted).toBeLessThan(120)
  expect(turns[1]?.source.counted).toBe(0)
})

describe('turns', () => {
  const turns = [
    { source: 10, target: 10 },
    { source: 10, target: 30 },
    { source: 10, target: 10 },
  ]

  test('are served in their order', () => {
    expect(fitTurns(turns, 100, false)).toEqual(turns)
    expect(fitTurns(turns, 20, false)).toEqual([{ source: 10, target: 10 }])
    // 20 are left: 2 · 30 is no less than 20, 2 · 10 neither; 20 · 30/40 = 15.
    expect(fitTurns(turns, 40, false)).toEqual([
      { source: 10, target: 10 },
      { source: 5, target: 15 },
    ])
  })

  test('the last is served first where only it counts', () => {
    expect(fitTurns(turns, 60, true)).toEqual([
      { source: 10, target: 30 },
      { source: 10, target: 10 },
    ])
    expect(fitTurns(turns, 15, true)).toEqual([{ source: 8, target: 7 }])
  })
})
