/** Words that end with a full stop without ending a sentence. */
const abbreviations = new Set(
  (
    'mr mrs ms messrs dr prof st jr sr inc ltd co corp bros vs gen col sen rep gov lt sgt capt maj cmdr rev hon pres sec ' +
    'jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat e.g i.e a.m p.m u.s u.k u.n d.c ph.d m.d b.a m.a ' +
    'a.d b.c cf al approx dept est fig no vol pp ed eds ave blvd rd mt ft'
  ).split(' '),
)

/** Capitalised words that begin a sentence more often than they stand in one: an abbreviation before them ends one. */
const starters = new Set(
  (
    'the this that these those he she it they we you i his her its their our my in on at for from with by as if when while after ' +
    'before since because although however but and so then there here what who where why how an a no yes not many some most ' +
    'each one to'
  ).split(' '),
)

/** What may stand between the end of a sentence and the space behind it; the second group belongs to the sentence that ended. */
const afterEnd = /[)";}\]*:@'({[!?]/
const closing = /["')\]}]*/y

/**
 * Sentences of an English text, by the rules of NLTK's Punkt with a list in place of what it learnt: a word with `.`, `?` or `!`
 * ends one where white space or punctuation follows. A line break alone ends none.
 */
export function countSentences(text: string): number {
  const words = [...text.matchAll(/\S+/g)]
  let count = 0
  // Whether there is text since the last end.
  let isOpen = false
  for (const [i, { 0: word }] of words.entries()) {
    const next = words[i + 1]?.[0]
    const end = endIn(word, next !== undefined)
    isOpen = true
    if (end === undefined || !endsSentence(word.slice(0, end), word.slice(end), next)) continue
    closing.lastIndex = end
    const closed = closing.exec(word)?.[0].length ?? 0
    const rest = end + closed === word.length ? '' : word.slice(end)
    count++
    isOpen = rest !== ''
  }
  return isOpen ? count + 1 : count
}

/** Where the last possible end of a sentence in a word is; undefined where there is none. */
function endIn(word: string, isFollowed: boolean): number | undefined {
  for (let i = word.length - 1; i >= 0; i--) {
    if (!/[.?!]/.test(word[i] as string)) continue
    const after = word[i + 1]
    if (after === undefined ? isFollowed : afterEnd.test(after)) return i + 1
  }
  return undefined
}

function endsSentence(word: string, rest: string, nextWord: string | undefined): boolean {
  if (!word.endsWith('.')) return true
  const bare = word.replace(/^[^\p{L}\p{N}.]+/u, '')
  const next = (rest.replace(/^[^\p{L}\p{N}]+/u, '') || nextWord || '').replace(/^[^\p{L}\p{N}]+/u, '')
  const nextBegins = /^\p{Lu}/u.test(next) && starters.has(next.toLowerCase().replace(/[^\p{L}\p{N}].*$/su, ''))
  if (/\.\.$/.test(bare)) return nextBegins
  const stem = bare.slice(0, -1).toLowerCase()
  if (/^\p{L}$/u.test(stem)) return false
  if (abbreviations.has(stem) || abbreviations.has(stem.slice(stem.lastIndexOf('-') + 1))) return nextBegins
  if (/^[\d.,]*\d$/.test(stem)) return !/^\p{Ll}/u.test(next)
  return true
}
