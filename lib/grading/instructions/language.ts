import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { brotliDecompressSync } from 'node:zlib'
import { packageRoot } from '../../files/packageRoot.js'

/** N-grams of a language: their counts, and the counts of all of one, two and three characters. */
interface Profile {
  n_words: number[]
  freq: Record<string, number>
}

interface Model {
  languages: string[]
  /** Of each n-gram the share that it has in each language among those of its length. */
  shares: Map<string, Float64Array>
}

let model: Model | undefined

/** Codes of the languages that can be told apart. */
export const knownLanguages = (): readonly string[] => loadModel().languages

function loadModel(): Model {
  model ??= readModel()
  return model
}

function readModel(): Model {
  const bytes = brotliDecompressSync(readFileSync(join(packageRoot, 'languages/profiles.json.br')))
  const profiles = Object.entries(JSON.parse(bytes.toString()) as Record<string, Profile>)
  const shares = new Map<string, Float64Array>()
  for (const [index, [, { n_words, freq }]] of profiles.entries()) {
    for (const [gram, count] of Object.entries(freq)) {
      const total = n_words[gram.length - 1]
      if (total === undefined) continue
      const row = shares.get(gram) ?? new Float64Array(profiles.length)
      row[index] = count / total
      shares.set(gram, row)
    }
  }
  return { languages: profiles.map(([language]) => language), shares }
}

// The parameters of Shuyo's detector.
const [trials, maxRounds, convergence, smoothing, baseFrequency, maxCharacters] = [
  7, 1000, 0.99999, 0.5, 10_000, 10_000,
]

/**
 * The language of a text, or undefined where it holds nothing to tell it by: naive Bayes over n-grams of up to three characters, as
 * in Shuyo's language-detection. That draws n-grams by chance; here they are drawn from the same seed for every text, so that a text
 * always has the same language.
 */
export function detectLanguage(text: string): string | undefined {
  const { languages, shares } = loadModel()
  const rows = nGrams(prepared(text)).flatMap((gram) => shares.get(gram) ?? [])
  if (rows.length === 0) return undefined
  const random = generator(1)
  const sums = new Float64Array(languages.length)
  for (let trial = 0; trial < trials; trial++) {
    const alpha = smoothing + (trial - (trials - 1) / 2) * 0.025
    const probabilities = oneTrial(rows, languages.length, alpha / baseFrequency, random)
    for (const [i, probability] of probabilities.entries()) sums[i] = (sums[i] as number) + probability
  }
  return languages[sums.indexOf(Math.max(...sums))]
}

function oneTrial(rows: readonly Float64Array[], count: number, weight: number, random: () => number): Float64Array {
  const probabilities = new Float64Array(count).fill(1 / count)
  for (let round = 0; ; round++) {
    const row = rows[Math.floor(random() * rows.length)] as Float64Array
    for (let i = 0; i < count; i++) probabilities[i] = (probabilities[i] as number) * (weight + (row[i] as number))
    if (round % 5 !== 0) continue
    const sum = probabilities.reduce((total, value) => total + value, 0)
    for (let i = 0; i < count; i++) probabilities[i] = (probabilities[i] as number) / sum
    if (Math.max(...probabilities) > convergence || round >= maxRounds) return probabilities
  }
}

/** Numbers in [0, 1), the same from each seed. */
function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return (state >>> 8) / 2 ** 24
  }
}

/** Without addresses; without Latin letters where another script is clearly more frequent. */
function prepared(text: string): string {
  const plain = text
    .slice(0, 2 * maxCharacters)
    .normalize('NFC')
    .replace(/https?:\/\/[-_.?&~;+=/#0-9A-Za-z]{1,2076}/g, ' ')
    .replace(/[-_.0-9A-Za-z]{1,64}@[-_0-9A-Za-z]{1,255}[-_.0-9A-Za-z]{1,255}/g, ' ')
    .replace(/ +/g, ' ')
    .slice(0, maxCharacters)
  const latin = plain.match(/[A-z]/g)?.length ?? 0
  const other = plain.match(/[\u0300-\u1dff\u1f00-\uffff]/g)?.length ?? 0
  return latin * 2 < other ? plain.replace(/[A-z]/g, '') : plain
}

/** The n-grams that end at each character. Words in capitals have none behind their first letter. */
function nGrams(text: string): string[] {
  const found: string[] = []
  let [grams, isCapitals] = [' ', false]
  for (let i = 0; i < text.length; i++) {
    const character = normalized(text[i] as string)
    const last = grams.at(-1) as string
    if (last === ' ') {
      ;[grams, isCapitals] = [' ', false]
      if (character === ' ') continue
    } else if (grams.length >= 3) grams = grams.slice(1)
    grams += character
    isCapitals = isUpperCase(character) && (isUpperCase(last) || isCapitals)
    if (isCapitals) continue
    if (character !== ' ') found.push(character)
    if (grams.length >= 2) found.push(grams.slice(-2))
    if (grams.length >= 3) found.push(grams)
  }
  return found
}

const isUpperCase = (character: string): boolean => /\p{Lu}/u.test(character)

/** Characters that count as one, by Unicode block. */
const blocks: [from: number, to: number, map: (character: string) => string][] = [
  [0x00, 0x7f, (character) => (/[A-Za-z]/.test(character) ? character : ' ')],
  [0x80, 0xff, (character) => ('\u00a0\u00ab\u00b0\u00bb'.includes(character) ? ' ' : character)],
  [0x0180, 0x024f, (character) => ({ '\u0219': '\u015f', '\u021b': '\u0163' })[character] ?? character],
  [0x0600, 0x06ff, (character) => (character === '\u06cc' ? '\u064a' : character)],
  [0x1ea0, 0x1eff, () => '\u1ec3'],
  [0x2000, 0x206f, () => ' '],
  [0x3040, 0x309f, () => '\u3042'],
  [0x30a0, 0x30ff, () => '\u30a2'],
  [0x3100, 0x312f, () => '\u3105'],
  [0x31a0, 0x31bf, () => '\u3105'],
  [0xac00, 0xd7af, () => '\uac00'],
]

function normalized(character: string): string {
  const code = character.charCodeAt(0)
  return blocks.find(([from, to]) => code >= from && code <= to)?.[2](character) ?? character
}
