/** What a code unit is to those who look for words. */
export const characterKind = {
  space: 0,
  punctuation: 1,
  /** Of which words are: a letter, a digit, a mark, half of a surrogate pair. */
  letter: 2,
  operator: 3,
  /** Of a script that does not part words by spaces: a word of its own. */
  ideograph: 4,
} as const

const { space, punctuation, letter, operator, ideograph } = characterKind

const unparted =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u

const unknown = 255
const kinds = new Uint8Array(0x10000).fill(unknown)

/** One of {@link characterKind}. */
export function kindOf(code: number): number {
  const known = kinds[code] as number
  if (known !== unknown) return known
  const found = classify(String.fromCharCode(code))
  kinds[code] = found
  return found
}

function classify(character: string): number {
  if (/\s/u.test(character)) return space
  if (unparted.test(character)) return ideograph
  if (/[\p{Sm}*/^%-]/u.test(character)) return operator
  return /[\p{L}\p{N}\p{M}\p{Cs}]/u.test(character) ? letter : punctuation
}

/** A text in which case, width and other compatibility forms no longer matter. */
export const folded = (text: string): string => text.normalize('NFKC').toLowerCase()
