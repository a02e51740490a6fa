import { expect, test } from 'vitest'
import { openBenchmark } from '../../../lib/evaluate/benchmarks/openBenchmark.js'
import { splitCompletion } from '../../../lib/grading/completion.js'
import { graded, opened, parquet, promptOf, question, said, written } from './support.js'

const row = {
  key: 1000,
  prompt: 'Describe a fox. Use no commas, and two bullet points.',
  instruction_id_list: ['punctuation:no_comma', 'detectable_format:number_bullet_lists'],
  kwargs: [{}, { num_bullets: 2 }],
}
/** As the copy on the Hub has them: every argument that there is, null where it does not belong. */
const withNulls = row.kwargs.map((values) => ({
  num_bullets: null,
  keywords: null,
  relation: null,
  language: null,
  ...values,
}))

test('both published forms', async () => {
  const lines = await opened([row, { ...row, key: 1001, kwargs: withNulls }], { name: 'ifeval' })
  expect(lines).toMatchObject({ kind: 'ifeval', version: 'ifeval/strict@1', trials: 1 })
  expect(lines.questions.map(({ id, labels, reference }) => [id, labels, reference])).toEqual(
    ['1000', '1001'].map((id) => [id, { instructions: '2' }, row.instruction_id_list.join(', ')]),
  )
  expect(promptOf(question(lines))).toEqual([['user', row.prompt]])
  const columns = [
    { name: 'key', data: [1000n], type: 'INT64' as const },
    { name: 'prompt', data: [row.prompt] },
    { name: 'instruction_id_list', data: [row.instruction_id_list], type: 'JSON' as const },
    { name: 'kwargs', data: [withNulls], type: 'JSON' as const },
  ]
  const table = await openBenchmark({ name: 'other', path: written('train.parquet', parquet(columns)) })
  expect(await graded(question(table), '* a\n* b')).toMatchObject({ status: 'correct' })
})

const metrics = (strict: number, loose: number) => ({
  'prompt-strict': { passed: strict === 2 ? 1 : 0, total: 1 },
  'prompt-loose': { passed: loose === 2 ? 1 : 0, total: 1 },
  'instruction-strict': { passed: strict, total: 2 },
  'instruction-loose': { passed: loose, total: 2 },
})

test.each([
  ['* A fox\n* It is red', 'correct', 2, 2, undefined],
  ['Sure, here it is:\n* A fox\n* It is red', 'wrong', 1, 2, 'not followed: punctuation:no_comma (followed loosely)'],
  ['A fox, red', 'wrong', 0, 0, 'not followed: punctuation:no_comma, detectable_format:number_bullet_lists'],
])('%j is %s', async (answer, status, strict, loose, detail) => {
  const asked = question(await opened([row], { name: 'ifeval' }))
  const verdict = await graded(asked, answer)
  expect(verdict).toMatchObject({ status, metrics: metrics(strict, loose) })
  expect(verdict.detail).toBe(detail)
})

test('only the response counts, without what separates it from the reasoning', async () => {
  const asked = question(await opened([row], { name: 'ifeval' }))
  const thought = splitCompletion({
    text: 'A, b.\n</think>\n\n* a\n* b',
    reasoning: null,
    thinkOpened: true,
    finish: 'stop',
  })
  expect(await graded(asked, thought)).toMatchObject({ status: 'correct' })
  const cutOff = await graded(asked, said('<think>* a\n* b', 'length'))
  expect(cutOff).toMatchObject({ status: 'truncated', metrics: metrics(0, 0) })
  expect(await graded(asked, said('* a\n', 'length'))).toMatchObject({ status: 'truncated', metrics: metrics(1, 1) })
  expect(await graded(asked, '')).toMatchObject({ status: 'no-answer', metrics: metrics(0, 0) })
})

test.each([
  [{ ...row, instruction_id_list: ['a:b'], kwargs: [{}] }, 'instruction 0, a:b: there is no instruction "a:b"'],
  [{ ...row, kwargs: [{}] }, 'expected a list of 2, as instruction_id_list has, for kwargs but received a list of 1'],
  [
    { ...row, kwargs: [{}, { num_bullets: null }] },
    'instruction 1, detectable_format:number_bullet_lists: expected a number for num_bullets',
  ],
])('%j is refused', async (wrong, problem) => {
  await expect(opened([wrong], { name: 'ifeval' })).rejects.toMatchObject({
    code: 'ERR_BENCHMARK',
    message: expect.stringContaining(`line 1: ${problem}`),
  })
})
