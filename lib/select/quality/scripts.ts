/** Scripts of letters that are told apart; those of mathematics, Latin and Greek, may stand in a text of any language. */
const scripts = [
  ['Han', /\p{Script=Han}/u],
  ['Kana', /[\p{Script=Hiragana}\p{Script=Katakana}]/u],
  ['Hangul', /\p{Script=Hangul}/u],
  ['Cyrillic', /\p{Script=Cyrillic}/u],
  ['Arabic', /\p{Script=Arabic}/u],
  ['Hebrew', /\p{Script=Hebrew}/u],
  ['Devanagari', /\p{Script=Devanagari}/u],
  ['Thai', /\p{Script=Thai}/u],
] as const

export type Script = (typeof scripts)[number][0]

const [unknown, none, common, other] = [255, 254, 253, 252]

/** Of each code unit the index of its script; `none` for what is no letter, `common` for Latin and Greek, `other` for the rest. */
const kinds = new Uint8Array(0x10000).fill(unknown)

function kindOf(code: number): number {
  const known = kinds[code] as number
  if (known !== unknown) return known
  const character = String.fromCharCode(code)
  const index = scripts.findIndex(([, pattern]) => pattern.test(character))
  const isLetter = /\p{L}/u.test(character)
  const isCommon = /[\p{Script=Latin}\p{Script=Greek}\p{Script=Common}\p{Script=Inherited}]/u.test(character)
  const found = !isLetter ? none : index >= 0 ? index : isCommon ? common : other
  kinds[code] = found
  return found
}

export interface ScriptCount {
  letters: number
  /** Letters of each script but Latin and Greek, those of rarer scripts as `other`. */
  scripts: Map<Script | 'other', number>
}

/** Counts the letters of a text by script. Takes time in proportion to the text's length. */
export function countScripts(text: string): ScriptCount {
  const counts = new Uint32Array(256)
  for (let i = 0; i < text.length; i++) {
    const kind = kindOf(text.charCodeAt(i))
    counts[kind] = (counts[kind] as number) + 1
  }
  const found = new Map<Script | 'other', number>()
  for (const [index, [name]] of scripts.entries()) {
    const count = counts[index] as number
    if (count > 0) found.set(name, count)
  }
  if ((counts[other] as number) > 0) found.set('other', counts[other] as number)
  const letters = [...found.values()].reduce((sum, count) => sum + count, counts[common] as number)
  return { letters, scripts: found }
}
