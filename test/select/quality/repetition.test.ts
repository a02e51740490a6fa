import { describe, expect, test } from 'vitest'
import { measureRepetition, runLength } from '../../../lib/select/quality/repetition.js'
import { growth, proportional } from '../../support/growth.js'
import { draws } from '../duplicates/texts.js'

const draw = draws('words of a text')
const randomWords = (count: number): string[] => Array.from({ length: count }, () => `w${draw(2000)}`)

/** Runs of words by their definition: which of them stood in the text before. */
function plainRepeated(words: readonly string[]): number {
  const seen = new Set<string>()
  let [repeated, all] = [0, 0]
  for (let i = 0; i + runLength <= words.length; i++) {
    const run = words.slice(i, i + runLength).join(' ')
    if (seen.has(run)) repeated++
    seen.add(run)
    all++
  }
  return all === 0 ? 0 : repeated / all
}

/** The longest periodic end of at least four rounds, by trying all. */
function plainLoop(words: readonly string[]): { period: number; words: number } | undefined {
  let best: { period: number; words: number } | undefined
  for (let period = 1; 4 * period <= words.length; period++) {
    let length = period
    while (length < words.length && words.at(-1 - length) === words.at(-1 - length + period)) length++
    if (length >= 4 * period && length > (best?.words ?? 0)) best = { period, words: length }
  }
  return best
}

test('the share of repeated runs is that of its definition', () => {
  for (let round = 0; round < 60; round++) {
    const words = randomWords(40 + draw(200))
    for (let copies = draw(5); copies > 0; copies--) {
      const begin = draw(words.length)
      words.splice(draw(words.length), 0, ...words.slice(begin, begin + 5 + draw(60)))
    }
    expect(measureRepetition(words.join(' ')).repeated).toBeCloseTo(plainRepeated(words), 12)
  }
})

test('the loop at the end is that of its definition', () => {
  let loops = 0
  for (let round = 0; round < 200; round++) {
    const unit = Array.from({ length: 1 + draw(6) }, () => `w${draw(3)}`)
    const rounds = Array.from({ length: draw(8) }, () => unit).flat()
    const words = [...Array.from({ length: draw(20) }, () => `w${draw(3)}`), ...rounds]
    const { loop } = measureRepetition(words.join(' '))
    const [whole, cut] = [plainLoop(words), plainLoop(words.slice(0, -1))]
    expect(loop).toEqual((cut?.words ?? 0) > (whole?.words ?? 0) ? cut : whole)
    if (loop) loops++
  }
  expect(loops).toBeGreaterThan(60)
})

describe('what degenerate generations look like', () => {
  test('one sentence over and over', () => {
    const text = `${randomWords(100).join(' ')} ${'But wait, maybe I should check this again. '.repeat(80)}`
    expect(measureRepetition(text)).toMatchObject({ loop: { period: 8, words: 640 } })
    expect(measureRepetition(text).repeated).toBeGreaterThan(0.8)
  })

  test('a digit over and over, and a last word cut off', () => {
    const { loop } = measureRepetition(`0.${'3'.repeat(10_000)}`)
    expect(loop).toEqual({ period: 1, words: 312 })
  })

  test('the same long lines', () => {
    const line = 'So the area of the triangle is 24 square units.\n'
    expect(measureRepetition(`${randomWords(20).join(' ')}\n${line.repeat(12)}`).lines).toBeGreaterThan(0.7)
    expect(measureRepetition('return x\n'.repeat(50)).lines).toBe(0)
  })

  test('ordinary text has none of it', () => {
    expect(measureRepetition(randomWords(3000).join(' '))).toMatchObject({ words: 3000, repeated: 0, loop: undefined })
    expect(measureRepetition('')).toEqual({ words: 0, repeated: 0, lines: 0, loop: undefined })
  })
})

test('repetition takes time in proportion to the text', async () => {
  for (const piece of ['again and again ', '0', 'a b a c a b a d ', 'the same line of a text\n']) {
    expect(await growth((size) => measureRepetition(piece.repeat(size)), 4000)).toBeLessThan(proportional)
  }
})
