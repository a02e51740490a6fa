import { expect, test } from 'vitest'
import { gradeMath } from '../../lib/grading/gradeMath.js'

const r = String.raw
const graded = (answer: string, gold: string) =>
  gradeMath({ reasoning: '', answer, full: answer, closed: true, truncated: false }, gold, 'strict')

test.each([
  ['roots', r`3\sqrt{2}`, [r`\boxed{\sqrt{8}}`, r`$\boxed{2\sqrt2}$`, r`\boxed{x = \frac{4}{\sqrt{2}}}`]],
  ['polynomials', 'x', [r`\boxed{(x+1)^2}`, r`\boxed{x^2+2x+1}`, r`\boxed{1 + 2x + x^{2}}`]],
  ['sets', r`\{1,3\}`, [r`\boxed{\{1,2\}}`, r`\boxed{2, 1}`, r`\boxed{1 \text{ or } 2}`]],
  ['points', '(2,1)', [r`\boxed{(1,2)}`, r`\boxed{\left(1, \frac{4}{2}\right)}`, r`\boxed{x=1, y=2}`]],
  ['intervals', '(1,2)', [r`\boxed{x > 2}`, r`\boxed{(2, \infty)}`, r`\boxed{2 < x}`]],
  ['words', r`\text{Monday}`, [r`\boxed{\text{Tuesday}}`, r`\boxed{tuesday}`]],
])('wrong answers that are equal have one vote: %s', (_, gold, answers) => {
  const verdicts = answers.map((answer) => graded(answer, gold))
  expect(verdicts.map(({ status }) => status)).toEqual(answers.map(() => 'wrong'))
  expect(new Set(verdicts.map(({ extracted }) => extracted)).size).toBe(1)
})

test('right answers have one vote, whatever their form, and no wrong one shares it', () => {
  const gold = r`\frac{\sqrt{2}}{2}`
  const right = [r`\boxed{\frac{1}{\sqrt{2}}}`, r`\boxed{\sin 45^\circ}`, r`\boxed{\cos\frac{\pi}{4}}`].map((answer) =>
    graded(answer, gold),
  )
  expect(right.map(({ status }) => status)).toEqual(['correct', 'correct', 'correct'])
  expect(new Set(right.map(({ extracted }) => extracted))).toEqual(new Set([gold]))
  expect(graded(r`\boxed{-\frac{1}{\sqrt{2}}}`, gold).extracted).not.toBe(gold)
})

test('an answer that cannot be read keeps its own text as its vote', () => {
  const [first, second] = [r`\boxed{\int_0^1 f}`, r`\boxed{\int_0^2 f}`].map((answer) => graded(answer, '1'))
  expect(first?.status).toBe('unsupported')
  expect(first?.extracted).not.toBe(second?.extracted)
})

test('no answer has no vote', () => {
  expect(graded('I do not know.', '1')).toMatchObject({ extracted: null })
})
