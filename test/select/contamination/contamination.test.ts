import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { contamination } from '../../../lib/select/contamination/contamination.js'
import { temporaryDirectory } from '../../support/temporary.js'
import { answer, candidate, detailOf, inShort, outcomesOf } from '../steps.js'

const problem = 'Find the sum of all integer bases $b>9$ for which $17_b$ is a divisor of $97_b.$'
/** In a directory of the test. */
const write = (name: string, rows: readonly object[]): string => {
  const path = join(temporaryDirectory(), name)
  writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  return path
}
const rowsOf = (questions: readonly string[]) =>
  questions.map((question, i) => candidate(i, [answer('4')], { question }))

test('rows say which benchmark and question they share words with, and never those of the instruction', async () => {
  const aime = write('aime.jsonl', [
    { id: '60', problem: 'What is 1 + 1?', answer: '2' },
    { id: '61', problem, answer: '70' },
  ])
  const own = write('own.jsonl', [{ text: 'Which gas do plants take up from the air by day and by night?' }])
  const rows = rowsOf([
    `Here is one. ${problem.toUpperCase()}`,
    'what is 1+1',
    'Please reason step by step, and put your final answer within \\boxed{}. What is 3 + 4?',
    'Say: which gas do plants take up from the air',
    'A divisor of 97 is sought.',
  ])
  const benchmarks = [
    { name: 'aime24', path: aime },
    { name: 'own', path: own, column: 'text' },
  ]
  const outcomes = await outcomesOf(contamination, { benchmarks }, rows)
  expect(inShort(outcomes)).toEqual(['contaminated', 'contaminated', [0], 'contaminated', [0]])
  expect(detailOf(outcomes[0])).toBe('aime24, question 61: "find the sum of all integer bases b>9"')
  expect(detailOf(outcomes[1])).toBe('aime24, question 60: the whole question')
  expect(detailOf(outcomes[3])).toBe('own, question 0: "which gas do plants take up from the"')
  const longer = await outcomesOf(contamination, { benchmarks, words: 9 }, rows)
  expect(inShort(longer)).toEqual(['contaminated', 'contaminated', [0], 'contaminated', [0]])
  const longest = await outcomesOf(contamination, { benchmarks, words: 11 }, rows)
  expect(inShort(longest)[3]).toEqual([0])
})

test('the words of a benchmark that is not to be shown are not', async () => {
  const gpqa = write('gpqa.jsonl', [
    {
      Question: 'Two quantum states with energies E1 and E2 have a lifetime of one second.',
      'Correct Answer': 'a',
      'Incorrect Answer 1': 'b',
      'Incorrect Answer 2': 'c',
      'Incorrect Answer 3': 'd',
      'Record ID': 'rec1',
    },
  ])
  const rows = rowsOf(['two quantum states with energies e1 and e2 have'])
  const outcomes = await outcomesOf(contamination, { benchmarks: [{ name: 'gpqa', path: gpqa }] }, rows)
  expect(detailOf(outcomes[0])).toBe('gpqa, question rec1')
})

test('a column that rows lack is located', async () => {
  const path = write('lacking.jsonl', [{ text: 'a' }, { other: 'b' }])
  const asked = outcomesOf(contamination, { benchmarks: [{ name: 'own', path, column: 'text' }] }, [])
  await expect(asked).rejects.toMatchObject({ code: 'ERR_BENCHMARK', message: expect.stringContaining('line 2') })
})
