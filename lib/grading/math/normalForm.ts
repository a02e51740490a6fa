import type { Budget } from './budget.js'
import {
  add,
  bits,
  divide,
  equals,
  exactRoot,
  format,
  isInteger,
  isZero,
  multiply,
  negate,
  one,
  type Rational,
  rational,
} from './rational.js'
import type { Node } from './syntax.js'

/** A product of atoms with fractional powers and a coefficient. */
interface Term {
  coefficient: Rational
  powers: ReadonlyMap<string, Rational>
}

/**
 * A sum of products of atoms: variables, π, e, i, square roots of whole numbers without square factors, and whole expressions that
 * are none of these, by their text.
 */
export type NormalForm = ReadonlyMap<string, Term>

/** Terms of a form; a product of two forms is written out up to this. */
const maximumTerms = 120
/** Powers of sums that are written out. */
const maximumPower = 24
/** Bits of a whole number under a root whose square factors are looked for. */
const maximumRadicandBits = 512
/** Factors that are looked for by division. */
const largestFactor = 1000n

const radical = (n: bigint): string => `√${n}`
const isRadical = (atom: string): boolean => atom.startsWith('√')
const isOpaque = (atom: string): boolean => atom.startsWith('[')

/** The expression as a sum of products, or undefined where that would be too long. Values are kept at all points but poles. */
export function normalForm(node: Node, budget: Budget, textOf: (node: Node) => string): NormalForm | undefined {
  return new Reader(budget, textOf).form(node)
}

/** Whether two expressions are equal, by their forms alone: undefined where the forms do not decide. */
export function equalForms(a: NormalForm, b: NormalForm): boolean | undefined {
  const difference = sum(a, scale(b, rational(-1n)))
  if (difference.size === 0) return true
  const atoms = new Set([...difference.values()].flatMap(({ powers }) => [...powers.keys()]))
  if ([...atoms].some(isOpaque)) return undefined
  // Products of roots of different numbers are independent unless two of the numbers have a square for a product.
  const radicands = [...difference.values()].map(({ powers }) => radicandOf(powers))
  for (const [i, m] of radicands.entries()) {
    if (radicands.slice(0, i).some((n) => n !== m && exactRoot(n * m, 2) !== undefined)) return undefined
  }
  return false
}

function radicandOf(powers: ReadonlyMap<string, Rational>): bigint {
  for (const atom of powers.keys()) if (isRadical(atom)) return BigInt(atom.slice(1))
  return 1n
}

/** The form as text: the same for the same form. */
export function formatForm(form: NormalForm): string {
  if (form.size === 0) return '0'
  const terms = [...form.entries()].sort(([a], [b]) => (a < b ? -1 : 1))
  const text = terms.map(([key, { coefficient }]) => {
    if (key === '') return format(coefficient)
    if (equals(coefficient, one)) return key
    return equals(coefficient, rational(-1n)) ? `-${key}` : `${format(coefficient)}*${key}`
  })
  return text.join(' + ').replaceAll('+ -', '- ')
}

function keyOf(powers: ReadonlyMap<string, Rational>): string {
  return [...powers]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([atom, power]) =>
      equals(power, one) ? atom : `${atom}^${isInteger(power) ? format(power) : `(${format(power)})`}`,
    )
    .join('*')
}

const constantForm = (value: Rational): NormalForm =>
  isZero(value) ? new Map() : new Map([['', { coefficient: value, powers: new Map() }]])

const atomForm = (atom: string): NormalForm => new Map([[atom, { coefficient: one, powers: new Map([[atom, one]]) }]])

function sum(a: NormalForm, b: NormalForm): NormalForm {
  const result = new Map(a)
  for (const [key, term] of b) {
    const known = result.get(key)
    const coefficient = known ? add(known.coefficient, term.coefficient) : term.coefficient
    if (isZero(coefficient)) result.delete(key)
    else result.set(key, { ...term, coefficient })
  }
  return result
}

function scale(form: NormalForm, factor: Rational): NormalForm {
  return new Map([...form].map(([key, term]) => [key, { ...term, coefficient: multiply(term.coefficient, factor) }]))
}

/** The product of two terms, with i² = −1 and √m·√n as one root. */
function productOfTerms(a: Term, b: Term): Term {
  const powers = new Map(a.powers)
  for (const [atom, power] of b.powers) {
    const total = add(powers.get(atom) ?? rational(0n), power)
    if (isZero(total)) powers.delete(atom)
    else powers.set(atom, total)
  }
  const sign = foldImaginary(powers)
  const factor = foldRadicals(powers)
  return { coefficient: multiply(multiply(a.coefficient, b.coefficient), multiply(sign, factor)), powers }
}

/** Leaves at most the first power of i, and returns the sign that the rest of it is. */
function foldImaginary(powers: Map<string, Rational>): Rational {
  const power = powers.get('i')
  if (!power || !isInteger(power)) return one
  const turns = ((power.numerator % 4n) + 4n) % 4n
  if (turns % 2n === 0n) powers.delete('i')
  else powers.set('i', one)
  return turns >= 2n ? rational(-1n) : one
}

/** Leaves at most one root, and returns the number that comes out of it. */
function foldRadicals(powers: Map<string, Rational>): Rational {
  const radicals = [...powers].filter(([atom]) => isRadical(atom))
  if (radicals.every(([, power]) => equals(power, one)) && radicals.length <= 1) return one
  let factor = one
  let radicand = 1n
  for (const [atom, { numerator }] of radicals) {
    const n = BigInt(atom.slice(1))
    powers.delete(atom)
    const odd = numerator % 2n === 0n ? 0n : 1n
    const half = (numerator - odd) / 2n
    factor = multiply(factor, half >= 0n ? rational(n ** half) : rational(1n, n ** -half))
    if (odd === 1n) radicand *= n
  }
  const [root, rest] = withoutSquares(radicand)
  if (rest !== 1n) powers.set(radical(rest), one)
  return multiply(factor, rational(root))
}

/** n = root² · rest, as far as division by small numbers shows. */
function withoutSquares(n: bigint): [root: bigint, rest: bigint] {
  let root = 1n
  let rest = n
  let left = n
  for (let factor = 2n; factor <= largestFactor && factor * factor <= left; factor++) {
    while (left % factor === 0n) {
      left /= factor
      if (left % factor !== 0n) continue
      left /= factor
      root *= factor
      rest /= factor * factor
    }
  }
  const square = exactRoot(left, 2)
  return square !== undefined && square > 1n ? [root * square, rest / left] : [root, rest]
}

class Reader {
  constructor(
    private readonly budget: Budget,
    private readonly textOf: (node: Node) => string,
  ) {}

  form(node: Node): NormalForm | undefined {
    this.budget.spend(4)
    const read = this.kinds[node.kind] as ((node: Node) => NormalForm | undefined) | undefined
    return read ? read(node) : undefined
  }

  private readonly kinds: { [Kind in Node['kind']]?: (node: Extract<Node, { kind: Kind }>) => NormalForm | undefined } =
    {
      number: ({ value }) => constantForm(value),
      symbol: ({ name }) => atomForm(name),
      constant: ({ name }) => (name === 'infinity' ? undefined : atomForm(name === 'pi' ? 'π' : name)),
      negate: ({ of }) => {
        const form = this.form(of)
        return form && scale(form, rational(-1n))
      },
      percent: ({ of }) => {
        const form = this.form(of)
        return form && scale(form, rational(1n, 100n))
      },
      add: ({ terms }) => this.all(terms)?.reduce(sum),
      multiply: ({ factors }) =>
        this.all(factors)?.reduce((a: NormalForm | undefined, b) => a && b && this.product(a, b), constantForm(one)),
      divide: (node) => this.quotient(node),
      power: (node) => this.power(node),
      call: (node) => this.call(node),
    }

  private all(nodes: readonly Node[]): NormalForm[] | undefined {
    const forms = nodes.map((node) => this.form(node))
    return forms.includes(undefined) ? undefined : (forms as NormalForm[])
  }

  private product(a: NormalForm, b: NormalForm): NormalForm | undefined {
    this.budget.spend(a.size * b.size)
    if (a.size * b.size > maximumTerms * 8) return undefined
    let result: NormalForm = new Map()
    const terms: [string, Term][] = []
    for (const x of a.values()) {
      for (const y of b.values()) {
        const term = productOfTerms(x, y)
        this.budget.spendBits(bits(term.coefficient))
        terms.push([keyOf(term.powers), term])
      }
    }
    for (const entry of terms) result = addTerm(result as Map<string, Term>, entry)
    return result.size <= maximumTerms ? result : undefined
  }

  private opaque(node: Node): NormalForm {
    return atomForm(`[${this.textOf(node)}]`)
  }

  private quotient(node: Extract<Node, { kind: 'divide' }>): NormalForm | undefined {
    const [above, below] = [this.form(node.numerator), this.form(node.denominator)]
    if (!above || !below || below.size === 0) return undefined
    const inverse = this.inverse(below)
    return inverse && this.product(above, inverse)
  }

  private inverse(form: NormalForm): NormalForm | undefined {
    const terms = [...form.values()]
    const [first, second] = terms
    if (first && terms.length === 1) return inverseOfTerm(first)
    // a + b√n, or a + bi: multiplied by its conjugate.
    if (first && second && terms.length === 2 && isSurd(first) && isSurd(second)) {
      const conjugate = new Map(
        [...form].map(([key, term], i) => [key, i === 1 ? { ...term, coefficient: negate(term.coefficient) } : term]),
      )
      const norm = this.product(form, conjugate)
      const [single] = norm?.values() ?? []
      if (norm?.size === 1 && single) {
        const inverse = inverseOfTerm(single)
        return inverse && this.product(conjugate, inverse)
      }
    }
    return atomForm(`[1/(${formatForm(form)})]`)
  }

  private power(node: Extract<Node, { kind: 'power' }>): NormalForm | undefined {
    const [base, exponent] = [this.form(node.base), this.form(node.exponent)]
    if (!base || !exponent) return undefined
    const constant = exponent.get('')
    const value =
      exponent.size === 0 ? rational(0n) : exponent.size === 1 && constant ? constant.coefficient : undefined
    if (!value) return this.opaque(node)
    if (isInteger(value)) return this.integerPower(base, Number(value.numerator))
    if (value.denominator === 2n) {
      const root = this.squareRoot(base)
      return root ? this.integerPower(root, Number(value.numerator)) : this.opaque(node)
    }
    return this.opaque(node)
  }

  private integerPower(base: NormalForm, exponent: number): NormalForm | undefined {
    if (exponent < 0) {
      const inverse = base.size === 0 ? undefined : this.inverse(base)
      return inverse && this.integerPower(inverse, -exponent)
    }
    if (base.size > 1 && exponent > maximumPower) return undefined
    if (exponent > 2000) return undefined
    let result: NormalForm | undefined = constantForm(one)
    let square: NormalForm | undefined = base
    for (let n = exponent; n > 0 && result; n = Math.floor(n / 2)) {
      if (!square) return undefined
      if (n % 2 === 1) result = this.product(result, square)
      if (n > 1) square = this.product(square, square)
    }
    return result
  }

  private call(node: Extract<Node, { kind: 'call' }>): NormalForm | undefined {
    const [of, degree] = node.arguments
    if (node.name === 'root' && of && degree?.kind === 'number' && equals(degree.value, rational(2n))) {
      const inside = this.form(of)
      return inside && (this.squareRoot(inside) ?? this.opaque(node))
    }
    return this.opaque(node)
  }

  /** The square root of a rational number; undefined for anything else. */
  private squareRoot(form: NormalForm): NormalForm | undefined {
    const constant = form.get('')
    if (form.size === 0) return form
    if (form.size > 1 || !constant) return undefined
    const { numerator, denominator } = constant.coefficient
    const radicand = (numerator < 0n ? -numerator : numerator) * denominator
    if (bits(rational(radicand)) > maximumRadicandBits) return undefined
    this.budget.spend(300)
    const [root, rest] = withoutSquares(radicand)
    const powers = new Map<string, Rational>()
    if (rest !== 1n) powers.set(radical(rest), one)
    if (numerator < 0n) powers.set('i', one)
    return new Map([[keyOf(powers), { coefficient: rational(root, denominator), powers }]])
  }
}

function addTerm(form: Map<string, Term>, [key, term]: [string, Term]): Map<string, Term> {
  const known = form.get(key)
  const coefficient = known ? add(known.coefficient, term.coefficient) : term.coefficient
  if (isZero(coefficient)) form.delete(key)
  else form.set(key, { ...term, coefficient })
  return form
}

function inverseOfTerm({ coefficient, powers }: Term): NormalForm {
  const inverted: Term = {
    coefficient: divide(one, coefficient),
    powers: new Map([...powers].map(([atom, power]) => [atom, negate(power)])),
  }
  const term = productOfTerms(inverted, { coefficient: one, powers: new Map() })
  return new Map([[keyOf(term.powers), term]])
}

/** A number times at most one square root or i. */
const isSurd = ({ powers }: Term): boolean =>
  [...powers.keys()].every((atom) => isRadical(atom) || atom === 'i') && powers.size <= 1
