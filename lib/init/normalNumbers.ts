import { SeededBits } from '../seededBits.js'

/**
 * Normal numbers of mean 0 and deviation 1, the same for the same seed and name on every machine: integer arithmetic, and
 * operations that IEEE 754 defines to the bit (no function of libm, whose last bits differ).
 */
export class NormalNumbers {
  private readonly bits: SeededBits
  private readonly words = new Uint32Array(1024)
  private used = this.words.length
  private spare: number | undefined

  constructor(seed: number, name: string) {
    this.bits = new SeededBits(seed, name)
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
    if (this.used === this.words.length) {
      this.bits.fill(this.words)
      this.used = 0
    }
    const high = this.words[this.used++] as number
    const low = this.words[this.used++] as number
    return ((high >>> 5) * 2 ** 26 + (low >>> 6)) / 2 ** 53
  }
}

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
