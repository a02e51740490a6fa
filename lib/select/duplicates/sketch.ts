import { SeededBits } from '../../seededBits.js'
import { shingleHashes, wordHashes } from '../text/wordHashes.js'

/** How near duplicates are looked for. Of one threshold and shingle length, all sketches are comparable. */
export interface Banding {
  /** Bands whose minima are compared as a whole, and minima in each. */
  bands: number
  rows: number
}

/** Minima of a sketch: their cost, and what they give, ends with this number. */
const mostMinima = 144

/** A pair at the threshold shares a band with at least this probability. */
const leastRecall = 0.995

/**
 * The bands that find a pair at a threshold with probability 0.995 and more, and as few pairs below as possible: two texts of
 * similarity s share one of b bands of r minima with probability 1 − (1 − s^r)^b.
 */
export function bandingFor(threshold: number): Banding {
  for (let rows = 16; rows > 1; rows--) {
    const bands = Math.floor(mostMinima / rows)
    if (1 - (1 - threshold ** rows) ** bands >= leastRecall) return { bands, rows }
  }
  return { bands: mostMinima, rows: 1 }
}

/** What two texts are compared by. */
export interface Sketch {
  /** A key for each band; two texts are candidates where one of them is the same at the same place. */
  keys: Uint32Array
  /**
   * The smallest hashes of the text's shingles in ascending order, each once: all of them where there are no more than
   * {@link mostShingles}, so that the similarity of two short texts is exact.
   */
  shingles: Uint32Array
  /** Distinct shingles of the text. */
  total: number
}

/** Kept of a text. The similarity of two longer texts has a standard error of √(s(1−s)/256), 0.025 at 0.8. */
export const mostShingles = 256

/** Makes the sketches of texts. */
export class Sketcher {
  private readonly offsets: Uint32Array
  private readonly factors: Uint32Array

  constructor(
    private readonly shingle: number,
    private readonly banding: Banding,
  ) {
    const count = banding.bands * banding.rows
    this.offsets = randomWords(count, 'offsets of minima')
    this.factors = randomWords(count, 'factors of minima').map((word) => word | 1)
  }

  /** Undefined for a text without a word: it is like no other. Takes time in proportion to the text's length. */
  sketch(text: string): Sketch | undefined {
    const sorted = shingleHashes(wordHashes(text), this.shingle).slice().sort()
    const distinct = withoutRepeats(sorted)
    if (distinct.length === 0) return undefined
    return { keys: this.keysOf(distinct), shingles: distinct.slice(0, mostShingles), total: distinct.length }
  }

  private keysOf(shingles: Uint32Array): Uint32Array {
    const { bands, rows } = this.banding
    const keys = new Uint32Array(bands)
    for (let band = 0; band < bands; band++) {
      let key = band
      for (let row = 0; row < rows; row++) key = Math.imul(key ^ this.minimum(shingles, band * rows + row), 0x9e3779b1)
      keys[band] = key ^ (key >>> 15)
    }
    return keys
  }

  /** The least of the hashes in the order of one permutation of all 32-bit words. */
  private minimum(shingles: Uint32Array, permutation: number): number {
    const [offset, factor] = [this.offsets[permutation] as number, this.factors[permutation] as number]
    let least = 0xffffffff
    for (let i = 0; i < shingles.length; i++) {
      const mixedIn = Math.imul((shingles[i] as number) ^ offset, factor)
      const value = (mixedIn ^ (mixedIn >>> 15)) >>> 0
      if (value < least) least = value
    }
    return least
  }
}

/** The same on every machine. */
function randomWords(count: number, name: string): Uint32Array {
  const words = new Uint32Array(count)
  new SeededBits(0, name).fill(words)
  return words
}

function withoutRepeats(sorted: Uint32Array): Uint32Array {
  let count = 0
  for (let i = 0; i < sorted.length; i++) {
    if (i === 0 || sorted[i] !== sorted[i - 1]) sorted[count++] = sorted[i] as number
  }
  return sorted.subarray(0, count)
}

/**
 * The Jaccard similarity of two texts: exact where both have at most {@link mostShingles} distinct shingles, else estimated by the
 * smallest hashes of both together.
 */
export function similarity(a: Pick<Sketch, 'shingles' | 'total'>, b: Pick<Sketch, 'shingles' | 'total'>): number {
  const isWhole = a.total <= mostShingles && b.total <= mostShingles
  const limit = isWhole ? Number.POSITIVE_INFINITY : mostShingles
  let [i, j, union, both] = [0, 0, 0, 0]
  while (union < limit && i < a.shingles.length && j < b.shingles.length) {
    const [x, y] = [a.shingles[i] as number, b.shingles[j] as number]
    if (x === y) both++
    if (x <= y) i++
    if (y <= x) j++
    union++
  }
  if (isWhole) union += a.shingles.length - i + (b.shingles.length - j)
  return both / union
}
