import { expect, test } from 'vitest'
import { analyse } from '../../../lib/evaluate/analysis/analyse.js'
import { lengthChart } from '../../../lib/report/evaluation/lengthChart.js'
import { questionMap } from '../../../lib/report/evaluation/questionMap.js'
import { scoreChart } from '../../../lib/report/evaluation/scoreChart.js'
import { type Figure, ticksUpTo } from '../../../lib/report/evaluation/svg.js'
import { benchmarkOf, outcomesOf, sampleResults } from '../../support/outcomes.js'
import { elementsOf, parseXml, textOf, type XmlElement } from '../../support/parseXml.js'

const results = await sampleResults()

const rootOf = (figure: Figure | undefined): XmlElement => parseXml(figure?.svg ?? '')
/** What stands under the pointer, and the marks that it is of. */
const marksOf = (root: XmlElement) =>
  elementsOf(root, 'g').map((g) => ({
    title: textOf(elementsOf(g, 'title')[0] as XmlElement),
    rects: elementsOf(g, 'rect'),
  }))
const numberOf = (element: XmlElement | undefined, name: string) => Number(element?.attributes[name])

test('the figures of a sample are as they were', async () => {
  await expect(scoreChart(results).svg).toMatchFileSnapshot('golden/scores.svg')
  await expect(lengthChart(results)?.svg).toMatchFileSnapshot('golden/lengths.svg')
  await expect(questionMap(results)?.svg).toMatchFileSnapshot('golden/questions.svg')
})

test('a bar is as high as its score, and its whisker as long as its interval', () => {
  const root = rootOf(scoreChart(results))
  const marks = marksOf(root)
  expect(marks.length).toBe(results.scores.length)
  for (const [i, score] of results.scores.entries()) {
    expect(numberOf(marks[i]?.rects[0], 'height')).toBeCloseTo(240 * score.passAt1, 1)
    const whisker = elementsOf(root, 'path').filter(({ attributes }) => attributes['class'] === 'whisker')[i]
    const [, from, to] = /^M[\d.]+ ([\d.]+)V([\d.]+)/.exec(whisker?.attributes['d'] ?? '') ?? []
    expect(Number(from) - Number(to)).toBeCloseTo(240 * (score.interval[1] - score.interval[0]), 1)
  }
})

test('every figure has a title and its numbers in words', () => {
  for (const figure of [scoreChart(results), lengthChart(results), questionMap(results)]) {
    const root = rootOf(figure)
    expect(root.attributes['role']).toBe('img')
    const [title, description] = (root.attributes['aria-labelledby'] ?? '').split(' ')
    expect(elementsOf(root, 'title')[0]?.attributes['id']).toBe(title)
    expect(elementsOf(root, 'desc')[0]?.attributes['id']).toBe(description)
    expect(textOf(elementsOf(root, 'desc')[0] as XmlElement)).toContain('merged')
  }
  expect(textOf(elementsOf(rootOf(scoreChart(results)), 'desc')[0] as XmlElement)).toContain(
    'aime24, merged: 61.3 [52.5, 69.6]',
  )
})

test('boxes of lengths are split by right and wrong', () => {
  const titles = marksOf(rootOf(lengthChart(results))).map(({ title }) => title)
  expect(titles).toContain(
    'aime24, base, right: 86 answers, median 7,578, mean 8,018, 95 % below 13,529, longest 13,905',
  )
  expect(titles.filter((title) => title.includes('wrong')).length).toBe(results.scores.length)
})

test('there is no figure of lengths that nobody counted', async () => {
  const found = await analyse(outcomesOf('m', { a: '1' }, { tokens: null }), {
    models: ['m'],
    benchmarks: [benchmarkOf('aime24')],
  })
  expect(lengthChart(found)).toBeUndefined()
  expect(questionMap(found)).toBeDefined()
})

test('the map goes from the hardest question to the easiest, and leaves out no model', () => {
  const titles = marksOf(rootOf(questionMap(results))).map(({ title }) => title)
  const shares = titles
    .filter((title) => title.startsWith('base, q'))
    .slice(0, 30)
    .map((title) => /base, (q\d+)/.exec(title)?.[1] as string)
    .map((question) => {
      const of = results.scores
        .filter(({ benchmark }) => benchmark === 'aime24')
        .map((s) => s.byQuestion[question] as number)
      return of.reduce((a, b) => a + b) / of.length
    })
  expect(shares.length).toBe(30)
  expect(shares).toEqual([...shares].sort((a, b) => a - b))
  expect(titles.length).toBe(4 * 30 + 4 * 40 + 3 * 25)
})

test('a map of thousands of questions stays small', async () => {
  const questions = Object.fromEntries(Array.from({ length: 6511 }, (_, i) => [`q${i}`, i % 3 === 0 ? '1' : '0']))
  const found = await analyse(outcomesOf('m', questions), {
    models: ['m'],
    benchmarks: [benchmarkOf('aime24')],
    samples: 39,
  })
  const figure = questionMap(found)
  expect(figure?.svg.length).toBeLessThan(100_000)
  expect(figure?.svg).toContain('6511 questions, a cell is the mean of up to 17')
})

test('names of any kind stay text', async () => {
  const hostile = '<script>alert(1)</script>&"\'\u0000\u202e'
  const outcomes = outcomesOf(hostile, { [hostile]: '10' }, { benchmark: hostile })
  const found = await analyse(outcomes, { models: [hostile], benchmarks: [benchmarkOf(hostile)] })
  for (const figure of [scoreChart(found), lengthChart(found), questionMap(found)]) {
    const root = rootOf(figure)
    expect(elementsOf(root, 'script')).toEqual([])
    expect(figure?.svg).toContain('&lt;script&gt;')
  }
})

test('axes have round steps that reach the largest number', () => {
  expect(ticksUpTo(1)).toEqual([0, 1])
  expect(ticksUpTo(13_988)).toEqual([0, 5000, 10_000, 15_000])
  expect(ticksUpTo(32_768)).toEqual([0, 10_000, 20_000, 30_000, 40_000])
  expect(ticksUpTo(60)).toEqual([0, 10, 20, 30, 40, 50, 60])
})
