import { describe, expect, test } from 'vitest'
import { openBenchmark } from '../../../lib/evaluate/benchmarks/openBenchmark.js'
import { graded, opened, parquet, promptOf, question, said, written } from './support.js'

const problem = 'Find the number of dots on a die that shows four.'
const url = 'https://artofproblemsolving.com/wiki/index.php/2024_AIME_I_Problems/Problem_1'

describe('the published variants', () => {
  test.each([
    ['HuggingFaceH4/aime_2024', { id: 60, problem, solution: '…', answer: '004', url, year: '2024' }, '60', '2024'],
    ['Maxwell-Jia/AIME_2024', { ID: '2024-II-4', Problem: problem, Solution: '…', Answer: 4 }, '2024-II-4', '2024'],
    ['TinyR1', { id: '0', problem, solution: '…', answer: '4', url, question: problem }, '0', '2024'],
    ['yentinglin/aime_2025', { id: '1', problem, answer: '4', solution: null, url: null, year: 2025 }, '1', '2025'],
    ['MathArena/aime_2025', { problem_idx: 1, problem, answer: 4, problem_type: ['Algebra'] }, '1', undefined],
    ['opencompass/AIME2025', { question: problem, answer: '4' }, expect.stringMatching(/^[0-9a-f]{16}$/), undefined],
  ])('%s', async (_, row, id, year) => {
    const benchmark = await opened([row], { name: 'aime24' })
    expect(benchmark).toMatchObject({ kind: 'aime', version: 'aime/strict@1', trials: 16 })
    expect(question(benchmark)).toMatchObject({ id, labels: year ? { year } : {}, reference: '4' })
    expect(await graded(question(benchmark), '\\boxed{04}')).toMatchObject({ status: 'correct', extracted: '4' })
  })

  test('Parquet with integers of 64 bits', async () => {
    const path = written(
      'aime_2025.parquet',
      parquet([
        { name: 'problem_idx', data: [1n, 2n], type: 'INT64' },
        { name: 'answer', data: [70n, 588n], type: 'INT64' },
        { name: 'problem', data: ['One?', 'Two?'] },
      ]),
    )
    const benchmark = await openBenchmark({ name: 'aime2025', path })
    expect(benchmark.questions.map(({ id, reference }) => [id, reference])).toEqual([
      ['1', '70'],
      ['2', '588'],
    ])
    expect(benchmark.notes).toEqual(['It has 2 problems; one year has 30'])
  })
})

test('what is asked', async () => {
  const row = { id: 1, problem: ` ${problem}\n`, answer: '4' }
  const strict = await opened([row], { name: 'aime24' })
  const instruction = 'Please reason step by step, and put your final answer within \\boxed{}.'
  expect(promptOf(question(strict))).toEqual([['user', `${problem}\n\n${instruction}`]])
  expect(strict.sampling).toEqual({ temperature: 0.6, topP: 0.95, maxTokens: 32768 })
  const paper = await opened([row], { name: 'aime24', profile: 'paper' })
  expect(paper).toMatchObject({ version: 'aime/paper@1', sampling: { stop: ['<|im_end|>', '<｜end▁of▁sentence｜>'] } })
  expect(question(paper).prompt(3, 4)).toEqual({
    text: `<｜begin▁of▁sentence｜>${instruction}<｜User｜>${problem}<｜Assistant｜>`,
  })
})

test('the profiles differ where the code of the paper is lax', async () => {
  const row = { id: 1, problem, answer: '200' }
  const strict = question(await opened([row], { name: 'aime24' }))
  const paper = question(await opened([row], { name: 'aime24', profile: 'paper' }))
  const cutOff = said('<think>There are 200', 'length')
  expect(await graded(strict, cutOff)).toMatchObject({ status: 'truncated' })
  expect(await graded(paper, cutOff)).toMatchObject({ status: 'correct', extracted: '200' })
  expect(await graded(strict, '\\boxed{2}')).toMatchObject({ status: 'wrong' })
  expect(await graded(paper, '\\boxed{2}')).toMatchObject({ status: 'correct' })
})

test.each([
  [{ id: 1, problem, answer: '1000' }, 'expected an answer from 0 to 999 but received 1000'],
  [{ id: 1, problem, answer: 'x' }, 'expected an integer for answer or Answer but received "x"'],
  [{ id: 1, answer: '1' }, 'expected a text for problem or Problem or question but there is none'],
])('%j is refused', async (row, problem) => {
  await expect(opened([row], { name: 'aime24' })).rejects.toMatchObject({
    code: 'ERR_BENCHMARK',
    message: expect.stringContaining(`questions.jsonl, line 1: ${problem}`),
  })
})
