import { expect, test } from 'vitest'
import { duplicates } from '../../../lib/select/duplicates/duplicates.js'
import { bandingFor, Sketcher, similarity } from '../../../lib/select/duplicates/sketch.js'
import { answer, candidate, detailOf, inShort, outcomesOf } from '../steps.js'
import { draws, familiesOfTexts } from './texts.js'

const long =
  'A train leaves the station at 9 in the morning and moves at a constant speed of 60 miles an hour to the east until it meets another one'
const rowsOf = (questions: readonly string[], source = 'made') =>
  questions.map((question, i) => candidate(i, [answer('4')], { question, source }))

test('the first of equal and of similar questions stays, across sources', async () => {
  const rows = [
    ...rowsOf(['What is $x$?', long]),
    ...rowsOf(['what is  $X$ ?', long.replace('morning', 'evening'), `${long}, and the next.`, 'What is y?'], 'other'),
  ]
  const outcomes = await outcomesOf(duplicates, {}, rows, { portion: 3 })
  expect(inShort(outcomes)).toEqual([[0], [0], 'duplicate', [0], 'near-duplicate', [0]])
  expect(detailOf(outcomes[2])).toBe('of row 0 of made')
  expect(detailOf(outcomes[4])).toBe('similarity 0.89 to row 1 of made')
})

test('near: false leaves similar ones, and a lower threshold takes more', async () => {
  const rows = rowsOf([long, `${long}, and the next.`, long.replace('morning', 'evening'), ` ${long}`])
  expect(inShort(await outcomesOf(duplicates, { near: false }, rows))).toEqual([[0], [0], [0], 'duplicate'])
  const all = ['near-duplicate', 'near-duplicate', 'duplicate']
  expect(inShort(await outcomesOf(duplicates, { near: 0.6 }, rows))).toEqual([[0], ...all])
})

test('signs make a question another one, and questions without words are compared as they are', async () => {
  const rows = rowsOf(['f(x)^2', 'f(x^2)', 'x + 1', 'x - 1', '???', '!', '???'])
  expect(inShort(await outcomesOf(duplicates, { near: false }, rows))).toEqual([
    [0],
    [0],
    [0],
    [0],
    [0],
    [0],
    'duplicate',
  ])
})

test('of answers, those that came before go, in a row too', async () => {
  const rows = [
    candidate(0, [answer('It is 4.', { reasoning: long }), answer('It is 4, too.', { reasoning: long })]),
    candidate(1, [answer('It is 4.', { reasoning: long })]),
    candidate(2, [answer('It is 5.')]),
  ]
  expect(inShort(await outcomesOf(duplicates, { of: 'answer' }, rows))).toEqual([[0], 'duplicate', [0]])
})

test('threads and portions change nothing', async () => {
  const rows = rowsOf(familiesOfTexts(300))
  const one = await outcomesOf(duplicates, {}, rows, { threads: 1, portion: 300 })
  expect(await outcomesOf(duplicates, {}, rows, { threads: 3, portion: 17 })).toEqual(one)
  expect(inShort(one).filter((each) => each === 'near-duplicate').length).toBeGreaterThan(30)
})

/** What docs/select-filters.md says of edits. */
test('what one edit costs a question of 40 and of 100 words', () => {
  const sketcher = new Sketcher(5, bandingFor(0.8))
  const draw = draws('edits')
  const similarityAfter = (words: number, edits: number): number => {
    const text = Array.from({ length: words }, () => `w${draw(5000)}`)
    const edited = [...text]
    for (let i = 0; i < edits; i++) edited[Math.floor(((i + 0.5) * words) / edits)] = `e${i}`
    const [a, b] = [sketcher.sketch(text.join(' ')), sketcher.sketch(edited.join(' '))]
    return a && b ? Number(similarity(a, b).toFixed(2)) : 0
  }
  expect([similarityAfter(40, 1), similarityAfter(100, 1), similarityAfter(100, 2), similarityAfter(100, 3)]).toEqual([
    0.76, 0.9, 0.81, 0.73,
  ])
})
