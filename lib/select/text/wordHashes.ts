import { characterKind, folded, kindOf } from './characters.js'

const { letter, operator, ideograph, punctuation } = characterKind

const hyphen = 0x2d

/** What a longer run of letters is cut into: one that does not end is a loop, no word. */
const longestRun = 32

/**
 * The words of a text as hashes of 32 bits, in their order: runs of letters and digits, single operators, single characters of scripts
 * without spaces. Case, other punctuation and white space do not matter; a hyphen within a word parts it. Takes time in proportion to
 * the text's length.
 */
export function wordHashes(text: string): Uint32Array {
  const plain = folded(text)
  let hashes = new Uint32Array(16 + (plain.length >> 2))
  let [count, hash, run] = [0, 0, 0]
  const add = (value: number) => {
    if (count === hashes.length) hashes = grown(hashes)
    hashes[count++] = mixed(value)
  }
  for (let i = 0; i < plain.length; i++) {
    const code = plain.charCodeAt(i)
    const kind = code === hyphen && run > 0 && isLatinAt(plain, i + 1) ? punctuation : kindOf(code)
    if (run > 0 && (kind !== letter || run === longestRun)) {
      add(hash)
      run = 0
    }
    if (kind === letter)
      hash = Math.imul((run++ === 0 ? 0x811c9dc5 : hash) ^ code, 0x01000193) // FNV-1a
    else if (kind === operator || kind === ideograph) add(Math.imul(0x2f0b4a27 ^ code, 0x01000193))
  }
  if (run > 0) add(hash)
  return hashes.subarray(0, count)
}

/** `well-known` is two words, `5-1` a difference. */
function isLatinAt(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  return code >= 0x61 && code <= 0x7a
}

function grown(hashes: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  const larger = new Uint32Array(2 * hashes.length)
  larger.set(hashes)
  return larger
}

/** The finalizer of MurmurHash3: each bit of what goes in changes every bit of what comes out with probability one half. */
export function mixed(value: number): number {
  let h = value
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/**
 * Hashes of each `length` words that follow one another; of all together where the text has fewer, and none where it has no word.
 */
export function shingleHashes(words: Uint32Array, length: number): Uint32Array {
  if (words.length === 0) return words
  const width = Math.min(length, words.length)
  const shingles = new Uint32Array(words.length - width + 1)
  // A polynomial in the words modulo 2^32, whose oldest term goes as a word comes.
  const base = 0x9e3779b1
  let oldest = 1
  for (let i = 1; i < width; i++) oldest = Math.imul(oldest, base)
  let sum = 0
  for (let i = 0; i < words.length; i++) {
    if (i >= width) sum = (sum - Math.imul(words[i - width] as number, oldest)) | 0
    sum = (Math.imul(sum, base) + (words[i] as number)) | 0
    if (i >= width - 1) shingles[i - width + 1] = mixed(sum ^ width)
  }
  return shingles
}
