import { expect, test } from 'vitest'
import { NearIndex } from '../../../lib/select/duplicates/nearIndex.js'
import { bandingFor, mostShingles, type Sketch, Sketcher, similarity } from '../../../lib/select/duplicates/sketch.js'
import { growth, proportional } from '../../support/growth.js'
import { familiesOfTexts, jaccard, PlainJaccard } from './texts.js'

const [threshold, shingle] = [0.8, 5]
const banding = bandingFor(threshold)
const sketcher = new Sketcher(shingle, banding)
const sketch = (text: string): Sketch => sketcher.sketch(text) as Sketch

test('bands find a pair at the threshold with probability 0.995', () => {
  for (const at of [0.3, 0.5, 0.7, 0.8, 0.9, 0.95]) {
    const { bands, rows } = bandingFor(at)
    expect(bands * rows).toBeLessThanOrEqual(144)
    expect(1 - (1 - at ** rows) ** bands).toBeGreaterThanOrEqual(0.995)
  }
  expect(bandingFor(0.8)).toEqual({ bands: 24, rows: 6 })
})

/** A set cannot be more similar to another than their sizes are. */
const reaches = (a: ReadonlySet<number>, b: ReadonlySet<number>): boolean =>
  Math.min(a.size, b.size) >= threshold * Math.max(a.size, b.size) && jaccard(a, b) >= threshold

test('near duplicates among 2,000 texts are those of the exact Jaccard similarity', () => {
  const texts = familiesOfTexts(2000)
  const sketches = texts.map(sketch)
  const plain = new PlainJaccard(shingle)
  const sets = texts.map((text) => plain.setOf(text))
  const index = new NearIndex(threshold, banding)
  for (const [i, each] of sketches.entries()) index.add(each, i)
  let [truly, found, right] = [0, 0, 0]
  for (let i = 0; i < texts.length; i++) {
    const near = new Set(index.findAll(sketches[i] as Sketch).map(({ text }) => text))
    for (let j = 0; j < i; j++) {
      const isNear = reaches(sets[i] as Set<number>, sets[j] as Set<number>)
      if (isNear) truly++
      if (near.has(j)) found++
      if (near.has(j) && isNear) right++
    }
  }
  const [recall, precision] = [right / truly, right / found]
  expect(truly).toBeGreaterThan(1000)
  expect(recall).toBeGreaterThan(0.995)
  expect(precision).toBe(1)
})

test('the similarity of short texts is exact, and that of long ones close', () => {
  const plain = new PlainJaccard(shingle)
  const exact = (a: string, b: string) => jaccard(plain.setOf(a), plain.setOf(b))
  const texts = familiesOfTexts(300)
  for (const [i, text] of texts.slice(1).entries()) {
    const before = texts[i] as string
    expect(similarity(sketch(before), sketch(text))).toBe(exact(before, text))
  }
  const words = Array.from({ length: 5000 }, (_, i) => `w${i}`)
  const changed = words.map((word, i) => (i % 60 === 0 ? `${word}x` : word))
  const [long, other] = [words.join(' '), changed.join(' ')]
  expect(sketch(long).total).toBeGreaterThan(mostShingles)
  expect(Math.abs(similarity(sketch(long), sketch(other)) - exact(long, other))).toBeLessThan(0.08)
})

test('a sketch takes time in proportion to the text', async () => {
  expect(await growth((size) => sketcher.sketch('the sum of 3 and x_1 is +'.repeat(size)), 400)).toBeLessThan(
    proportional,
  )
})
