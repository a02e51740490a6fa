/** A complex number in floating point, with a bound of the error that rounding has brought. */
export interface Approximate {
  re: number
  im: number
  error: number
}

const epsilon = 2 ** -52

export const modulus = ({ re, im }: Approximate): number => Math.hypot(re, im)
const rounded = (re: number, im: number, error: number): Approximate => ({
  re,
  im,
  error: error + epsilon * Math.hypot(re, im),
})
export const real = (re: number): Approximate => rounded(re, 0, 0)
export const isReal = ({ re, im, error }: Approximate): boolean => Math.abs(im) <= 8 * error + 1e-14 * Math.abs(re)

export const add = (a: Approximate, b: Approximate): Approximate => rounded(a.re + b.re, a.im + b.im, a.error + b.error)
export const negate = (a: Approximate): Approximate => ({ re: -a.re, im: -a.im, error: a.error })
export const multiply = (a: Approximate, b: Approximate): Approximate =>
  rounded(
    a.re * b.re - a.im * b.im,
    a.re * b.im + a.im * b.re,
    modulus(a) * b.error + modulus(b) * a.error + epsilon * modulus(a) * modulus(b),
  )

/** Undefined where b may be 0. */
export function divide(a: Approximate, b: Approximate): Approximate | undefined {
  const size = modulus(b)
  if (size <= 2 * b.error || size === 0) return undefined
  // Scaled first, so that the square neither overflows nor underflows.
  const [re, im] = [b.re / size, b.im / size]
  return rounded(
    (a.re * re + a.im * im) / size,
    (a.im * re - a.re * im) / size,
    (a.error + (b.error * modulus(a)) / size) / size + (epsilon * modulus(a)) / size,
  )
}

export function exponential(a: Approximate): Approximate {
  const size = Math.exp(a.re)
  return rounded(size * Math.cos(a.im), size * Math.sin(a.im), size * (a.error + epsilon * (1 + modulus(a))))
}

/** The principal logarithm; undefined where a may be 0. */
export function logarithm(a: Approximate): Approximate | undefined {
  const size = modulus(a)
  if (size <= 2 * a.error || size === 0) return undefined
  return rounded(Math.log(size), isReal(a) ? (a.re < 0 ? Math.PI : 0) : Math.atan2(a.im, a.re), a.error / size)
}

export function squareRoot(a: Approximate): Approximate {
  const size = modulus(a)
  const error = size > a.error ? a.error / Math.sqrt(size) : Math.sqrt(2 * a.error)
  if (isReal(a)) return a.re >= 0 ? rounded(Math.sqrt(a.re), 0, error) : rounded(0, Math.sqrt(-a.re), error)
  const re = Math.sqrt((size + Math.abs(a.re)) / 2)
  const im = Math.abs(a.im) / (2 * re)
  const sign = a.im < 0 ? -1 : 1
  return a.re >= 0 ? rounded(re, sign * im, error) : rounded(im, sign * re, error)
}

/** A real function with its derivative, where the argument is real; undefined elsewhere. */
export function realFunction(
  compute: (x: number) => number,
  slope: (x: number, y: number) => number,
): (a: Approximate) => Approximate | undefined {
  return (a) => {
    if (!isReal(a)) return undefined
    const y = compute(a.re)
    return rounded(y, 0, (Math.abs(slope(a.re, y)) + epsilon) * (a.error + epsilon * Math.abs(a.re)))
  }
}

const i: Approximate = { re: 0, im: 1, error: 0 }
const half = (a: Approximate): Approximate => ({ re: a.re / 2, im: a.im / 2, error: a.error / 2 })

export function cosine(a: Approximate): Approximate {
  if (isReal(a)) return rounded(Math.cos(a.re), 0, a.error + epsilon * Math.abs(a.re))
  return half(add(exponential(multiply(i, a)), exponential(negate(multiply(i, a)))))
}

export function sine(a: Approximate): Approximate {
  if (isReal(a)) return rounded(Math.sin(a.re), 0, a.error + epsilon * Math.abs(a.re))
  const difference = add(exponential(multiply(i, a)), negate(exponential(negate(multiply(i, a)))))
  return half(multiply({ re: 0, im: -1, error: 0 }, difference))
}

/**
 * A power. Real roots of negative numbers are real where the exponent is a fraction with an odd denominator, as in schools;
 * otherwise the principal value.
 */
export function power(base: Approximate, exponent: Approximate): Approximate | undefined {
  if (isReal(exponent) && Number.isInteger(exponent.re) && Math.abs(exponent.re) <= 4096)
    return integerPower(base, exponent.re)
  if (modulus(base) <= 2 * base.error || modulus(base) === 0)
    return exponent.re > 0 ? { ...real(0), error: base.error } : undefined
  if (isReal(base) && isReal(exponent) && base.re < 0) {
    const sign = signOfRoot(exponent.re)
    if (sign !== 0) {
      const size = power({ re: -base.re, im: 0, error: base.error }, exponent)
      return size && (sign > 0 ? size : negate(size))
    }
  }
  const log = logarithm(base)
  return log && exponential(multiply(exponent, log))
}

/** The sign of (−1)^x for x = p/q with a small odd q, else 0. */
function signOfRoot(x: number): number {
  for (let q = 3; q <= 15; q += 2) {
    const p = Math.round(x * q)
    if (Math.abs(x * q - p) < 1e-12) return p % 2 === 0 ? 1 : -1
  }
  return 0
}

function integerPower(base: Approximate, exponent: number): Approximate | undefined {
  let result: Approximate = { re: 1, im: 0, error: 0 }
  let square = base
  for (let n = Math.abs(exponent); n > 0; n = Math.floor(n / 2)) {
    if (n % 2 === 1) result = multiply(result, square)
    square = multiply(square, square)
  }
  return exponent < 0 ? divide({ re: 1, im: 0, error: 0 }, result) : result
}

/** ln Γ(x) for x > 0, by Lanczos' approximation. */
export function logGamma(x: number): number {
  const coefficients = [
    676.5203681218851, -1259.1392167224028, 771.32342877765313, -176.61502916214059, 12.507343278686905,
    -0.13857109526572012, 9.9843695780195716e-6, 1.5056327351493116e-7,
  ]
  if (x < 0.5) return Math.log(Math.PI / Math.abs(Math.sin(Math.PI * x))) - logGamma(1 - x)
  const sum = coefficients.reduce((total, c, k) => total + c / (x + k), 0.99999999999980993)
  const t = x + 6.5
  return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum)
}
