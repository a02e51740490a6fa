/** An exact fraction in lowest terms; the denominator is positive. */
export interface Rational {
  numerator: bigint
  denominator: bigint
}

const magnitude = (n: bigint): bigint => (n < 0n ? -n : n)

export function greatestCommonDivisor(a: bigint, b: bigint): bigint {
  let x = magnitude(a)
  let y = magnitude(b)
  while (y !== 0n) [x, y] = [y, x % y]
  return x
}

/** @param denominator not 0 */
export function rational(numerator: bigint, denominator = 1n): Rational {
  if (denominator === 1n) return { numerator, denominator }
  const divisor = greatestCommonDivisor(numerator, denominator)
  const sign = denominator < 0n ? -1n : 1n
  return { numerator: (sign * numerator) / divisor, denominator: (sign * denominator) / divisor }
}

export const zero = rational(0n)
export const one = rational(1n)

export const add = (a: Rational, b: Rational): Rational =>
  rational(a.numerator * b.denominator + b.numerator * a.denominator, a.denominator * b.denominator)
export const negate = ({ numerator, denominator }: Rational): Rational => ({ numerator: -numerator, denominator })
export const subtract = (a: Rational, b: Rational): Rational => add(a, negate(b))
export const multiply = (a: Rational, b: Rational): Rational =>
  rational(a.numerator * b.numerator, a.denominator * b.denominator)
/** @param b not 0 */
export const divide = (a: Rational, b: Rational): Rational =>
  rational(a.numerator * b.denominator, a.denominator * b.numerator)
export const isZero = ({ numerator }: Rational): boolean => numerator === 0n
export const isInteger = ({ denominator }: Rational): boolean => denominator === 1n
export const equals = (a: Rational, b: Rational): boolean =>
  a.numerator === b.numerator && a.denominator === b.denominator
export const absolute = ({ numerator, denominator }: Rational): Rational => ({
  numerator: magnitude(numerator),
  denominator,
})
/** Negative, 0 or positive, as a is less than, equal to or greater than b. */
export function compare(a: Rational, b: Rational): number {
  const difference = a.numerator * b.denominator - b.numerator * a.denominator
  return difference < 0n ? -1 : difference > 0n ? 1 : 0
}

export const floor = ({ numerator, denominator }: Rational): bigint => {
  const quotient = numerator / denominator
  return numerator < 0n && quotient * denominator !== numerator ? quotient - 1n : quotient
}

export const bitLength = (n: bigint): number => magnitude(n).toString(16).length * 4
export const bits = ({ numerator, denominator }: Rational): number => bitLength(numerator) + bitLength(denominator)

/** The nearest number, within an ulp or two, also where numerator and denominator are beyond what a number holds. */
export function toNumber({ numerator, denominator }: Rational): number {
  const direct = Number(numerator) / Number(denominator)
  if (Number.isFinite(direct) && (direct !== 0 || numerator === 0n)) return direct
  const shift = bitLength(numerator) - bitLength(denominator) - 64
  const scaled = shift >= 0 ? numerator / (denominator << BigInt(shift)) : (numerator << BigInt(-shift)) / denominator
  return Number(scaled) * 2 ** shift
}

/** The value of digits with at most one point, such as `-12.50`. */
export function parseDecimal(text: string): Rational {
  const [whole = '', fraction = ''] = text.split('.')
  return rational(BigInt(whole + fraction || '0'), 10n ** BigInt(fraction.length))
}

/** The exact root of an integer, or undefined where there is none. */
export function exactRoot(n: bigint, degree: number): bigint | undefined {
  if (n < 0n) {
    if (degree % 2 === 0) return undefined
    const root = exactRoot(-n, degree)
    return root === undefined ? undefined : -root
  }
  if (n < 2n) return n
  const power = BigInt(degree)
  if (bitLength(n) < degree) return undefined
  // Newton's method from above, where it falls until it has the floor of the root.
  let x = 1n << BigInt(Math.ceil(bitLength(n) / degree) + 1)
  for (;;) {
    const next = ((power - 1n) * x + n / x ** (power - 1n)) / power
    if (next >= x) break
    x = next
  }
  return x ** power === n ? x : undefined
}

export const format = ({ numerator, denominator }: Rational): string =>
  denominator === 1n ? `${numerator}` : `${numerator}/${denominator}`
