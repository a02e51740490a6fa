import { type Budget, maximumExponent, maximumFactorial, maximumTerms, termWork, UnsupportedError } from './budget.js'
import {
  absolute,
  add,
  bitLength,
  bits,
  compare,
  divide,
  equals,
  exactRoot,
  floor,
  greatestCommonDivisor,
  isInteger,
  isZero,
  multiply,
  negate,
  one,
  type Rational,
  rational,
  subtract,
  toNumber,
  zero,
} from './rational.js'
import type { Node } from './syntax.js'

export type RationalValues = ReadonlyMap<string, Rational>

/**
 * The value of an expression as an exact fraction; undefined where it has none, or none that is found without approximation.
 *
 * @throws UnsupportedError where it takes more than the budget
 */
export function evaluateExact(node: Node, budget: Budget, values: RationalValues = new Map()): Rational | undefined {
  return new Exact(budget, values).value(node)
}

class Exact {
  constructor(
    private readonly budget: Budget,
    private readonly values: RationalValues,
  ) {}

  value(node: Node): Rational | undefined {
    this.budget.spend()
    const read = this.kinds[node.kind] as ((node: Node) => Rational | undefined) | undefined
    const result = read?.(node)
    if (result) this.budget.spendBits(bits(result))
    return result
  }

  private all(nodes: readonly Node[]): Rational[] | undefined {
    const values: Rational[] = []
    for (const node of nodes) {
      const value = this.value(node)
      if (!value) return undefined
      values.push(value)
    }
    return values
  }

  private readonly kinds: { [Kind in Node['kind']]?: (node: Extract<Node, { kind: Kind }>) => Rational | undefined } = {
    number: ({ value }) => value,
    symbol: ({ name }) => this.values.get(name),
    constant: ({ name }) => this.values.get(name),
    negate: ({ of }) => {
      const value = this.value(of)
      return value && negate(value)
    },
    percent: ({ of }) => {
      const value = this.value(of)
      return value && divide(value, rational(100n))
    },
    add: ({ terms }) => this.all(terms)?.reduce((a, b) => this.sized(add(a, b))),
    multiply: ({ factors }) => this.product(factors),
    divide: ({ numerator, denominator }) => {
      const above = this.value(numerator)
      const below = above && this.value(denominator)
      return above && below && !isZero(below) ? divide(above, below) : undefined
    },
    power: ({ base, exponent }) => {
      const [value, power] = [this.value(base), this.value(exponent)]
      return value && power && this.power(value, power)
    },
    call: (node) => this.call(node.name, node.arguments),
    series: (node) => this.series(node),
  }

  private sized(value: Rational): Rational {
    this.budget.spendBits(bits(value))
    return value
  }

  private product(factors: readonly Node[]): Rational | undefined {
    return this.all(factors)?.reduce((a, b) => {
      this.budget.spendBits(bits(a) + bits(b))
      return multiply(a, b)
    })
  }

  private power(base: Rational, exponent: Rational): Rational | undefined {
    if (!isInteger(exponent)) return this.rootPower(base, exponent)
    if (isZero(base)) return exponent.numerator > 0n ? zero : undefined
    if (equals(base, one)) return one
    const count = exponent.numerator < 0n ? -exponent.numerator : exponent.numerator
    if (count > BigInt(maximumExponent)) {
      if (equals(absolute(base), one)) return exponent.numerator % 2n === 0n ? one : base
      throw new UnsupportedError('an exponent too large')
    }
    this.budget.spendBits(bits(base) * Number(count))
    const raised = { numerator: base.numerator ** count, denominator: base.denominator ** count }
    return exponent.numerator < 0n ? divide(one, raised) : raised
  }

  private rootPower(base: Rational, exponent: Rational): Rational | undefined {
    const root = this.root(base, Number(exponent.denominator))
    return root && this.power(root, rational(exponent.numerator))
  }

  private root(value: Rational, degree: number): Rational | undefined {
    if (degree < 1 || degree > 64) return undefined
    this.budget.spendBits(bits(value) * 4)
    const numerator = exactRoot(value.numerator, degree)
    const denominator = numerator === undefined ? undefined : exactRoot(value.denominator, degree)
    return numerator === undefined || denominator === undefined ? undefined : rational(numerator, denominator)
  }

  private call(name: string, given: readonly Node[]): Rational | undefined {
    if (name === 'det') return this.determinant(given[0])
    const compute = this.functions[name]
    const values = compute && this.all(given)
    return values && compute?.(...values)
  }

  private readonly functions: Readonly<Record<string, (...values: Rational[]) => Rational | undefined>> = {
    root: (value, degree) =>
      degree && value && isInteger(degree) ? this.root(value, Number(degree.numerator)) : undefined,
    abs: (value) => value && absolute(value),
    norm: (value) => value && absolute(value),
    sgn: (value) => value && rational(BigInt(compare(value, zero))),
    floor: (value) => value && rational(floor(value)),
    ceil: (value) => value && rational(-floor(negate(value))),
    Re: (value) => value,
    Im: (value) => value && zero,
    factorial: (value) => value && this.factorial(value, 1n),
    'double factorial': (value) => value && this.factorial(value, 2n),
    binomial: (n, k) => (n && k ? this.binomial(n, k) : undefined),
    mod: (value, modulus) => {
      if (!value || !modulus || isZero(modulus)) return undefined
      return subtract(value, multiply(modulus, rational(floor(divide(value, modulus)))))
    },
    gcd: (...values) =>
      this.integers(values)?.reduce((a, b) => rational(greatestCommonDivisor(a.numerator, b.numerator))),
    lcm: (...values) => this.integers(values)?.reduce((a, b) => this.leastCommonMultiple(a, b)),
    max: (...values) => values.reduce((a, b) => (compare(a, b) < 0 ? b : a)),
    min: (...values) => values.reduce((a, b) => (compare(a, b) > 0 ? b : a)),
    ln: (value) => (value && equals(value, one) ? zero : undefined),
    log: (value, base) =>
      value && base ? this.logarithm(value, base) : value && equals(value, one) ? zero : undefined,
  }

  private integers(values: readonly Rational[]): readonly Rational[] | undefined {
    return values.every(isInteger) ? values : undefined
  }

  private leastCommonMultiple(a: Rational, b: Rational): Rational {
    if (isZero(a) || isZero(b)) return zero
    return this.sized(absolute(rational((a.numerator * b.numerator) / greatestCommonDivisor(a.numerator, b.numerator))))
  }

  private factorial(value: Rational, step: bigint): Rational | undefined {
    const n = value.numerator
    if (!isInteger(value) || n < 0n) return undefined
    if (n > BigInt(maximumFactorial)) throw new UnsupportedError('a factorial too large')
    let product = 1n
    for (let k = n; k > 1n; k -= step) product *= k
    // The products on the way have half the bits of the last on average.
    this.budget.spendBits(Math.min(bitLength(product), 60_000))
    this.budget.spend(Number(n))
    return rational(product)
  }

  private binomial(n: Rational, k: Rational): Rational | undefined {
    if (!isInteger(n) || !isInteger(k) || k.numerator < 0n || n.numerator < 0n) return undefined
    if (k.numerator > n.numerator) return zero
    const smaller = k.numerator * 2n > n.numerator ? n.numerator - k.numerator : k.numerator
    if (smaller > BigInt(maximumFactorial)) throw new UnsupportedError('a binomial too large')
    this.budget.spend(Number(smaller) * 4)
    let result = 1n
    for (let j = 1n; j <= smaller; j++) {
      result = (result * (n.numerator - smaller + j)) / j
      this.budget.spendBits(64)
    }
    return rational(result)
  }

  /** The logarithm where it is a fraction with a small denominator, which is checked. */
  private logarithm(value: Rational, base: Rational): Rational | undefined {
    if (compare(value, zero) <= 0 || compare(base, zero) <= 0 || equals(base, one)) return undefined
    const estimate = Math.log(toNumber(value)) / Math.log(toNumber(base))
    for (let denominator = 1; denominator <= 12; denominator++) {
      const numerator = Math.round(estimate * denominator)
      if (Math.abs(numerator) > 512 || Math.abs(estimate * denominator - numerator) > 1e-9) continue
      const left = this.power(base, rational(BigInt(numerator)))
      const right = this.power(value, rational(BigInt(denominator)))
      if (left && right && equals(left, right)) return rational(BigInt(numerator), BigInt(denominator))
    }
    return undefined
  }

  private series({ name, index, from, to, body }: Extract<Node, { kind: 'series' }>): Rational | undefined {
    const [first, last] = [this.value(from), this.value(to)]
    if (!first || !last || !isInteger(first) || !isInteger(last)) return undefined
    const count = last.numerator - first.numerator + 1n
    if (count > BigInt(maximumTerms)) throw new UnsupportedError('a sum too long')
    let result = name === 'sum' ? zero : one
    for (let k = first.numerator; k <= last.numerator; k++) {
      this.budget.spend(termWork)
      const term = new Exact(this.budget, new Map([...this.values, [index, rational(k)]])).value(body)
      if (!term) return undefined
      result = this.sized(name === 'sum' ? add(result, term) : multiply(result, term))
    }
    return result
  }

  private determinant(matrix: Node | undefined): Rational | undefined {
    if (matrix?.kind !== 'matrix') return undefined
    const size = matrix.rows.length
    if (size > 8 || matrix.rows.some((row) => row.length !== size)) return undefined
    const rows = matrix.rows.map((row) => this.all(row))
    if (rows.includes(undefined)) return undefined
    return eliminate(rows as Rational[][])
  }
}

/** A determinant by Gaussian elimination. */
function eliminate(rows: Rational[][]): Rational {
  let determinant = one
  for (let column = 0; column < rows.length; column++) {
    const pivotRow = rows.findIndex((row, i) => i >= column && !isZero(row[column] as Rational))
    if (pivotRow < 0) return zero
    if (pivotRow !== column) {
      ;[rows[column], rows[pivotRow]] = [rows[pivotRow] as Rational[], rows[column] as Rational[]]
      determinant = negate(determinant)
    }
    const pivot = rows[column] as Rational[]
    determinant = multiply(determinant, pivot[column] as Rational)
    for (const row of rows.slice(column + 1)) {
      const factor = divide(row[column] as Rational, pivot[column] as Rational)
      for (let j = column; j < rows.length; j++)
        row[j] = subtract(row[j] as Rational, multiply(factor, pivot[j] as Rational))
    }
  }
  return determinant
}
