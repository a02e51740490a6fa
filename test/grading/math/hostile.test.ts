import { expect, test } from 'vitest'
import { Budget, maximumBitWork, maximumWork, UnsupportedError } from '../../../lib/grading/math/budget.js'
import { canonicalMath } from '../../../lib/grading/math/canonical.js'
import { compareNodes } from '../../../lib/grading/math/compare.js'
import { extractMath } from '../../../lib/grading/math/extract.js'
import { NotMathematics, parseMath } from '../../../lib/grading/math/parse.js'
import { compareMath, verifyMath } from '../../../lib/grading/math/verify.js'
import { growth, proportional } from '../../support/growth.js'
import { Random } from '../../support/random.js'

const r = String.raw
const short: Readonly<Record<string, string>> = {
  'open parentheses': '('.repeat(4000),
  'open braces': '{'.repeat(4000),
  'nested fractions': [r`\frac{1}{`.repeat(300), '1', '}'.repeat(300)].join(''),
  'chained fractions': r`\frac`.repeat(800),
  'a tower of powers': '9^9^9^9',
  'a tower of negative powers': '2^{-2^{-2^{99}}}',
  'a large power of a large number': '99999999999^{4096}',
  'large powers that are multiplied': '(9^{4000})'.repeat(300),
  'a thousand factorials': `${'3000!+'.repeat(600)}1`,
  'a factorial of a factorial': '20!!!!!',
  'nested factorials': '((((9!)!)!)!)!',
  'a large binomial': r`\binom{3000}{1500}`.repeat(100),
  'a long sum': r`\sum_{k=1}^{2000} k!`,
  'sums in sums': r`\sum_{a=1}^{999}\sum_{b=1}^{999}\sum_{c=1}^{999} abc`,
  'an endless sum': r`\sum_{k=1}^{\infty} 2^{-k}`,
  'a power of a sum': '(a+b+c+d+f+g+h)^{4000}',
  'a product of sums': '(a+b+c+d)'.repeat(200),
  'many signs': r`\pm 1`.repeat(400),
  'a long list': '1,'.repeat(2000),
  'a long list of roots': r`\sqrt{2}x,`.repeat(350),
  'roots of large numbers': r`\sqrt{${'7'.repeat(300)}}+`.repeat(12),
  'open bars': '|'.repeat(4000),
  'many scripts': 'x_'.repeat(2000),
  'many signs of subtraction': `${'-'.repeat(4000)}1`,
  'a large matrix': r`\begin{pmatrix}${'1&2\\\\'.repeat(500)}\end{pmatrix}`,
  'a product of many matrices': r`\begin{pmatrix}a&b\\c&d\end{pmatrix}`.repeat(60),
  'a determinant of symbols': r`\begin{vmatrix}${'a&b&c\\\\'.repeat(100)}\end{vmatrix}`,
  backslashes: '\\'.repeat(4000),
  'recurring digits': `0.\\overline{${'123'.repeat(1000)}}`,
  'an exponent in a literal': '1e99999',
  'a deep set': [r`\{`.repeat(1000), r`\}`.repeat(1000)].join(''),
  'nested texts': r`\text{$`.repeat(500),
  'unknown functions': ['f('.repeat(40), 'x', ')'.repeat(40)].join(''),
}

test.each(Object.entries(short))('%s: as gold and as answer, no verdict throws', async (_, text) => {
  for (const [gold, answer] of [
    ['(x+1)/2', text],
    [text, '(x+1)/2'],
    [text, `1+${text}`],
  ] as const) {
    const verdict = await verifyMath(gold, answer)
    expect(verdict.equal && verdict.unsupported).toBe(false)
  }
})

test.each(Object.entries(short))('%s: answered within the budget of work', (_, text) => {
  const gold = '(x+1)/2'
  for (const [a, b] of [
    [gold, text],
    [text, gold],
    [text, `${text} `],
    [text, `1+${text}`],
  ] as const) {
    const budget = new Budget()
    try {
      compareNodes(parseMath(a), parseMath(b), budget)
    } catch (error) {
      expect(error instanceof UnsupportedError || error instanceof NotMathematics, `${error}`).toBe(true)
    }
    // One step more than the limit is the one that stops it.
    expect(budget.work).toBeLessThanOrEqual(maximumWork * 1.01)
    expect(budget.bits).toBeLessThanOrEqual(maximumBitWork * 1.01)
  }
  expect(compareMath(gold, text).equal).toBe(false)
  expect(canonicalMath(text)).toBeTypeOf('string')
})

const patterns = [
  r`\boxed{`,
  '{',
  '}',
  '\\',
  '$',
  ' ',
  ',',
  '.',
  '!',
  r`\boxed{1}, `,
  r`\fbox{\boxed{`,
  'final answer is ',
  'answer: ',
  r`\text{`,
  '(',
  '1,',
  '\n',
  '**',
  r`\\\(`,
  'a$',
  'final answer    ',
]

test.each(patterns)('an answer of ten million characters %j is judged', async (pattern) => {
  const text = pattern.repeat(Math.ceil(1e7 / pattern.length))
  const verdict = await verifyMath('5', text)
  expect(verdict.equal).toBe(false)
  const boxed = await verifyMath('5', `${text}\n\\boxed{5}`)
  // What is left open before it may swallow the box; what is closed may not.
  if (!/[{\\$]/.test(pattern)) expect(boxed.equal).toBe(true)
})

test.each(patterns)('the time to find an answer grows in proportion to its text of %j', async (pattern) => {
  const text = (size: number) => pattern.repeat(Math.ceil(size / pattern.length))
  expect(await growth((size) => extractMath(text(size), 'lenient'), 8_000)).toBeLessThan(proportional)
})

const tokens = [
  r`\frac`,
  r`\sqrt`,
  r`\boxed`,
  '{',
  '}',
  '(',
  ')',
  '[',
  ']',
  r`\{`,
  r`\}`,
  '|',
  '^',
  '_',
  '+',
  '-',
  '*',
  '/',
  '=',
  '<',
  r`\le`,
  ',',
  ';',
  '!',
  '%',
  '1',
  '23',
  '0.5',
  'x',
  'y',
  'e',
  'i',
  r`\pi`,
  r`\infty`,
  r`\sin`,
  r`\log`,
  r`\ln`,
  r`\text{ and }`,
  r`\text{`,
  r`\begin{pmatrix}`,
  r`\end{pmatrix}`,
  '&',
  r`\\`,
  r`\cup`,
  r`\in`,
  r`\pm`,
  r`\mathbb{R}`,
  r`^\circ`,
  '…',
  '½',
  '√',
  ' ',
  '$',
  r`\left`,
  r`\right`,
  r`\overline`,
  '...',
  ':',
  "'",
  r`\sum_{k=1}^{5}`,
  r`\binom`,
  'cm',
  'or',
  'f(',
  r`\lfloor`,
  r`\rfloor`,
  r`\bmod`,
  r`\pmod`,
  r`\begin{cases}`,
  r`\end{cases}`,
  r`\quad`,
  '\u{1F600}',
  '\0',
  r`\mathrm`,
  '1,234',
  r`\choose`,
  r`\over`,
]

test('no soup of tokens makes the verifier throw, and each is equal to itself or unsupported', () => {
  const random = new Random(7)
  for (let i = 0; i < 6000; i++) {
    const soup = Array.from({ length: 1 + random.below(14) }, () => random.pick(tokens)).join(
      random.below(2) ? '' : ' ',
    )
    expect(() => extractMath(soup, 'lenient')).not.toThrow()
    expect(() => canonicalMath(soup)).not.toThrow()
    const verdict = compareMath(soup, '1')
    expect(verdict.equal && verdict.unsupported).toBe(false)
    expect(() => compareMath('x+1', soup)).not.toThrow()
    if (soup.trim().replace(/[\s.,;:$]/g, '') !== '') {
      const same = compareMath(soup, soup)
      expect(same.equal || same.unsupported || same.rule === 'no answer', soup).toBe(true)
    }
  }
})

test('broken and unpaired characters are only text', () => {
  for (const text of ['\ud800', '\udfff5', '5\0', '\u202e5', '٣', '五', '\u{1D7D3}', '']) {
    expect(() => compareMath(text, text)).not.toThrow()
    expect(() => compareMath('5', text)).not.toThrow()
  }
  expect(compareMath('5', '\u{1D7D3}').equal).toBe(true)
})
