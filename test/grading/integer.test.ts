import { describe, expect, test } from 'vitest'
import { splitCompletion } from '../../lib/grading/completion.js'
import { gradeInteger, readInteger } from '../../lib/grading/integer.js'
import { growth, proportional } from '../support/growth.js'

test.each([
  ['25', 25n],
  ['025', 25n],
  ['+25', 25n],
  ['-25', -25n],
  ['\u221225', -25n],
  [' $25$ ', 25n],
  ['\\(25\\)', 25n],
  ['{25}', 25n],
  ['25.', 25n],
  ['25.0', 25n],
  ['1,234', 1234n],
  ['1{,}234', 1234n],
  ['1\\,234', 1234n],
  ['1 234 567', 1234567n],
  ['\\text{25}', 25n],
  ['\\mathbf{25}', 25n],
  ['25\\text{ cm}', 25n],
  ['25\\text{ cm}^2', 25n],
  ['25 minutes', 25n],
  ['25^\\circ', 25n],
  ['25^{\\circ}', 25n],
  ['25°', 25n],
  ['\\$25', 25n],
  ['N = 25', 25n],
  ['m+n=25', 25n],
  ['m+n = 20+5 = 25', 25n],
  ['**25**', 25n],
  ['123456789012345678901234567890', 123456789012345678901234567890n],
  ['', undefined],
  ['25x', undefined],
  ['25.5', undefined],
  ['x=5, y=6', undefined],
  ['5, 6', undefined],
  ['2 5', undefined],
  ['1,23', undefined],
  ['five', undefined],
  ['204 and 205', undefined],
  ['\\frac{50}{2}', 25n],
  ['5^2', 25n],
  ['$4! + 1$', 25n],
  ['N = \\frac{50}{2}', 25n],
  ['\\frac{51}{2}', undefined],
  ['\\sqrt{626}', undefined],
  ['5^x', undefined],
  ['\\{5, 6\\}', undefined],
])('%j is the integer %s', (text, value) => {
  expect(readInteger(text)).toBe(value)
})

const answer = (text: string, finish = 'stop') => splitCompletion({ text, reasoning: null, thinkOpened: false, finish })

describe('AIME: only a box and "the final answer is" state an answer', () => {
  const grade = (text: string, finish?: string) =>
    gradeInteger(answer(text, finish), 25n, { range: [0n, 999n], strict: true })

  test.each([
    ['So \\boxed{25}.', 'correct', '25'],
    ['So \\boxed{025}.', 'correct', '25'],
    ['First \\boxed{7}, corrected \\boxed{25}.', 'correct', '25'],
    ['\\fbox{25}', 'correct', '25'],
    ['\\\\boxed{25}', 'correct', '25'],
    ['\\boxed{\\text{25}}', 'correct', '25'],
    ['\\boxed{\\boxed{25}}', 'correct', '25'],
    ['\\boxed {25}', 'correct', '25'],
    ['The final answer is 25. I hope it is correct.', 'correct', '25'],
    ['Therefore, the final answer is: $\\boxed{25}$. I hope it is correct', 'correct', '25'],
    ['**Final Answer:** 25', 'correct', '25'],
    ['The final answer is\n\n$$25$$', 'correct', '25'],
    ['\\boxed{26}', 'wrong', '26'],
    ['\\boxed{2500}', 'wrong', '2500'],
    ['\\boxed{-25}', 'wrong', '-25'],
    ['\\boxed{0.25}', 'wrong', '0.25'],
    ['\\boxed{25} but no, \\boxed{24}', 'wrong', '24'],
    ['25', 'no-answer', null],
    ['The answer is 25.', 'no-answer', null],
    ['Half of 50 is 25', 'no-answer', null],
    ['\\boxed{25', 'no-answer', null],
    ['boxed{25}', 'no-answer', null],
  ])('%j is %s', (text, status, extracted) => {
    expect(grade(text)).toMatchObject({ status, extracted })
  })

  test('a box in the reasoning is none; cut off without one is truncated', () => {
    expect(grade('<think>\\boxed{25}</think>I do not know.')).toMatchObject({ status: 'no-answer' })
    expect(grade('<think>\\boxed{25}', 'length')).toMatchObject({ status: 'truncated', rule: 'reasoning not closed' })
    expect(grade('<think>\\boxed{25}')).toMatchObject({ status: 'no-answer' })
    expect(grade('It is', 'length')).toMatchObject({ status: 'truncated' })
  })

  test.each(['\\boxed{', 'final answer is ', '{', '}', '\\boxed{}', '\\'])(
    'many times %j take time in proportion',
    async (part) => {
      expect(await growth((size) => grade(part.repeat(size)), 60_000)).toBeLessThan(proportional)
    },
  )
})
