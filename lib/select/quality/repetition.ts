import { mixed, shingleHashes, wordHashes } from '../text/wordHashes.js'

/** How much a text repeats itself. Words are those of `wordHashes`. */
export interface Repetition {
  /** Words of the text. */
  words: number
  /** Share of the runs of 20 words that stood in the text before; 0 for a text of fewer words. */
  repeated: number
  /** Share of the characters that stand in lines which stood in the text before, of those of 20 characters or more. */
  lines: number
  /** What the text ends with over and over: words of one round, and of all rounds together; undefined where it does not. */
  loop: { period: number; words: number } | undefined
}

/** Runs this long do not come back by chance: a restated condition or formula is shorter, a copied paragraph longer. */
export const runLength = 20

/** Shorter lines are brackets, headings and steps such as `return`, which repeat in every program and table. */
const leastLine = 20

/** Rounds from which an end is a loop: texts end with the same words twice, and with a row of zeros. */
const leastRounds = 4

/** Measures how much a text repeats itself. Takes time in proportion to the text's length. */
export function measureRepetition(text: string): Repetition {
  const words = wordHashes(text)
  return { words: words.length, repeated: repeatedRuns(words), lines: repeatedLines(text), loop: loopAtEnd(words) }
}

function repeatedRuns(words: Uint32Array): number {
  if (words.length < runLength) return 0
  const runs = shingleHashes(words, runLength)
  return (runs.length - countDistinct(runs)) / runs.length
}

/** A table of the values themselves: a Set of numbers would take four times as long. */
function countDistinct(values: Uint32Array): number {
  const size = 2 ** Math.ceil(Math.log2(2 * values.length + 1))
  const table = new Uint32Array(size)
  let [distinct, hasZero] = [0, false]
  for (const value of values) {
    if (value === 0) {
      hasZero = true
      continue
    }
    let at = mixed(value) & (size - 1)
    while (table[at] !== 0 && table[at] !== value) at = (at + 1) & (size - 1)
    if (table[at] === 0) {
      table[at] = value
      distinct++
    }
  }
  return distinct + (hasZero ? 1 : 0)
}

function repeatedLines(text: string): number {
  const seen = new Set<string>()
  let repeated = 0
  for (const whole of text.split('\n')) {
    const line = whole.trim()
    if (line.length < leastLine) continue
    if (seen.has(line)) repeated += line.length
    else seen.add(line)
  }
  return text === '' ? 0 : repeated / text.length
}

/** The last word may be cut off, as the limit of tokens does it. */
function loopAtEnd(words: Uint32Array): Repetition['loop'] {
  const [whole, cut] = [closingLoop(words), closingLoop(words.subarray(0, -1))]
  return (cut?.words ?? 0) > (whole?.words ?? 0) ? cut : whole
}

/**
 * The longest end of a text that is one sequence of words over and over, the first round cut off where it may be. Of the text read
 * backwards, the border of a beginning is what tells its period (Knuth, Morris, Pratt).
 */
function closingLoop(words: Uint32Array): Repetition['loop'] {
  const count = words.length
  const borders = new Uint32Array(count)
  let [border, best, period] = [0, 0, 0]
  for (let i = 1; i < count; i++) {
    const word = words[count - 1 - i]
    while (border > 0 && words[count - 1 - border] !== word) border = borders[border - 1] as number
    if (words[count - 1 - border] === word) border++
    borders[i] = border
    const length = i + 1
    if (length >= leastRounds * (length - border)) [best, period] = [length, length - border]
  }
  return best > 0 ? { period, words: best } : undefined
}
