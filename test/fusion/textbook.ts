/**
 * The divergence exactly as the definition prints it, Σ P·ln(P/Q) with P = softmax(x) + ε and Q = softmax(y) + ε, in
 * binary fixed point of 600 fractional bits (180 decimal digits): its cancellation costs 20 of them.
 */

const fractionBits = 600n
const one = 1n << fractionBits

function multiply(a: bigint, b: bigint): bigint {
  return (a * b) >> fractionBits
}

function divide(a: bigint, b: bigint): bigint {
  return (a << fractionBits) / b
}

/** A float64 as fixed point; exact for magnitudes of at least 2⁻⁵⁴⁷. */
function toFixed(value: number): bigint {
  const view = new DataView(new ArrayBuffer(8))
  view.setFloat64(0, value)
  const bits = view.getBigUint64(0)
  const exponent = (bits >> 52n) & 0x7ffn
  const fraction = bits & ((1n << 52n) - 1n)
  const mantissa = exponent === 0n ? fraction : fraction | (1n << 52n)
  const shift = fractionBits + (exponent === 0n ? 1n : exponent) - 1075n
  const magnitude = shift >= 0n ? mantissa << shift : mantissa >> -shift
  return value < 0 ? -magnitude : magnitude
}

/** The nearest float64, but for the last place. */
function toNumber(fixed: bigint): number {
  const magnitude = fixed < 0n ? -fixed : fixed
  const excess = BigInt(Math.max(0, magnitude.toString(2).length - 60))
  const value = Number(magnitude >> excess) * 2 ** Number(excess - fractionBits)
  return fixed < 0n ? -value : value
}

function exponential(z: bigint): bigint {
  const halvings = 40n
  const reduced = z >> halvings
  let term = one
  let sum = one
  for (let k = 1n; term !== 0n && term !== -1n; k++) {
    term = multiply(term, reduced) / k
    sum += term
  }
  for (let i = 0n; i < halvings; i++) sum = multiply(sum, sum)
  return sum
}

/** 2·atanh((v−1)/(v+1)). */
function logarithmNearOne(v: bigint): bigint {
  const z = divide(v - one, v + one)
  const square = multiply(z, z)
  let power = z
  let sum = 0n
  for (let k = 1n; power !== 0n && power !== -1n; k += 2n) {
    sum += power / k
    power = multiply(power, square)
  }
  return 2n * sum
}

const logarithmOfTwo = logarithmNearOne(2n * one)

function logarithm(v: bigint): bigint {
  const exponent = BigInt(v.toString(2).length - 1) - fractionBits
  const mantissa = exponent >= 0n ? v >> exponent : v << -exponent
  return logarithmNearOne(mantissa) + exponent * logarithmOfTwo
}

function softmax(values: ArrayLike<number>): bigint[] {
  const fixed = Array.from(values, toFixed)
  const max = toFixed(Math.max(...Array.from(values)))
  const exponentials = fixed.map((value) => exponential(value - max))
  const sum = exponentials.reduce((a, b) => a + b)
  return exponentials.map((value) => divide(value, sum))
}

/** KL(softmax(x) + ε ‖ softmax(y) + ε), right to the last places of float64. */
export function textbookDivergence(x: ArrayLike<number>, y: ArrayLike<number>, epsilon: number): number {
  const p = softmax(x)
  const q = softmax(y)
  const offset = toFixed(epsilon)
  let sum = 0n
  for (const [i, pi] of p.entries()) {
    const up = pi + offset
    sum += multiply(up, logarithm(divide(up, (q[i] as bigint) + offset)))
  }
  return toNumber(sum)
}
