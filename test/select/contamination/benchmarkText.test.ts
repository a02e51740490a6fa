import { expect, test } from 'vitest'
import { BenchmarkText } from '../../../lib/select/contamination/benchmarkText.js'
import { growth, proportional } from '../../support/growth.js'
import { draws, familiesOfTexts } from '../duplicates/texts.js'

const draw = draws('contaminated texts')

/** Contamination by its definition: sets of runs of 8 words. */
const runsOf = (text: string): Set<string> => {
  const words = text.toLowerCase().replace(/[.,]/g, '').split(/\s+/)
  return new Set(words.slice(7).map((_, i) => words.slice(i, i + 8).join(' ')))
}

test('rows that share 8 words with a benchmark are those of a plain set', () => {
  const questions = familiesOfTexts(300).map((text, i) => ({ benchmark: 'exam', id: `q${i}`, text }))
  const known = questions.map(({ text }) => runsOf(text))
  const anyOf = new Set(known.flatMap((runs) => [...runs]))
  const text = new BenchmarkText(questions, 8)
  const others = familiesOfTexts(1200).slice(400)
  let [contaminated, clean] = [0, 0]
  for (const other of others) {
    const copied = (questions[draw(questions.length)] as { text: string }).text.split(' ')
    const begin = draw(copied.length)
    const row = draw(2) === 0 ? other : `${other} ${copied.slice(begin, begin + 4 + draw(8)).join(' ')} ${draw(99)}`
    const runs = runsOf(row)
    const found = text.find(row)
    const expected = [...runs].some((run) => anyOf.has(run))
    expect(found !== undefined).toBe(expected)
    if (found) {
      contaminated++
      const place = questions.findIndex(({ id }) => id === found.question)
      expect(known[place]?.has(found.words as string)).toBe(true)
      expect(runs.has(found.words as string)).toBe(true)
    } else clean++
  }
  expect(Math.min(contaminated, clean)).toBeGreaterThan(100)
})

test('a whole question is found however it is set, also one shorter than 8 words', () => {
  const text = new BenchmarkText([{ benchmark: 'exam', id: '7', text: 'What is $3 + 5$?' }], 8)
  expect(text.find('what is 3+5')).toEqual({ benchmark: 'exam', question: '7', words: undefined })
  expect(text.find('What is $3 - 5$?')).toBeUndefined()
  expect(text.find('What is 35?')).toBeUndefined()
  expect(text.find('')).toBeUndefined()
})

test('a search takes time in proportion to the text', async () => {
  const text = new BenchmarkText([{ benchmark: 'exam', id: '1', text: 'the '.repeat(40) }], 8)
  expect(await growth((size) => text.find('the the the the the the the end '.repeat(size)), 2000)).toBeLessThan(
    proportional,
  )
})
