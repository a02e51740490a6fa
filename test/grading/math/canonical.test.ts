import { expect, test } from 'vitest'
import { canonicalMath } from '../../../lib/grading/math/canonical.js'

const r = String.raw

test.each([
  ['fractions and decimals', ['1/2', r`\frac{1}{2}`, '0.5', r`\frac{2}{4}`, '.5', '½'], '1/2'],
  ['integers', ['1234', '1,234', '1234.0', r`\text{1234}`, 'x = 1234', '+1234'], '1234'],
  ['roots', [r`2\sqrt{2}`, r`\sqrt{8}`, '√8', r`\frac{4}{\sqrt{2}}`, r`2 \cdot 2^{1/2}`], '2*√2'],
  ['surds', [r`\frac{1}{1+\sqrt{2}}`, r`\sqrt{2}-1`], undefined],
  ['multiples of π', [r`\frac{\pi}{2}`, 'pi/2', r`\frac12 \pi`], '1/2*π'],
  ['polynomials', ['(x+1)^2', 'x^2+2x+1', '1 + 2x + x^2'], undefined],
  ['complex numbers', ['(1+i)^2', '2i', r`2\cdot i`], '2*i'],
  ['sets and lists', [r`\{1,2\}`, '2, 1', r`1 \text{ and } 2`, '2; 1; 2'], '1, 2'],
  ['intervals', [r`x>2`, r`(2,\infty)`, r`x \in (2, \infty)`, '2 < x'], '(2, infinity)'],
  ['points', ['(1, 2)', 'x=1, y=2', 'y=2, x=1', r`\left(1, \frac{4}{2}\right)`], '(1, 2)'],
  ['choices', ['C', '(C)', r`\text{(C)}`, 'C.', r`\textbf{(C)}\ 12`], 'C'],
  ['words', [r`\text{Monday}`, 'monday', 'Monday.'], 'monday'],
  ['quantities', [r`5\text{ cm}`, '5', '5cm', r`\$5`], '5'],
] as [string, string[], string | undefined][])('equal %s have one text', (_, answers, expected) => {
  const texts = new Set(answers.map(canonicalMath))
  expect([...texts]).toHaveLength(1)
  if (expected !== undefined) expect([...texts]).toEqual([expected])
})

test('different answers have different texts', () => {
  const answers = [
    '1',
    '2',
    '(1,2)',
    '(2,1)',
    '[1,2]',
    '1, 2',
    'x^2',
    'x^3',
    '2^n',
    'n^2',
    '10%',
    r`\sqrt{2}`,
    r`\sqrt{3}`,
    'x<2',
    r`x\le 2`,
  ]
  expect(new Set(answers.map(canonicalMath)).size).toBe(answers.length)
})

test('what cannot be read is its own text', () => {
  expect(canonicalMath(r`\int_0^1 f`)).toBe(canonicalMath(r`\int_0^1 f`))
  expect(canonicalMath(r`\int_0^1 f`)).not.toBe(canonicalMath(r`\int_0^2 f`))
  expect(canonicalMath('(((')).toBeTypeOf('string')
})
