import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { bbhTasks } from '../../../lib/evaluate/benchmarks/bbhTasks.js'
import { openBenchmark } from '../../../lib/evaluate/benchmarks/openBenchmark.js'
import { type BbhGold, gradeBbh } from '../../../lib/grading/bbhAnswer.js'
import { growth, proportional } from '../../support/growth.js'
import { temporaryDirectory } from '../../support/temporary.js'
import { graded, promptOf, question, said } from './support.js'

const canary = 'This data belongs to the tests of this package and to nothing else.'
const options = 'Which?\nOptions:\n(A) the red one\n(B) Monsters, Inc\n(C) the blue one'

function directory(tasks: Record<string, { input: string; target: string }[]>): string {
  const path = temporaryDirectory()
  for (const [name, examples] of Object.entries(tasks)) {
    writeFileSync(join(path, `${name}.json`), JSON.stringify({ canary, examples }, undefined, 2))
  }
  return path
}

test('a directory of tasks, or one of them', async () => {
  const path = directory({
    word_sorting: [{ input: 'Sort: b a', target: 'a b' }],
    snarks: [{ input: options, target: '(A)' }],
  })
  const benchmark = await openBenchmark({ name: 'bbh', path })
  expect(benchmark).toMatchObject({
    kind: 'bbh',
    version: 'bbh/strict@1',
    files: [{ path: join(path, 'snarks.json') }, { path: join(path, 'word_sorting.json') }],
    notes: ['It has 2 questions; the published set has 6511'],
  })
  expect(benchmark.questions.map(({ id, labels }) => [id, labels])).toEqual([
    ['snarks/0', { task: 'snarks' }],
    ['word_sorting/0', { task: 'word_sorting' }],
  ])
  expect(promptOf(question(benchmark, 1))).toEqual([
    [
      'user',
      'Sort a list of words.\n\nSort: b a\n\n' +
        'Think step by step, then give the final answer on the last line as: "The answer is X."',
    ],
  ])
  // The published prompt of this task begins otherwise than the others'.
  const times = await openBenchmark({
    name: 'bbh',
    path: directory({ temporal_sequences: [{ input: options, target: '(A)' }] }),
  })
  expect(promptOf(question(times))[0]?.[1]).toMatch(
    /^Task description: Answer questions about which times certain events could have occurred\.\n\nWhich\?/,
  )
  const one = await openBenchmark({ name: 'x', kind: 'bbh', path: join(path, 'snarks.json') })
  expect(one.questions).toHaveLength(1)
})

test('three-shot prompts, behind the canary', async () => {
  const path = directory({ word_sorting: [{ input: 'Sort: b a', target: 'a b' }] })
  const cotPrompts = join(path, 'cot')
  mkdirSync(cotPrompts)
  writeFileSync(
    join(cotPrompts, 'word_sorting.txt'),
    `${canary}\n-----\nSort words.\n\nQ: d c\nA: So the answer is c d.\n`,
  )
  const benchmark = await openBenchmark({ name: 'bbh', path, options: { cotPrompts } })
  expect(benchmark.version).toBe('bbh/strict@1+3-shot')
  expect(benchmark.files).toHaveLength(2)
  expect(promptOf(question(benchmark))[0]?.[1]).toBe(
    "Sort words.\n\nQ: d c\nA: So the answer is c d.\n\nQ: Sort: b a\nA: Let's think step by step.",
  )
  writeFileSync(join(cotPrompts, 'word_sorting.txt'), 'no canary')
  await expect(openBenchmark({ name: 'bbh', path, options: { cotPrompts } })).rejects.toMatchObject({
    code: 'ERR_BENCHMARK',
  })
})

test('there are 27 tasks', () => {
  expect(bbhTasks.size).toBe(27)
})

const letter = { type: 'letter', target: '(B)', input: options } as const
const table: [gold: BbhGold, answer: string, status: string, extracted: string | null][] = [
  [letter, 'So the answer is (B).', 'correct', 'B'],
  [letter, 'So the answer is (B). ', 'correct', 'B'],
  [letter, 'The answer is **(B)**.', 'correct', 'B'],
  [letter, 'The answer is B', 'correct', 'B'],
  [letter, 'The answer is "(B) Monsters, Inc".', 'correct', 'B'],
  [letter, 'The answer is Monsters, Inc.', 'correct', 'B'],
  [letter, 'First I thought the answer is (A). But the answer is: (B)', 'correct', 'B'],
  [letter, '\\boxed{B}', 'correct', 'B'],
  [letter, 'The answer is $\\boxed{\\text{(B)}}$.', 'correct', 'B'],
  [letter, 'I think.\n(B)', 'correct', 'B'],
  [letter, 'The answer is (A).', 'wrong', 'A'],
  [letter, 'The answer is unknown.', 'no-answer', null],
  [{ ...letter, target: 'Monsters, Inc' }, 'The answer is (B).', 'correct', 'B'],
  [{ ...letter, target: 'Monsters, Inc' }, 'The answer is (C).', 'wrong', 'C'],
  [{ type: 'true-false', target: 'True', input: '' }, 'The answer is true.', 'correct', 'true'],
  [{ type: 'true-false', target: 'True', input: '' }, 'not ( False ) is True\nFalse', 'wrong', 'false'],
  [{ type: 'true-false', target: 'True', input: '' }, 'The answer is True or False.', 'no-answer', null],
  [{ type: 'yes-no', target: 'Yes', input: '' }, 'The answer is yes', 'correct', 'yes'],
  [{ type: 'yes-no', target: 'no', input: '' }, 'So the answer is No.', 'correct', 'no'],
  [{ type: 'yes-no', target: 'no', input: '' }, 'The answer is not known.', 'no-answer', null],
  [{ type: 'validity', target: 'invalid', input: '' }, 'The answer is Invalid.', 'correct', 'invalid'],
  [{ type: 'validity', target: 'valid', input: '' }, 'The answer is invalid.', 'wrong', 'invalid'],
  [{ type: 'integer', target: '-1234', input: '' }, 'The answer is -1,234.', 'correct', '-1234'],
  [{ type: 'integer', target: '-1234', input: '' }, 'The answer is \u22121234.', 'correct', '-1234'],
  [{ type: 'integer', target: '8', input: '' }, 'The answer is 8 objects.', 'correct', '8'],
  [{ type: 'integer', target: '8', input: '' }, 'The answer is 8.5', 'no-answer', null],
  [{ type: 'integer', target: '8', input: '' }, 'The answer is 9.', 'wrong', '9'],
  [{ type: 'brackets', target: '] ] >', input: 'Close it. Input: < [ [' }, 'The answer is ] ] >.', 'correct', ']]>'],
  [{ type: 'brackets', target: '] ] >', input: 'Close it. Input: < [ [' }, 'The answer is ]]>', 'correct', ']]>'],
  [
    { type: 'brackets', target: '] ] >', input: 'Close it. Input: < [ [' },
    'The answer is < [ [ ] ] >.',
    'correct',
    ']]>',
  ],
  [{ type: 'brackets', target: '] ] >', input: 'Close it. Input: < [ [' }, 'The answer is ] >.', 'wrong', ']>'],
  [{ type: 'words', target: 'ant bee cat', input: '' }, 'The answer is ant, bee, cat.', 'correct', 'ant bee cat'],
  [{ type: 'words', target: 'ant bee cat', input: '' }, 'ant bee cat', 'correct', 'ant bee cat'],
  [{ type: 'words', target: 'ant bee cat', input: '' }, 'The answer is bee ant cat.', 'wrong', 'bee ant cat'],
]

test.each(table)('%j: %j is %s', (gold, answer, status, extracted) => {
  expect(gradeBbh(said(answer), gold)).toMatchObject({ status, extracted })
})

test('questions with known faults are named and stay', async () => {
  const path = directory({
    movie_recommendation: [
      { input: options, target: 'Monsters, Inc' },
      { input: 'Which? (A) one (B) two', target: '(A)' },
      { input: options, target: '(D)' },
    ],
  })
  const benchmark = await openBenchmark({ name: 'bbh', path })
  expect(benchmark.questions).toHaveLength(3)
  expect(benchmark.notes.slice(1)).toEqual([
    'movie_recommendation[0]: its target is no letter: "Monsters, Inc"',
    'movie_recommendation[1]: its options cannot be told apart',
    'movie_recommendation[2]: its target (D) is none of its options',
  ])
  expect(await graded(question(benchmark, 0), 'The answer is (B).')).toMatchObject({ status: 'correct' })
})

test('cut off, hostile, and files of another form', async () => {
  expect(gradeBbh(said('<think>The answer is (B)', 'length'), letter)).toMatchObject({ status: 'truncated' })
  for (const part of ['answer is ', '(A', '[', ' ', '\\boxed{']) {
    expect(await growth((size) => gradeBbh(said(part.repeat(size)), letter), 40_000)).toBeLessThan(proportional)
  }
  const path = directory({ unknown_task: [{ input: 'a', target: 'b' }] })
  await expect(openBenchmark({ name: 'bbh', path })).rejects.toMatchObject({
    code: 'ERR_BENCHMARK',
    message: expect.stringMatching(/one of the 27 tasks for .*unknown_task\.json/),
  })
  const broken = directory({ snarks: [{ input: 'a', target: '' }] })
  await expect(openBenchmark({ name: 'bbh', path: broken })).rejects.toMatchObject({
    code: 'ERR_BENCHMARK',
    message: expect.stringMatching(/snarks\.json, example 0: expected texts/),
  })
})
