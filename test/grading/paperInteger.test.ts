import { expect, test } from 'vitest'
import { splitCompletion } from '../../lib/grading/completion.js'
import { gradePaperInteger } from '../../lib/grading/paperInteger.js'
import { growth, proportional } from '../support/growth.js'

const grade = (text: string, gold = '204', finish = 'stop') =>
  gradePaperInteger(splitCompletion({ text, reasoning: null, thinkOpened: false, finish }), gold)

test.each([
  ['\\boxed{204}', 'correct', '204', 'last "boxed"'],
  ['<think>so \\boxed{204}', 'correct', '204', 'last "boxed"'],
  ['\\boxed{204} and \\boxed{205}', 'wrong', '205', 'last "boxed"'],
  ['boxed 204$ and more', 'correct', '204', 'last "boxed"'],
  ['\\boxed{204 minutes}', 'correct', '204', 'last "boxed"'],
  ['\\boxed{204\\text{ cm}}', 'correct', '204', 'last "boxed"'],
  ['\\boxed{204^\\circ}', 'correct', '204', 'last "boxed"'],
  ['\\boxed{204.00}', 'correct', '204', 'last "boxed"'],
  ['\\boxed{m+n=204}', 'correct', '204', 'last "boxed"'],
  ['\\boxed{x=204}', 'correct', '204', 'last "boxed"'],
  ['\\boxed{two hundred four}', 'correct', '204', 'last "boxed"'],
  ['\\boxed{0204}', 'correct', '204', 'last "boxed"'],
  ['\\boxed{20400}', 'correct', '20400', 'last "boxed"'],
  ['\\boxed{2.04}', 'correct', '2.04', 'last "boxed"'],
  ['\\boxed{204.01}', 'correct', '204.01', 'last "boxed"'],
  ['\\boxed{\\frac{408}{2}}', 'correct', '204', 'last "boxed"'],
  ['\\boxed{\\frac{409}{2}}', 'wrong', '\\frac{409}{2}', 'last "boxed"'],
  ['\\boxed{205}', 'wrong', '205', 'last "boxed"'],
  ['\\boxed{', 'no-answer', null, 'last "boxed"'],
  ['the final answer is $204$. I hope it is correct. \\boxed{7}', 'correct', '204', '"final answer is $", "$. I hope"'],
  ['The answer is 204.', 'correct', '204', '"he answer is"'],
  ['My final answer is: 204', 'correct', '204', '"final answer is"'],
  ['答案是204\n\n7', 'correct', '204', '"答案是"'],
  ['There are 1,204 of 204', 'correct', '204', 'last number of the text'],
  ['<think>We have 204', 'correct', '204', 'last number of the text'],
  ['nothing', 'no-answer', null, 'last number of the text'],
])('%j is %s', (text, status, extracted, rule) => {
  expect(grade(text)).toMatchObject({ status, extracted, rule })
})

test('a number a hundred times too small is right, as it is in the paper', () => {
  expect(grade('\\boxed{2}', '200')).toMatchObject({ status: 'correct' })
})

test('the time grows with the prose behind a phrase', async () => {
  const prose = (size: number) => grade(`The answer is ${'a 5 m '.repeat(size)}`)
  expect(prose(50_000)).toMatchObject({ status: 'wrong' })
  expect(await growth(prose, 6000)).toBeLessThan(proportional)
})
