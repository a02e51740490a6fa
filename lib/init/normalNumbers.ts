import { createHash } from 'node:crypto'

/**
 * Normal numbers of mean 0 and deviation 1, the same for the same seed and name on every machine: integer arithmetic, and
 * operations that IEEE 754 defines to the bit (no function of libm, whose last bits differ).
 */
export class NormalNumbers {
  private readonly state: Uint32Array
  private spare: number | undefined

  constructor(seed: number, name: string) {
    const digest = createHash('sha256').update(`${seed}\0${name}`).digest()
    this.state = Uint32Array.from({ length: 4 }, (_, i) => digest.readUInt32LE(4 * i))
  }

  /** Marsaglia's polar method. */
  next(): number {
    if (this.spare !== undefined) {
      const { spare } = this
      this.spare = undefined
      return spare
    }
    for (;;) {
      const x = 2 * this.uniform() - 1
      const y = 2 * this.uniform() - 1
      const square = x * x + y * y
      if (square >= 1 || square === 0) continue
      const scale = Math.sqrt((-2 * logarithm(square)) / square)
      this.spare = y * scale
      return x * scale
    }
  }

  /** From 0 to 1 in steps of 2⁻⁵³. */
  private uniform(): number {
    return ((this.bits() >>> 5) * 2 ** 26 + (this.bits() >>> 6)) / 2 ** 53
  }

  /** xoshiro128** of Blackman and Vigna. */
  private bits(): number {
    const s = this.state as unknown as [number, number, number, number]
    const result = Math.imul(rotate(Math.imul(s[1], 5), 7), 9) >>> 0
    const t = s[1] << 9
    s[2] ^= s[0]
    s[3] ^= s[1]
    s[1] ^= s[2]
    s[0] ^= s[3]
    s[2] ^= t
    s[3] = rotate(s[3], 11)
    return result
  }
}

const rotate = (x: number, k: number): number => (x << k) | (x >>> (32 - k))

/** ln x for 0 < x < 1, to about 1e-15: x = m·2^e with m near 1, and ln m = 2 artanh((m − 1)/(m + 1)). */
export function logarithm(x: number): number {
  let [m, e] = [x, 0]
  while (m < Math.SQRT1_2) {
    m *= 2
    e--
  }
  const t = (m - 1) / (m + 1)
  const square = t * t
  let sum = 0
  for (let n = 19; n >= 1; n -= 2) sum = sum * square + 1 / n
  return 2 * t * sum + e * Math.LN2
}
