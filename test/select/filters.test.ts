import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Selection, SelectionStep } from '../../lib/select/run/selection.js'
import { writeModel } from '../data/support.js'
import { temporaryDirectory } from '../support/temporary.js'
import { funnelProblems, rejections, select, writeLines } from './support.js'

const row = (id: number, question: string, answers: string[], answer: string | null = '4') => ({
  id,
  question,
  answers,
  answer,
})
const thought = (text: string) => `<think>\n${text}\n</think>\n\nIt is \\boxed{${text.length % 2 === 0 ? 4 : 5}}.`

test('a selection with every filter: what remains, why the rest does not, and a funnel that adds up', async () => {
  const directory = temporaryDirectory()
  const path = writeLines(directory, 'rows.jsonl', [
    row(0, 'What is 2 + 2?', [thought('even'), thought('odd')]),
    row(1, 'what is  2+2 ?', [thought('even')]),
    row(2, 'What is 1 + 3?', ['<think>\nnever']),
    row(3, 'What is 5 - 1?', [thought('odd')]),
    row(4, 'What is 8 / 2?', [thought('even')], null),
    row(5, 'Which sum of two primes is an even number that is less than 6?', [thought('even')]),
    row(6, 'What is 9 - 5?', [thought('even and then much more of it.')]),
  ])
  const exam = writeLines(directory, 'exam.jsonl', [{ text: 'Which sum of two primes is an even number?' }])
  const recipe: Selection = {
    sources: [{ path, name: 'rows', map: { question: 'question', answers: 'answers', reference: 'answer' } }],
    tokenizer: writeModel(),
    steps: [
      { quality: { reasoning: 'required', length: { reasoning: { max: 7 } }, repetition: true, languages: true } },
      { verify: { by: 'math', unverifiable: 'reject' } },
      { duplicates: {} },
      { contamination: { benchmarks: [{ name: 'exam', path: exam, column: 'text' }] } },
      { choose: {} },
    ],
  }
  const { summary, rows, rejected } = await select(directory, recipe)
  expect(funnelProblems(summary, rejected)).toEqual([])
  expect(rows).toHaveLength(1)
  expect(rows[0]).toMatchObject({ origin: { row: 0, answer: 0 }, verdict: 'correct' })
  expect(rejections(rejected).sort()).toEqual([
    '1 duplicates duplicate',
    '2 quality reasoning-unclosed',
    '3 verify wrong',
    '4 verify unverifiable',
    '5 contamination contaminated',
    '6 quality length-reasoning',
  ])
  expect(summary.funnel.map(({ rowsKept }) => rowsKept).at(-1)).toBe(1)
})

const refused: [name: string, step: SelectionStep, message: string][] = [
  [
    'lengths without a tokenizer',
    { quality: { length: { whole: { max: 9 } } } },
    'Expected tokenizer in the recipe, or --tokenizer',
  ],
  ['a range without a number', { quality: { length: { answer: { min: 9, max: 3 } } } }, 'received 9 and 3'],
  ['repetition: false', { quality: { repetition: false as unknown as true } }, 'Expected true, or an object'],
  ['a share above 1', { verify: { by: 'math', unverifiable: 'keep', wrong: 2 } }, 'a number from 0 to 1'],
  ['nothing about unverifiable', { verify: { by: 'math' } as never }, 'Expected the key unverifiable'],
  ['seconds of no program', { verify: { by: 'math', unverifiable: 'keep', seconds: 3 } }, 'only with by: programs'],
  ['near: true', { duplicates: { near: true as unknown as false } }, 'a number from 0.3 to 1, or false'],
  ['runs of exact duplicates', { duplicates: { near: false, words: 3 } }, 'only where near is a number'],
  ['no benchmark', { contamination: { benchmarks: [] } }, 'a list of benchmarks'],
  [
    'a column of a known kind',
    { contamination: { benchmarks: [{ name: 'a', path: 'a', kind: 'aime', column: 'b' }] } },
    'either column, or kind',
  ],
]
test.each(refused)('what a step cannot mean is refused with its place: %s', async (_, step, message) => {
  const directory = temporaryDirectory()
  const recipe: Selection = {
    sources: [{ path: join(directory, 'none.jsonl'), map: { question: 'q', answers: 'a' } }],
    steps: [step],
  }
  await expect(select(directory, recipe)).rejects.toMatchObject({
    code: 'ERR_RECIPE',
    message: expect.stringContaining(message),
  })
})
