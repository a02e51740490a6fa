/** Characters of an answer that are read as mathematics: the longest gold of the published sets has under 1,000. */
export const maximumExpressionLength = 4096

/** Characters at the end of a completion in which an answer is looked for: a conclusion, however much was thought before it. */
export const extractionWindow = 65_536

/** Nodes of one parsed answer: a 10 × 10 matrix of fractions has 400. */
export const maximumNodes = 1000

/** Nesting of one parsed answer. A level takes about ten stack frames, far below what Node allows. */
export const maximumDepth = 60

/** The largest exponent that is computed exactly, in magnitude: 2^4096 has 1,234 digits. */
export const maximumExponent = 4096

/** Bits of an exact integer: 3000! has 30,000 bits, and a product of two such numbers takes microseconds. */
export const maximumBits = 65_536

/** The largest number whose factorial is computed exactly. */
export const maximumFactorial = 3000

/** Terms of a finite sum or product that is written out. */
export const maximumTerms = 2000

/** Values that the signs ± of one answer may stand for: four of them. */
export const maximumSignChoices = 16

/** Evaluated nodes of one comparison, of which the slowest take 0.2 µs: half of the 50 ms that a pair may take. */
export const maximumWork = 150_000

/** What one term of a sum costs besides its nodes: an evaluation of its own. */
export const termWork = 20

/** What a comparison of two expressions costs besides their nodes. */
export const comparisonWork = 40

/** Bits of exact integers that one comparison may multiply: the second half of the 50 ms. */
export const maximumBitWork = 40_000_000

/** Why an answer cannot be compared. It never leaves this folder. */
export class UnsupportedError extends Error {}

/** Counts the work of one comparison, so that its end does not depend on the clock. */
export class Budget {
  work = 0
  bits = 0

  /** @throws UnsupportedError where the comparison takes too long */
  spend(work = 1): void {
    this.work += work
    if (this.work > maximumWork) throw new UnsupportedError('too much work')
  }

  /** @throws UnsupportedError where an integer is too long, or all of them together */
  spendBits(bits: number): void {
    if (bits > maximumBits) throw new UnsupportedError('a number too long')
    this.bits += bits
    if (this.bits > maximumBitWork) throw new UnsupportedError('too much work')
  }
}
