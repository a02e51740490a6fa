import { createHash } from 'node:crypto'

/**
 * Random 32-bit words, the same for the same seed and name on every machine: xoshiro128** of Blackman and Vigna, whose state
 * is taken from SHA-256 of both. It passes the usual test batteries and has period 2¹²⁸ − 1. It is no cipher.
 */
export class SeededBits {
  private readonly state: Int32Array

  constructor(seed: number, name: string) {
    const digest = createHash('sha256').update(`${seed}\0${name}`).digest()
    this.state = Int32Array.from({ length: 4 }, (_, i) => digest.readInt32LE(4 * i))
  }

  /** The next words of the same sequence. The state stays in locals meanwhile, which is what makes it fast. */
  fill(words: Uint32Array): void {
    let [a, b, c, d] = this.state as unknown as [number, number, number, number]
    for (let i = 0; i < words.length; i++) {
      words[i] = Math.imul(rotate(Math.imul(b, 5), 7), 9)
      const t = b << 9
      c ^= a
      d ^= b
      b ^= c
      a ^= d
      c ^= t
      d = rotate(d, 11)
    }
    this.state.set([a, b, c, d])
  }
}

const rotate = (x: number, k: number): number => (x << k) | (x >>> (32 - k))
