import { describe, expect, test } from 'vitest'
import { parseCsv } from '../../../lib/evaluate/benchmarks/csv.js'
import { openBenchmark } from '../../../lib/evaluate/benchmarks/openBenchmark.js'
import { Random } from '../../support/random.js'
import { graded, opened, promptOf, question, written } from './support.js'

/** The columns of the published file that matter here, and some that do not. */
const columns = [
  'Pre-Revision Question',
  'Question',
  'Correct Answer',
  'Incorrect Answer 1',
  'Incorrect Answer 2',
  'Incorrect Answer 3',
  'Subdomain',
  'High-level domain',
  'Record ID',
  'Canary String',
]
const records = [
  [
    '',
    'Which metal,\nif "pure",\nis liquid?',
    'Mercury\n',
    'Iron, cast',
    '"Gold"',
    'Zinc',
    'Inorganic',
    'Chemistry',
    'rec1',
    'c',
  ],
  ['', 'What is 2 + 2?', '4', '3', '5', '6', '', 'Mathematics', 'rec2', 'c'],
]
const quoted = (field: string) => (/[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field)
const csv = (lines: string[][], end = '\r\n') => lines.map((line) => line.map(quoted).join(',') + end).join('')
const file = () => written('gpqa_diamond.csv', csv([columns, ...records]))

/** The letter under which a prompt shows an option. */
const letterOf = (content: string, text: string) =>
  /^([A-D])\) /m.exec(content.slice(content.search(new RegExp(`[A-D]\\) ${text}`))))?.[1] as string

test('the published file', async () => {
  const benchmark = await openBenchmark({ name: 'gpqa', path: file() })
  expect(benchmark).toMatchObject({
    kind: 'gpqa-diamond',
    version: 'gpqa-diamond/strict@1',
    trials: 4,
    confidential: true,
    notes: ['It has 2 questions; the published set has 198'],
  })
  expect(benchmark.questions.map(({ id, labels }) => [id, labels])).toEqual([
    ['rec1', { domain: 'Chemistry', subdomain: 'Inorganic' }],
    ['rec2', { domain: 'Mathematics' }],
  ])
  expect(await openBenchmark({ name: 'science', path: file() })).toMatchObject({ kind: 'gpqa-diamond' })
})

test('what is asked, in both profiles', async () => {
  const strict = question(await openBenchmark({ name: 'gpqa', path: file() }))
  expect(promptOf(strict)).toEqual([
    [
      'user',
      expect.stringMatching(
        /^Answer the following multiple choice question\. The last line of your response should be of the following format: 'Answer: \$LETTER' \(without quotes\) where LETTER is one of ABCD\. Think step by step before answering\.\n\nWhich metal,\nif "pure",\nis liquid\?\n\nA\) [\s\S]+\nB\) [\s\S]+\nC\) [\s\S]+\nD\) [\s\S]+$/,
      ),
    ],
  ])
  // White space of the file stays, as in simple-evals.
  expect(promptOf(strict)[0]?.[1]).toMatch(/\) Mercury\n(?:\n|$)/)
  const boxed = await openBenchmark({ name: 'gpqa', path: file(), options: { boxed: true } })
  expect(boxed.version).toBe('gpqa-diamond/strict@1+boxed')
  expect(promptOf(question(boxed))[0]?.[1]).toMatch(/^Return your final response within \\boxed\{\} and only/)
  const paper = question(await openBenchmark({ name: 'gpqa', path: file(), profile: 'paper' }), 1)
  expect(promptOf(paper)).toEqual([
    ['system', 'You are a helpful and harmless assistant. You should think step-by-step.'],
    [
      'user',
      expect.stringMatching(
        /^Return your final response within \\boxed\{\{\}\} and only include the letter choice \(A, B, C, or D\) as your final response\. What is 2 \+ 2\?\nA\) \d, B\) \d, C\) \d, D\) \d$/,
      ),
    ],
  ])
})

test('the order depends on the question, the seed and the trial alone, and each is as frequent', async () => {
  const asked = question(await openBenchmark({ name: 'gpqa', path: file() }), 1)
  const again = question(await openBenchmark({ name: 'other', path: file(), kind: 'gpqa-diamond' }), 1)
  const counts = new Map<string, number>()
  for (let trial = 0; trial < 2000; trial++) {
    const content = promptOf(asked, trial, 7)[0]?.[1] as string
    expect(promptOf(again, trial, 7)[0]?.[1]).toBe(content)
    const letter = letterOf(content, '4')
    counts.set(letter, (counts.get(letter) ?? 0) + 1)
    const verdict = await graded(asked, `Answer: ${letter}`, { trial, seed: 7 })
    expect(verdict).toMatchObject({ status: 'correct', extracted: 'Correct Answer' })
  }
  // 500 each; the standard deviation is below 20.
  expect([...counts.keys()].sort()).toEqual(['A', 'B', 'C', 'D'])
  for (const count of counts.values()) expect(Math.abs(count - 500)).toBeLessThan(100)
})

test('grading: an article is no letter, but in the code of the paper it is', async () => {
  for (const profile of ['strict', 'paper'] as const) {
    const asked = question(await openBenchmark({ name: 'gpqa', path: file(), profile }), 1)
    const trial =
      [...Array(50).keys()].find((n) => letterOf(promptOf(asked, n).at(-1)?.[1] as string, '4') === 'C') ?? 0
    const verdict = await graded(asked, '\\boxed{C}. This is a strong acid.', { trial })
    expect(verdict.status).toBe(profile === 'strict' ? 'correct' : 'wrong')
  }
})

test('rows of Parquet and JSON Lines, without an id', async () => {
  const row = Object.fromEntries(columns.map((name, i) => [name, records[1]?.[i] || null]))
  const benchmark = await opened([{ ...row, 'Record ID': null }], { name: 'gpqa' })
  expect(question(benchmark).id).toMatch(/^[0-9a-f]{16}$/)
})

describe('CSV', () => {
  const fields = (text: string) => parseCsv(text, 'f.csv').map((record) => record.fields)

  test.each([
    [
      'a,b\nc,d',
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    ],
    [
      'a,b\r\nc,d\r\n',
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    ],
    ['\ufeffa\n', [['a']]],
    ['a,,\n', [['a', '', '']]],
    ['"a,b","c""d","e\r\nf"', [['a,b', 'c"d', 'e\r\nf']]],
    ['"",a\n\n"b"\n', [['', 'a'], ['b']]],
    ['', []],
  ])('%j', (text, expected) => {
    expect(fields(text)).toEqual(expected)
  })

  test('whatever the fields hold, they come back', () => {
    const random = new Random(5)
    const pieces = ['a', '"', ',', '\n', '\r\n', ' ', '""', 'é', '\ufeff', '0']
    for (let round = 0; round < 500; round++) {
      const width = 2 + random.below(3)
      const text = () => Array.from({ length: random.below(6) }, () => pieces[random.below(10)]).join('')
      const table = Array.from({ length: 1 + random.below(5) }, () => Array.from({ length: width }, text))
      const always = (field: string) => `"${field.replaceAll('"', '""')}"`
      const written = table.map((line) => line.map(always).join(',')).join(random.uniform() < 0.5 ? '\n' : '\r\n')
      expect(fields(written)).toEqual(table)
    }
  })

  test('lines are counted through quoted line breaks', () => {
    expect(parseCsv('a\n"b\nc"\nd', 'f.csv').map(({ line }) => line)).toEqual([1, 2, 4])
  })

  test.each([
    ['a\n"b', 'f.csv, line 2: expected a quoted field'],
    ['"a"b', 'f.csv, line 1: expected a quoted field'],
    ['a"b', 'f.csv, line 1: expected a quoted field'],
  ])('%j is refused', (text, message) => {
    expect(() => parseCsv(text, 'f.csv')).toThrow(message)
  })

  test('a record of another length, and a file in Latin-1', async () => {
    const short = written('g.csv', csv([columns, ['a', 'b']]))
    await expect(openBenchmark({ name: 'gpqa', path: short })).rejects.toMatchObject({
      code: 'ERR_BENCHMARK',
      message: expect.stringMatching(/g\.csv, line 2: expected 10 fields, as the first line has, but there are 2$/),
    })
    const latin = written('g.csv', Buffer.from(csv([columns, ...records]).replace('pure', '\xe9'), 'latin1'))
    await expect(openBenchmark({ name: 'gpqa', path: latin })).rejects.toMatchObject({ code: 'ERR_BENCHMARK' })
  })
})
