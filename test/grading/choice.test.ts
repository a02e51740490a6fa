import { describe, expect, test } from 'vitest'
import { gradeChoice } from '../../lib/grading/choice.js'
import { splitCompletion } from '../../lib/grading/completion.js'
import { gradePaperChoice } from '../../lib/grading/paperChoice.js'
import { growth, proportional } from '../support/growth.js'

const texts = ['3.2 m', 'a strong acid', '\\frac{1}{2}', 'None of these']
const answered = (text: string, finish = 'stop') =>
  splitCompletion({ text, reasoning: null, thinkOpened: false, finish })
const strict = (text: string, finish?: string) =>
  gradeChoice(answered(text, finish), { letters: 'ABCD', texts, right: 2 })

describe('strict', () => {
  test.each([
    ['\\boxed{C}. This is a strong acid.', 'correct', 'C'],
    ['\\boxed{\\text{C}}', 'correct', 'C'],
    ['\\boxed{\\mathrm{(C)}}', 'correct', 'C'],
    ['\\boxed{C) \\frac{1}{2}}', 'correct', 'C'],
    ['\\boxed{C.}', 'correct', 'C'],
    ['\\boxed{{C}}', 'correct', 'C'],
    ['\\boxed{A} no, \\boxed{C}', 'correct', 'C'],
    ['Answer: C', 'correct', 'C'],
    ['**Answer:** C', 'correct', 'C'],
    ['**Answer: C**', 'correct', 'C'],
    ['Answer: $C$', 'correct', 'C'],
    ['Answer: (C) because a strong acid', 'correct', 'C'],
    ['The final answer is **C**.', 'correct', 'C'],
    ['The correct answer is: C', 'correct', 'C'],
    ['The correct answer is option C.', 'correct', 'C'],
    ['ANSWER: C', 'correct', 'C'],
    ['Answer: A\n\nWait.\n\nAnswer: C', 'correct', 'C'],
    ['I think so.\n\n(C)', 'correct', 'C'],
    ['I think so.\n\n**C**\n', 'correct', 'C'],
    ['The answer is \\frac{1}{2}.', 'correct', 'C'],
    ['\\boxed{\\frac{1}{2}}', 'correct', 'C'],
    ['It is\nnone of these', 'wrong', 'D'],
    ['\\boxed{a strong acid}', 'wrong', 'B'],
    ['Answer: A', 'wrong', 'A'],
    ['\\boxed{c}', 'no-answer', null],
    ['The answer is a strong base.', 'no-answer', null],
    ['This is a strong base. A good one.', 'no-answer', null],
    ['Answer: E', 'no-answer', null],
    ['Answer: CD', 'no-answer', null],
    ['Option C looks right', 'no-answer', null],
    ['', 'no-answer', null],
  ])('%j is %s', (text, status, extracted) => {
    expect(strict(text)).toMatchObject({ status, extracted })
  })

  test('only what stands behind the reasoning counts', () => {
    expect(strict('<think>Answer: C</think>Answer: A')).toMatchObject({ extracted: 'A' })
    expect(strict('<think>Answer: C', 'length')).toMatchObject({ status: 'truncated', extracted: null })
  })

  test('an option whose text another has, too, is not told by its text', () => {
    const choices = { letters: 'AB', texts: ['x', ' X'], right: 0 }
    expect(gradeChoice(answered('The answer is x'), choices)).toMatchObject({ status: 'no-answer' })
  })

  test.each(['answer is ', 'answer: ', '\\boxed{A', '(', ' '])(
    'many times %j take time in proportion',
    async (part) => {
      expect(await growth((size) => strict(part.repeat(size)), 20_000)).toBeLessThan(proportional)
    },
  )
})

describe('as the code of the paper', () => {
  const names = ['a', 'b', 'c', 'd']
  test.each([
    ['\\boxed{C}', 'correct', 'c'],
    ['\\boxed{C}. This is a strong acid.', 'wrong', 'a'],
    ['<think>Is it C? That is a', 'wrong', 'a'],
    ['<think>It is C', 'correct', 'c'],
    ['c', 'correct', 'c'],
    ['CD_C1', 'no-answer', null],
  ])('%j is %s', (text, status, extracted) => {
    expect(gradePaperChoice(answered(text), 2, names)).toMatchObject({ status, extracted })
  })
})
