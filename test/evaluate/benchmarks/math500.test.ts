import { expect, test } from 'vitest'
import { graded, opened, promptOf, question, said } from './support.js'

const row = {
  problem: 'What is half of $\\frac{1}{3}$?',
  solution: 'It is $\\boxed{\\frac{1}{6}}$.',
  answer: '\\frac{1}{6}',
  subject: 'Prealgebra',
  level: 1,
  unique_id: 'test/prealgebra/1.json',
}

test('the published columns', async () => {
  for (const name of ['math500', 'MATH-500', 'math_500', 'other']) {
    const benchmark = await opened([row], { name })
    expect(benchmark).toMatchObject({ kind: 'math-500', version: 'math-500/strict@1', trials: 1, needsPrograms: false })
    expect(question(benchmark)).toMatchObject({
      id: 'test/prealgebra/1.json',
      labels: { subject: 'Prealgebra', level: '1' },
      reference: '\\frac{1}{6}',
    })
    expect(promptOf(question(benchmark))).toEqual([
      ['user', `${row.problem}\n\nPlease reason step by step, and put your final answer within \\boxed{}.`],
    ])
  }
  await expect(opened([row], { name: 'math500', profile: 'paper' })).rejects.toMatchObject({ code: 'ERR_BENCHMARK' })
})

test.each([
  ['It is $\\boxed{\\dfrac16}$.', 'correct', '\\frac{1}{6}'],
  ['It is \\boxed{1/6}.', 'correct', '\\frac{1}{6}'],
  ['It is \\boxed{\\frac{2}{12}}.', 'correct', '\\frac{1}{6}'],
  ['The final answer is $\\frac16$. I hope it is correct.', 'correct', '\\frac{1}{6}'],
  ['It is \\boxed{\\frac{2}{6}}.', 'wrong', '1/3'],
  ['It is \\boxed{\\frac13}.', 'wrong', '1/3'],
  ['It is 1/6', 'no-answer', null],
])('%j is %s', async (answer, status, extracted) => {
  expect(await graded(question(await opened([row], { name: 'math500' })), answer)).toMatchObject({ status, extracted })
})

test('what the verifier cannot tell is unsupported, and cut off is truncated', async () => {
  const asked = question(await opened([row], { name: 'math500' }))
  expect(await graded(asked, '\\boxed{\\int_0^1 x dx}')).toMatchObject({ status: 'unsupported' })
  expect(await graded(asked, said('<think>\\boxed{\\frac16}', 'length'))).toMatchObject({ status: 'truncated' })
})
