import { expect, test } from 'vitest'
import { canonicalMath } from '../../../lib/grading/math/canonical.js'
import { compareMath, verifyMath } from '../../../lib/grading/math/verify.js'
import { Random } from '../../support/random.js'
import { pairs as firstPairs } from './pairs.js'
import { pairs as secondPairs } from './secondPairs.js'
import { pairs as thirdPairs } from './thirdPairs.js'

const r = String.raw

/** A generated answer: its text, and what it is worth by arithmetic of the test's own. */
interface Generated {
  text: string
  value: string
}

const whole = (random: Random, bound = 1000): number => random.below(2 * bound + 1) - bound
const divisor = (a: number, b: number): number => (b === 0 ? Math.abs(a) : divisor(b, a % b))

/** A fraction in lowest terms, written in one of several ways. */
function fraction(random: Random): Generated {
  const [p, q] = [whole(random, 60), 1 + random.below(30)]
  const common = divisor(p, q) || 1
  const value = `${p / common}/${q / common}`
  const k = 1 + random.below(4)
  const forms = [
    r`\frac{${p}}{${q}}`,
    `${p}/${q}`,
    r`\dfrac{${k * p}}{${k * q}}`,
    r`${p} \div ${q}`,
    r`-\frac{${-p}}{${q}}`,
  ]
  if (p % q === 0) forms.push(`${p / q}`, `x=${p / q}`, r`${p / q}.0`)
  if (p > q && p % q !== 0) forms.push(r`${Math.floor(p / q)}\frac{${p % q}}{${q}}`)
  if (1000 % q === 0) forms.push(`${p / q}`)
  return { text: random.pick(forms), value }
}

function integer(random: Random): Generated {
  const n = random.below(1000)
  const forms = [
    `${n}`,
    `${n}`.padStart(3, '0'),
    r`\text{${n}}`,
    `n = ${n}`,
    `$${n}$`,
    `${n}.`,
    r`\frac{${2 * n}}{2}`,
    r`${n}\text{ cm}`,
  ]
  return { text: random.pick(forms), value: `${n}` }
}

/** a√n, by the square of it. */
function surd(random: Random): Generated {
  const [a, n] = [1 + random.below(12), 2 + random.below(30)]
  const forms = [
    r`${a}\sqrt{${n}}`,
    r`\sqrt{${a * a * n}}`,
    `${a}*sqrt(${n})`,
    r`\frac{${a * n}}{\sqrt{${n}}}`,
    r`${a} \cdot ${n}^{1/2}`,
    `${a}√${n}`,
  ]
  return { text: random.pick(forms), value: `√${a * a * n}` }
}

/** A polynomial by its values at eleven points, of which its degree needs three. */
function polynomial(random: Random): Generated {
  const [a, b, c, d] = [1 + random.below(5), whole(random, 6), 1 + random.below(5), whole(random, 6)]
  const [two, one, zero] = [a * c, a * d + b * c, b * d]
  const forms = [
    `(${a}x+${b})(${c}x+${d})`,
    `${two}x^2+${one}x+${zero}`,
    r`${zero}+${one} \cdot x+${two} x^{2}`,
    `x*(${two}*x+${one})+${zero}`,
  ]
  return { text: random.pick(forms), value: `${two},${one},${zero}` }
}

function tuple(random: Random): Generated {
  const items = [whole(random, 4), whole(random, 4)]
  const forms = [`(${items.join(',')})`, r`\left(${items.join(', ')}\right)`, `x=${items[0]}, y=${items[1]}`]
  return { text: random.pick(forms), value: items.join() }
}

function set(random: Random): Generated {
  const items = [...new Set(Array.from({ length: 1 + random.below(4) }, () => whole(random, 4)))]
  const shuffled = [...items].sort(() => random.uniform() - 0.5)
  const forms = [
    r`\{${shuffled.join(',')}\}`,
    shuffled.join(', '),
    shuffled.join(r` \text{ or } `),
    `{${shuffled.join(', ')}}`,
  ]
  return { text: random.pick(forms), value: [...items].sort((a, b) => a - b).join() }
}

function interval(random: Random): Generated {
  const low = whole(random, 5)
  const high = low + 1 + random.below(5)
  const [openLow, openHigh] = [random.below(2) === 1, random.below(2) === 1]
  const bracket = `${openLow ? '(' : '['}${low}, ${high}${openHigh ? ')' : ']'}`
  const [below, above] = [openLow ? '<' : r`\le `, openHigh ? '<' : r`\leq `]
  const forms = [bracket, `${low}${below}x${above}${high}`, r`x \in ${bracket}`]
  return { text: random.pick(forms), value: bracket }
}

function line(random: Random): Generated {
  const [m, b] = [1 + random.below(6), whole(random, 6)]
  const forms = [`y=${m}x+${b}`, `${m}x-y+${b}=0`, `2y=${2 * m}x+${2 * b}`, `y-${b}=${m}x`]
  return { text: random.pick(forms), value: `${m},${b}` }
}

function complexNumber(random: Random): Generated {
  const [a, b] = [whole(random, 6), 1 + random.below(6)]
  return { text: random.pick([`${a}+${b}i`, `${b}i+${a}`, r`${a} + ${b} \cdot i`]), value: `${a},${b}` }
}

function matrix(random: Random): Generated {
  const [a, b, c, d] = Array.from({ length: 4 }, () => whole(random, 2))
  const forms = ['pmatrix', 'bmatrix'].map((name) => r`\begin{${name}} ${a} & ${b} \\ ${c} & ${d} \end{${name}}`)
  return { text: random.pick(forms), value: `${a},${b},${c},${d}` }
}

const multiple = (random: Random): Generated => {
  const [p, q] = [1 + random.below(12), 1 + random.below(12)]
  const common = divisor(p, q)
  const forms = [r`\frac{${p}\pi}{${q}}`, r`\frac{${p}}{${q}}\pi`, `${p}*pi/${q}`, `${p}π/${q}`]
  return { text: random.pick(forms), value: `${p / common}/${q / common}` }
}

const kinds: Readonly<Record<string, (random: Random) => Generated>> = {
  integer,
  fraction,
  surd,
  polynomial,
  tuple,
  set,
  interval,
  line,
  complexNumber,
  matrix,
  multiple,
}

test.each(Object.entries(kinds))(
  '1,000 random pairs of kind %s are equal just where their values are',
  (_, generate) => {
    const random = new Random(11)
    let equal = 0
    for (let i = 0; i < 1000; i++) {
      const gold = generate(random)
      // Every second pair has one value, written twice.
      let answer = generate(random)
      for (let tries = 0; i % 2 === 0 && answer.value !== gold.value && tries < 200; tries++) answer = generate(random)
      const expected = gold.value === answer.value
      if (expected) equal++
      const verdict = compareMath(gold.text, answer.text)
      expect(verdict.equal, `${gold.text} | ${answer.text} | ${verdict.rule}`).toBe(expected)
      expect(verdict.unsupported).toBe(false)
    }
    expect(equal).toBeGreaterThan(40)
    expect(equal).toBeLessThan(900)
  },
)

test('10,000 random pairs of distinct golds, of any kinds, are unequal', () => {
  const random = new Random(12)
  const names = Object.keys(kinds)
  // A set of one is its element, a whole fraction an integer, and so on: these kinds have values in common.
  const groups: Readonly<Record<string, string>> = {
    integer: 'number',
    fraction: 'number',
    set: 'number',
    tuple: 'pair',
    interval: 'pair',
  }
  let compared = 0
  while (compared < 10_000) {
    const [first, second] = [random.pick(names), random.pick(names)]
    const [gold, answer] = [kinds[first]!(random), kinds[second]!(random)]
    const related = (groups[first] ?? first) === (groups[second] ?? second)
    if (
      first === second
        ? gold.value === answer.value
        : related || (groups[first] === 'pair' && second === 'set') || (first === 'set' && groups[second] === 'pair')
    )
      continue
    const verdict = compareMath(gold.text, answer.text)
    expect(verdict.equal, `${first} ${gold.text} | ${second} ${answer.text} | ${verdict.rule}`).toBe(false)
    compared++
  }
})

const labelled = [firstPairs, secondPairs, thirdPairs].flatMap((pairs) => Object.values(pairs).flat())

test('every gold is equal to itself, and to itself in a box', async () => {
  for (const [gold] of labelled) {
    expect(compareMath(gold, ` ${gold} `).equal, gold).toBe(true)
    if (gold.includes('boxed')) continue
    expect((await verifyMath(gold, `Thus $\\boxed{${gold}}$.`)).equal, gold).toBe(true)
  }
})

test('golds that are read are equal to themselves by what they say, not by their characters alone', () => {
  const random = new Random(13)
  for (const generate of Object.values(kinds)) {
    for (let i = 0; i < 100; i++) {
      const { text } = generate(random)
      const verdict = compareMath(text, `{${text}}`)
      expect(verdict.equal, `${text} | ${verdict.rule}`).toBe(true)
    }
  }
})

test('scalars are compared the same in both directions', () => {
  const scalars = ['integers', 'fractions', 'decimals', 'roots', 'constants', 'complex', 'algebra'].flatMap(
    (kind) => firstPairs[kind] ?? [],
  )
  for (const [gold, answer] of scalars) {
    if (/=|boxed|,/.test(gold + answer)) continue
    expect(compareMath(answer, gold).equal, `${gold} | ${answer}`).toBe(compareMath(gold, answer).equal)
  }
})

test.each(['integer', 'fraction', 'surd', 'polynomial', 'complexNumber', 'multiple', 'matrix', 'set'])(
  'answers of kind %s have the same canonical text just where they are equal',
  (kind) => {
    const random = new Random(14)
    const textOf = new Map<string, string>()
    const valueFor = new Map<string, string>()
    for (let i = 0; i < 500; i++) {
      const { text, value } = kinds[kind]!(random)
      const canonical = canonicalMath(text)
      expect(textOf.get(value) ?? canonical, text).toBe(canonical)
      expect(valueFor.get(canonical) ?? value, text).toBe(value)
      textOf.set(value, canonical)
      valueFor.set(canonical, value)
    }
  },
)
