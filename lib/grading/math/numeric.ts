import { type Budget, maximumTerms, termWork, UnsupportedError } from './budget.js'
import {
  type Approximate,
  add,
  cosine,
  divide,
  exponential,
  isReal,
  logarithm,
  logGamma,
  modulus,
  multiply,
  negate,
  power,
  real,
  realFunction,
  sine,
  squareRoot,
} from './complex.js'
import { toNumber } from './rational.js'
import type { Node } from './syntax.js'

/** What the variables are at one point. */
export type Values = ReadonlyMap<string, Approximate>

type Result = Approximate | undefined

/**
 * The value of an expression in floating point; undefined where it has none at these values of its variables. With `real`, what
 * is not real has no value: roots and logarithms of negative numbers.
 *
 * @throws UnsupportedError where it takes more than the budget
 */
export function evaluateNumeric(node: Node, budget: Budget, values: Values = new Map(), onlyReal = false): Result {
  const result = new Numeric(budget, values, onlyReal).value(node)
  if (!result || !Number.isFinite(result.re) || !Number.isFinite(result.im)) return undefined
  return result
}

const i: Approximate = { re: 0, im: 1, error: 0 }
const unit: Approximate = { re: 1, im: 0, error: 0 }

class Numeric {
  constructor(
    private readonly budget: Budget,
    private readonly values: Values,
    private readonly onlyReal: boolean,
  ) {}

  value(node: Node): Result {
    this.budget.spend()
    const read = this.kinds[node.kind] as ((node: Node) => Result) | undefined
    const result = read?.(node)
    if (result && !(Number.isFinite(result.re) && Number.isFinite(result.im))) return undefined
    return result
  }

  private all(nodes: readonly Node[]): Approximate[] | undefined {
    const values: Approximate[] = []
    for (const node of nodes) {
      const value = this.value(node)
      if (!value) return undefined
      values.push(value)
    }
    return values
  }

  private readonly kinds: { [Kind in Node['kind']]?: (node: Extract<Node, { kind: Kind }>) => Result } = {
    number: ({ value }) => real(toNumber(value)),
    constant: ({ name }) => this.values.get(name) ?? constants[name],
    symbol: ({ name }) => this.values.get(name),
    negate: ({ of }) => {
      const value = this.value(of)
      return value && negate(value)
    },
    percent: ({ of }) => {
      const value = this.value(of)
      return value && divide(value, real(100))
    },
    degrees: ({ of }) => {
      const value = this.value(of)
      return value && multiply(value, real(Math.PI / 180))
    },
    add: ({ terms }) => this.all(terms)?.reduce(add),
    multiply: ({ factors }) => this.all(factors)?.reduce(multiply),
    divide: ({ numerator, denominator }) => {
      const above = this.value(numerator)
      const below = above && this.value(denominator)
      return above && below && divide(above, below)
    },
    power: ({ base, exponent }) => {
      const [value, raised] = [this.value(base), this.value(exponent)]
      return value && raised && this.restrict([value, raised], power(value, raised))
    },
    call: (node) => this.call(node.name, node.arguments),
    series: (node) => this.series(node),
  }

  /** Where only real values count, a complex value of real arguments is none. */
  private restrict(given: readonly Approximate[], result: Result): Result {
    return this.onlyReal && result && given.every(isReal) && !isReal(result) ? undefined : result
  }

  private call(name: string, given: readonly Node[]): Result {
    if (name === 'root') return this.root(given)
    const values = this.all(given)
    if (!values) return undefined
    if (name.startsWith('function ')) return unknownFunction(name, values)
    const compute = functions[name]
    return compute && this.restrict(values, compute(...values))
  }

  private root(given: readonly Node[]): Result {
    const [value, degree] = this.all(given) ?? []
    if (!value || !degree) return undefined
    if (degree.re === 2 && degree.im === 0) return this.restrict([value], squareRoot(value))
    const exponent = divide(unit, degree)
    return exponent && this.restrict([value, degree], power(value, exponent))
  }

  private series({ name, index, from, to, body }: Extract<Node, { kind: 'series' }>): Result {
    const [first, last] = [this.value(from), this.value(to)]
    if (!first || !last) return undefined
    const [start, end] = [Math.round(first.re), Math.round(last.re)]
    if (end - start >= maximumTerms) throw new UnsupportedError('a sum too long')
    if (Math.abs(first.re - start) > 1e-9 || Math.abs(last.re - end) > 1e-9) return undefined
    let result: Approximate = name === 'sum' ? { re: 0, im: 0, error: 0 } : unit
    for (let k = start; k <= end; k++) {
      this.budget.spend(termWork)
      const term = new Numeric(this.budget, new Map([...this.values, [index, real(k)]]), this.onlyReal).value(body)
      if (!term) return undefined
      result = name === 'sum' ? add(result, term) : multiply(result, term)
    }
    return result
  }
}

const constants: Readonly<Record<string, Approximate>> = { pi: real(Math.PI), e: real(Math.E), i }

/** A value that depends on the function's name and its arguments alone, and changes where they do. */
function unknownFunction(name: string, values: readonly Approximate[]): Approximate {
  let seed = 0
  for (const character of name) seed = (seed * 31 + character.charCodeAt(0)) % 1009
  const phase = 0.3 + seed / 1009
  const sum = values.reduce((total, value, k) => add(total, multiply(value, real(1.37 + k * 0.61))), real(phase))
  return add(sine(sum), multiply(sum, real(0.7 + phase)))
}

const logarithmTo = (value: Approximate, base: Approximate | undefined): Result => {
  const [above, below] = [logarithm(value), base ? logarithm(base) : unit]
  return above && below && divide(above, below)
}
const reciprocal = (value: Result): Result => value && divide(unit, value)
const firstOf = (value: Approximate, compute: (inverse: Approximate) => Result): Result => {
  const inverse = reciprocal(value)
  return inverse && compute(inverse)
}

const arcsine = (a: Approximate): Result => {
  if (isReal(a) && Math.abs(a.re) <= 1) {
    const slope = 1 / Math.sqrt(Math.max(1 - a.re * a.re, 1e-8))
    return { re: Math.asin(a.re), im: 0, error: slope * a.error + 2e-16 }
  }
  const root = squareRoot(add(unit, negate(multiply(a, a))))
  const log = logarithm(add(multiply(i, a), root))
  return log && multiply(negate(i), log)
}
const arccosine = (a: Approximate): Result => {
  const sine = arcsine(a)
  return sine && add(real(Math.PI / 2), negate(sine))
}
const arctangent = (a: Approximate): Result => {
  if (isReal(a)) return { re: Math.atan(a.re), im: 0, error: a.error + 2e-16 }
  const [above, below] = [add(unit, multiply(i, a)), add(unit, negate(multiply(i, a)))]
  const quotient = divide(above, below)
  const log = quotient && logarithm(quotient)
  return log && multiply({ re: 0, im: -0.5, error: 0 }, log)
}
const hyperbolicSine = (a: Approximate): Approximate =>
  multiply(real(0.5), add(exponential(a), negate(exponential(negate(a)))))
const hyperbolicCosine = (a: Approximate): Approximate =>
  multiply(real(0.5), add(exponential(a), exponential(negate(a))))

const step = (compute: (x: number) => number) => {
  const plain = realFunction(compute, () => 0)
  return (a: Approximate): Result => {
    // Beside a jump the value is not known.
    if (compute(a.re - 4 * a.error) !== compute(a.re + 4 * a.error)) {
      const nearest = Math.round(a.re)
      if (Math.abs(a.re - nearest) <= 1e-9 && a.error < 1e-9) return real(nearest)
      return undefined
    }
    return plain(a)
  }
}

const extreme =
  (sign: number) =>
  (...values: Approximate[]): Result =>
    values.every(isReal) ? values.reduce((a, b) => (sign * a.re >= sign * b.re ? a : b)) : undefined

/** n!! of whole numbers from −1, as far as it is finite. */
function doubleFactorial({ re, im, error }: Approximate): Result {
  const n = Math.round(re)
  if (im !== 0 || n < -1 || n > 300 || Math.abs(re - n) > 1e-9 + error) return undefined
  let product = 1
  for (let factor = n; factor > 1; factor -= 2) product *= factor
  return { re: product, im: 0, error: product * 1e-14 }
}

const factorial = realFunction(
  (x) => (x < 0 || x > 170 ? Number.NaN : Math.exp(logGamma(x + 1))),
  (x, y) => y * (1 + Math.log(x + 1)) * 1e3,
)

const functions: Readonly<Record<string, (...values: Approximate[]) => Result>> = {
  sin: (a) => a && sine(a),
  cos: (a) => a && cosine(a),
  tan: (a) => a && divide(sine(a), cosine(a)),
  cot: (a) => a && divide(cosine(a), sine(a)),
  sec: (a) => a && reciprocal(cosine(a)),
  csc: (a) => a && reciprocal(sine(a)),
  sinh: (a) => a && hyperbolicSine(a),
  cosh: (a) => a && hyperbolicCosine(a),
  tanh: (a) => a && divide(hyperbolicSine(a), hyperbolicCosine(a)),
  coth: (a) => a && divide(hyperbolicCosine(a), hyperbolicSine(a)),
  sech: (a) => a && reciprocal(hyperbolicCosine(a)),
  csch: (a) => a && reciprocal(hyperbolicSine(a)),
  arcsin: (a) => a && arcsine(a),
  arccos: (a) => a && arccosine(a),
  arctan: (a) => a && arctangent(a),
  arccot: (a) => {
    const tangent = a && arctangent(a)
    return tangent && add(real(Math.PI / 2), negate(tangent))
  },
  arcsec: (a) => a && firstOf(a, arccosine),
  arccsc: (a) => a && firstOf(a, arcsine),
  arcsinh: (a) => a && logarithm(add(a, squareRoot(add(multiply(a, a), unit)))),
  arccosh: (a) => a && logarithm(add(a, multiply(squareRoot(add(a, negate(unit))), squareRoot(add(a, unit))))),
  arctanh: (a) => {
    const quotient = a && divide(add(unit, a), add(unit, negate(a)))
    const log = quotient && logarithm(quotient)
    return log && multiply(real(0.5), log)
  },
  ln: (a) => a && logarithm(a),
  log: (a, base) => a && logarithmTo(a, base),
  abs: (a) => a && { re: modulus(a), im: 0, error: a.error },
  norm: (a) => a && { re: modulus(a), im: 0, error: a.error },
  Re: (a) => a && { re: a.re, im: 0, error: a.error },
  Im: (a) => a && { re: a.im, im: 0, error: a.error },
  arg: (a) => a && { re: Math.atan2(a.im, a.re), im: 0, error: a.error / modulus(a) },
  overline: (a) => a && { re: a.re, im: -a.im, error: a.error },
  sgn: step(Math.sign) as (a?: Approximate) => Result,
  floor: step(Math.floor) as (a?: Approximate) => Result,
  ceil: step(Math.ceil) as (a?: Approximate) => Result,
  max: extreme(1),
  min: extreme(-1),
  factorial: factorial as (a?: Approximate) => Result,
  'double factorial': doubleFactorial as (a?: Approximate) => Result,
  binomial: (n, k) => {
    if (!n || !k) return undefined
    const [whole, one, other] = [factorial(n), factorial(k), factorial(add(n, negate(k)))]
    return whole && one && other && divide(whole, multiply(one, other))
  },
}
