import { describe, expect, test } from 'vitest'
import { QualityJudge } from '../../../lib/select/quality/judge.js'
import { quality } from '../../../lib/select/quality/quality.js'
import { refusalIn } from '../../../lib/select/quality/refusals.js'
import { countScripts } from '../../../lib/select/quality/scripts.js'
import { filesOfTokenizer, fixtureTokenizer, texts, writeModel } from '../../data/support.js'
import { growth, proportional } from '../../support/growth.js'
import { answer, candidate, detailOf, inShort, outcomesOf } from '../steps.js'

const good = answer('It is 4.', { reasoning: 'Two and two.', finish: 'stop' })

test('what is incomplete goes whatever the options are', async () => {
  const rows = [
    candidate(0, [good]),
    candidate(1, [answer('', { reasoning: 'Two and', closed: false })]),
    candidate(2, [answer(' \n', { reasoning: 'Two.' })]),
    candidate(3, [answer('It is 4.')]),
    candidate(4, [answer('', { closed: false }), good]),
  ]
  expect(inShort(await outcomesOf(quality, {}, rows))).toEqual([[0], 'reasoning-unclosed', 'answer-empty', [0], [1]])
})

test('reasoning and finish reasons are asked for', async () => {
  const rows = [
    candidate(0, [good]),
    candidate(1, [answer('4', { finish: 'stop' })]),
    candidate(2, [answer('4', { reasoning: '', finish: 'stop' })]),
    candidate(3, [{ ...good, finish: 'length' }]),
    candidate(4, [{ ...good, finish: undefined }]),
  ]
  const outcomes = await outcomesOf(quality, { finish: ['stop'], reasoning: 'required' }, rows)
  expect(inShort(outcomes)).toEqual([[0], 'reasoning-missing', 'reasoning-empty', 'finish', 'finish'])
  expect([detailOf(outcomes[3]), detailOf(outcomes[4])]).toEqual(['it is length', 'it does not say'])
})

test('a row whose answers all go says why for each', async () => {
  const rows = [candidate(0, [answer(''), { ...good, finish: 'length' }])]
  const [outcome] = await outcomesOf(quality, { finish: ['stop'] }, rows)
  expect(inShort(outcome ? [outcome] : [])).toEqual(['finish'])
  expect(detailOf(outcome)).toBe('answer 0: finish, it does not say; answer 1: finish, it is length')
})

describe('lengths', () => {
  const tokenizer = fixtureTokenizer()
  const count = (text: string) => tokenizer.encode(text).length

  test('are those of the tokenizer, both ends included', () => {
    for (const text of Object.values(texts).filter((each) => each.trim() !== '')) {
      const tokens = count(text)
      const reason = (range: object) => {
        const judge = new QualityJudge({ length: { answer: range } }, filesOfTokenizer())
        return judge.judge({ question: 'What?', answers: [answer(text)] }).answers[0]?.reason
      }
      expect(reason({ max: tokens })).toBeUndefined()
      expect(reason({ min: tokens, max: tokens })).toBeUndefined()
      expect(reason({ max: tokens - 1 })).toBe('length-answer')
      expect(reason({ min: tokens + 1 })).toBe('length-answer')
    }
  })

  test('of the whole are the sum, and a question can be too long by itself', () => {
    const parts = ['What is 2 + 2?', 'Two and two are four.', 'It is 4.'] as const
    const sum = parts.reduce((total, text) => total + count(text), 0)
    const judged = { question: parts[0], answers: [answer(parts[2], { reasoning: parts[1] })] }
    const judge = (length: object) => new QualityJudge({ length }, filesOfTokenizer()).judge(judged)
    expect(judge({ whole: { max: sum } }).answers).toEqual([undefined])
    expect(judge({ whole: { max: sum - 1 } }).answers[0]).toEqual({
      reason: 'length-whole',
      detail: `${sum} tokens, at most ${sum - 1} wanted`,
    })
    expect(judge({ question: { max: count(parts[0]) - 1 } }).question?.reason).toBe('length-question')
  })

  test('are never bounded below their number', () => {
    for (const text of [...Object.values(texts), '\u0958\u0344ﷺ'.repeat(50), 'é'.repeat(99), '😀🙈'.repeat(20)]) {
      const tokens = count(text)
      if (tokens === 0) continue
      const judge = new QualityJudge({ length: { question: { max: tokens - 1 } } }, filesOfTokenizer())
      expect(judge.judge({ question: text, answers: [] }).question?.reason).toBe('length-question')
    }
  })
})

test('repetition is refused by its kind, above the limits', async () => {
  const sentence = 'But wait, maybe I should check this again. '
  const words = Array.from({ length: 400 }, (_, i) => `w${i}`)
  const paragraph = words.slice(0, 100).join(' ')
  const rows = [
    candidate(0, [answer('So it is 4.', { reasoning: words.join(' ') })]),
    candidate(1, [answer('So it is 4.', { reasoning: `${words.join(' ')} ${sentence.repeat(20)}` })]),
    candidate(2, [
      answer('So it is 4.', { reasoning: `${paragraph} ${paragraph} ${words.slice(100, 150).join(' ')}` }),
    ]),
    candidate(3, [answer(`${'The area of the triangle is 24 units.\nSo\n'.repeat(3)}It is 4 by the rule of sums.`)]),
  ]
  const outcomes = await outcomesOf(quality, { repetition: true }, rows)
  expect(inShort(outcomes)).toEqual([[0], 'repetition-loop', 'repetition-runs', 'repetition-lines'])
  expect(detailOf(outcomes[1])).toBe('the reasoning ends with 8 words 20 times')
  expect(detailOf(outcomes[2])).toBe('35.1 % of the runs of 20 words in the reasoning stood there before')
  const lax = { repetition: { loop: 1000, runs: 1, lines: 0.9 } }
  expect(inShort(await outcomesOf(quality, lax, rows))).toEqual([[0], [0], [0], [0]])
})

test('other scripts than those of the question and of mathematics are counted', async () => {
  const english = 'The angle α is 30 degrees, so sin α is one half and the area follows. '.repeat(3)
  const rows = [
    candidate(0, [answer(english)]),
    candidate(1, [answer(`${english}所以面积是六`)]),
    candidate(2, [answer(`${english}所以面积是六`)], { question: '三角形的面积是多少？' }),
    candidate(3, [answer(`${english} 六`)]),
    candidate(4, [answer(`${english} потому что это так`)]),
  ]
  const outcomes = await outcomesOf(quality, { languages: true }, rows)
  expect(inShort(outcomes)).toEqual([[0], 'mixed-languages', [0], [0], 'mixed-languages'])
  expect(detailOf(outcomes[1])).toMatch(/^6 of \d+ letters \(3\.\d %\) are Han$/)
  expect(detailOf(outcomes[4])).toMatch(/ are Cyrillic$/)
  const none = await outcomesOf(quality, { languages: { share: 0 } }, rows)
  expect(inShort(none)[3]).toBe('mixed-languages')
})

describe('refusals', () => {
  test.each([
    "I'm sorry, but I can't assist with that request.",
    "I'm sorry, but I cannot provide an answer to this.",
    'I cannot help with that.',
    'I’m unable to answer this question.',
    'As an AI language model, I cannot open the image.',
    'Sorry, I am unable to complete this task',
    '很抱歉，我无法回答这个问题。',
  ])('%s', (text) => expect(refusalIn(text)).toBeDefined())

  test.each([
    'We cannot divide by zero, so x is not 0. The answer is 4.',
    'I can’t use the formula directly, so I expand it first.',
    'The doctor said: "I am sorry", and left.',
    `The answer is 4. ${'x '.repeat(200)} I'm sorry, but I can't assist with that.`,
  ])('none: %s', (text) => expect(refusalIn(text)).toBeUndefined())

  test('are a reason', async () => {
    const rows = [candidate(0, [answer("I'm sorry, but I can't help with that."), good])]
    expect(inShort(await outcomesOf(quality, { refusals: true }, rows))).toEqual([[1]])
  })
})

test('threads and portions change nothing', async () => {
  const rows = Array.from({ length: 23 }, (_, i) => candidate(i, [answer('word '.repeat(i)), answer(`${i}`)]))
  const options = { length: { answer: { min: 2, max: 12 } }, repetition: true as const }
  const tokenizer = writeModel()
  const one = await outcomesOf(quality, options, rows, { tokenizer, threads: 1, portion: 23 })
  expect(await outcomesOf(quality, options, rows, { tokenizer, threads: 3, portion: 5 })).toEqual(one)
  expect(new Set(inShort(one).map(String)).size).toBeGreaterThan(1)
})

test('judging takes time in proportion to the text', async () => {
  const judge = new QualityJudge(
    { repetition: { runs: 1, lines: 1, loop: 1e9 }, languages: { share: 1 }, refusals: true },
    undefined,
  )
  const text = "I'm sorry, I'm sorry, 所以 it is so. "
  expect(
    await growth((size) => judge.judge({ question: '', answers: [answer(text.repeat(size))] }), 1000),
  ).toBeLessThan(proportional)
  expect(countScripts('aя面α1').scripts).toEqual(
    new Map([
      ['Han', 1],
      ['Cyrillic', 1],
    ]),
  )
})
