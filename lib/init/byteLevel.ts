/**
 * How text is cut before pairs are merged, as Qwen2's tokenizer.json writes it: contractions, words with the character
 * before them, single digits, runs of other characters, white space.
 */
export const splitPattern =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/** The same for JavaScript: Node 20 has no groups that ignore case, and its \s is not Unicode's. */
const pieces = new RegExp(
  splitPattern
    .replace(
      /\(\?i:([^)]*)\)/,
      (_, words: string) => `(?:${words.replace(/[a-z]/g, (c) => `[${c}${c.toUpperCase()}]`)})`,
    )
    .replaceAll('\\s', '\\p{White_Space}')
    .replaceAll('\\S', '\\P{White_Space}'),
  'gu',
)

/** The pieces of a text within which pairs are merged. Together they are the text. */
export const splitPieces = (text: string): string[] => text.match(pieces) ?? []

/**
 * The characters that stand for the 256 bytes in a byte-level vocabulary: a visible character of Latin-1 stands for itself,
 * the other bytes, in order, for the characters from U+0100 on.
 */
export const byteCharacters: readonly string[] = (() => {
  const visible = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff)
  let next = 0x100
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(visible(byte) ? byte : next++))
})()

/** The order of the 256 first ids: by character, as other trainers have it. */
export const firstBytes: readonly number[] = Array.from({ length: 256 }, (_, byte) => byte).sort(
  (a, b) => (byteCharacters[a] as string).charCodeAt(0) - (byteCharacters[b] as string).charCodeAt(0),
)
