import { checkChoice, checkOptionNames, invalidArgument } from '../../validate.js'
import { Budget, maximumExpressionLength, UnsupportedError } from './budget.js'
import { compareNodes } from './compare.js'
import { bare, type ExtractionProfile, extractMath } from './extract.js'
import { NotMathematics, parseMath } from './parse.js'
import { withQualifier } from './qualifiers.js'
import type { Node } from './syntax.js'
import { type CommaReading, tokenize } from './tokens.js'
import {
  fractionOfWords,
  normaliseWords,
  numberOfWords,
  readChoice,
  readChoices,
  roundNumberOfWords,
  sameTimes,
  sameWords,
  saysEmpty,
} from './words.js'

/** Whether an answer is equal to the gold answer. */
export interface MathVerdict {
  equal: boolean
  /** The rule that found it equal, or why it is not: `different`, `no answer`, `unsupported: …`. */
  rule: string
  /** True where the verifier cannot tell. Such answers never pass. */
  unsupported: boolean
}

export interface VerifyMathOptions {
  /** Where the answer is looked for in its text; `lenient` by default, which takes a bare expression as it is. */
  profile?: ExtractionProfile
}

/**
 * Compares two answers: LaTeX or plain text, without what stands around them. Linear in their length, within fixed budgets of
 * work, and never throws.
 */
export function compareMath(gold: string, answer: string): MathVerdict {
  if (Math.max(gold.length, answer.length) > maximumExpressionLength) {
    return gold.trim() === answer.trim()
      ? { equal: true, rule: 'same text', unsupported: false }
      : unsupported('an answer too long')
  }
  const [a, b] = [gold, answer].map((text) => withQualifier(withoutLead(balanced(bare(text))))) as [string, string]
  if (a === '' || b === '')
    return { equal: false, rule: b === '' ? 'no answer' : 'unsupported: no gold answer', unsupported: a === '' }
  if (squeezed(a) === squeezed(b)) return { equal: true, rule: 'same text', unsupported: false }
  if (((isOneWord(a) && isOneWord(b)) || (isPhrase(a) && isPhrase(b))) && sameWords(a, b)) return words
  const times = sameTimes(a, b)
  if (times !== undefined) return times ? words : different
  const verdict = compareReadings(numerals(a), numerals(b))
  return verdict.equal ? verdict : (compareChoices(a, b) ?? verdict)
}

/** Words in letters, of which the longest is no name of two or three variables. */
const isOneWord = (text: string): boolean => /^[A-Za-z -]{4,60}$|^(?:yes|no)$/.test(normaliseWords(text))

/** Words among numbers, such as a date: no brackets, whose kind would count. */
const isPhrase = (text: string): boolean =>
  plainWords(text) && !/[()[\]^_=|<>]|\\[{}]/.test(text) && /[a-z]{4}/i.test(normaliseWords(text))

/** A text with a brace too many at its end, without it; `\{1,2}` closes as it opens. */
function balanced(text: string): string {
  if (!text.endsWith('}') || text.endsWith('\\}')) return text
  let [level, escaped] = [0, 0]
  for (const [mark] of text.slice(0, -1).matchAll(/\\.|[{}]/gs)) {
    if (mark === '\\{') escaped++
    else if (mark === '\\}') escaped--
    else if (mark === '{') level++
    else if (mark === '}') level--
    if (level < 0) return text
  }
  if (level !== 0) return text
  return escaped === 1 ? `${text.slice(0, -1)}\\}` : text.slice(0, -1)
}

/** `\text{The answer is } 42`, `\text{Minimum: } 42` and `\min = 42`: what leads to the answer is left out. */
const withoutLead = (text: string): string =>
  text.replace(
    /^(?:\\text\s*\{\s*(?:[A-Za-z]{2,}[\s,]+){0,6}(?:(?:answer|is|are|equals)\s*[:=]?|[A-Za-z]{2,}\s*:)\s*\}|\\(?:min|max)\s*=)\s*(?=\S)/i,
    '',
  )

/** A number in words as digits. */
function numerals(text: string): string {
  if (text.length > 60) return text
  const words = normaliseWords(text)
  return `${numberOfWords(words.replace(/ (?=\w+$)/, '-')) ?? fractionOfWords(words) ?? roundNumberOfWords(words) ?? text}`
}

/** The text without white space and what only sets it. */
function squeezed(text: string): string {
  return text.replace(/\\left(?![a-z])|\\right(?![a-z])|\\!|\\displaystyle/g, '').replace(/\\?\s+/g, ' ')
}

type Reading = { node: Node } | { words: true } | { unsupported: string }

function read(text: string, commas: CommaReading): Reading {
  try {
    return { node: parseMath(text, commas) }
  } catch (error) {
    if (error instanceof UnsupportedError) return { unsupported: error.message }
    if (error instanceof NotMathematics && saysEmpty(text)) return { node: { kind: 'text', text } }
    if (error instanceof NotMathematics) return looksLikeWords(text) ? { words: true } : { unsupported: error.message }
    throw error
  }
}

/** Words, dates, names: nothing that would be calculated. */
function looksLikeWords(text: string): boolean {
  return !/\\(?!text|mathrm|mathbf|textbf|quad|\W)|[=^_]/.test(text) && /[A-Za-z]{2}/.test(text)
}

const different: MathVerdict = { equal: false, rule: 'different', unsupported: false }
const unsupported = (why: string): MathVerdict => ({ equal: false, rule: `unsupported: ${why}`, unsupported: true })

function compareReadings(gold: string, answer: string): MathVerdict {
  const first = compareOne(gold, answer, 'thousands', 'thousands')
  if (first.equal || !/\d,\d/.test(gold + answer)) return first
  // A comma between digits has several meanings; the other answer says which is meant.
  const readings: [CommaReading, CommaReading][] = []
  if (isPlainList(answer)) readings.push(['list', 'thousands'])
  if (isPlainList(gold)) readings.push(['thousands', 'list'])
  if (/^-?0,\d+$|^-?\d+,(?:\d{2}|\d{4,})$/.test(gold)) readings.push(['decimal', 'thousands'])
  if (/^-?0,\d+$/.test(answer) || (/^-?\d+,(?:\d{1,2}|\d{4,})$/.test(answer) && isDecimal(gold)))
    readings.push(['thousands', 'decimal'])
  return readings.map(([a, b]) => compareOne(gold, answer, a, b)).find(({ equal }) => equal) ?? first
}

const isPlainList = (text: string): boolean => /\d\s*,\s+-?\d|;|\\\{/.test(text)
const isDecimal = (text: string): boolean => /^-?\d*\.\d+$/.test(text)

function compareOne(gold: string, answer: string, goldCommas: CommaReading, answerCommas: CommaReading): MathVerdict {
  const [a, b] = [read(gold, goldCommas), read(answer, answerCommas)]
  if ('unsupported' in a)
    return (sameWords(gold, answer) && plainWords(gold)) || sameTokens(gold, answer)
      ? { ...words, rule: 'same text' }
      : unsupported(`${a.unsupported} in the gold answer`)
  if ('unsupported' in b) return unsupported(`${b.unsupported} in the answer`)
  if ('words' in a || 'words' in b) return sameWords(gold, answer) ? words : different
  try {
    const rule = compareNodes(a.node, b.node, new Budget())
    return rule === undefined ? different : { equal: true, rule, unsupported: false }
  } catch (error) {
    if (error instanceof UnsupportedError) return unsupported(error.message)
    throw error
  }
}

/** Whether two texts that cannot be compared are written alike: spaces, sizes and braces around one sign do not matter. */
function sameTokens(a: string, b: string): boolean {
  const [x, y] = [spelling(a), spelling(b)]
  return x !== undefined && x === y
}

/** The tokens of a text, without braces around one of them; undefined where it is beyond a limit. */
function spelling(text: string): string | undefined {
  try {
    const tokens = tokenize(text)
    const isBrace = (value: string, at: number) => tokens[at]?.kind === 'symbol' && tokens[at]?.value === value
    return tokens
      .filter((_, i) => !(isBrace('{', i) && isBrace('}', i + 2)) && !(isBrace('}', i) && isBrace('{', i - 2)))
      .map(({ value }) => value)
      .join(' ')
  } catch (error) {
    if (error instanceof UnsupportedError) return undefined
    throw error
  }
}

const words: MathVerdict = { equal: true, rule: 'words', unsupported: false }
const plainWords = (text: string): boolean => !/\\(?!text|mathrm|mathbf|textbf|quad|\W)/.test(text)

/** A choice by its letter, whatever is written beside it. */
function compareChoices(gold: string, answer: string): MathVerdict | undefined {
  const [first, second] = [readChoices(gold), readChoices(answer)]
  if (first !== undefined && first === second) return { equal: true, rule: 'choices', unsupported: false }
  const [a, b] = [readChoice(gold), readChoice(answer)]
  if (!a && !b) return undefined
  if (a && b)
    return a.letter === b.letter && (a.rest === '' || b.rest === '')
      ? { equal: true, rule: 'choice', unsupported: false }
      : undefined
  // The gold answer names a choice and its value; the answer only the value.
  const [choice, value] = a ? [a, answer] : [b, gold]
  if (!choice || choice.rest === '') return undefined
  const verdict = a ? compareReadings(choice.rest, value) : compareReadings(value, choice.rest)
  return verdict.equal ? { ...verdict, rule: `choice, ${verdict.rule}` } : undefined
}

/**
 * Whether an answer is mathematically equal to the gold answer. Both may be bare expressions in LaTeX or plain text, or texts that
 * give their answer in a `\boxed{}` or after "final answer is".
 *
 * @param gold The right answer: an expression, or a worked solution that ends in a box
 * @param answer A completion, or an expression
 * @throws ERR_INVALID_ARGUMENT for what is no text; never for a text
 */
// biome-ignore lint/suspicious/useAwait: what it refuses is a rejection, as everywhere in the API
export async function verifyMath(gold: string, answer: string, options: VerifyMathOptions = {}): Promise<MathVerdict> {
  const profile = checkArguments(gold, answer, options)
  const [right, given] = [extractMath(gold, 'lenient'), extractMath(answer, profile)]
  if (given.text === null) return { equal: false, rule: 'no answer', unsupported: false }
  if (right.text === null) return unsupported('no gold answer')
  return compareMath(right.text, given.text)
}

function checkArguments(gold: unknown, answer: unknown, options: VerifyMathOptions): 'strict' | 'lenient' {
  if (typeof gold !== 'string') throw invalidArgument('a text', 'gold', gold)
  if (typeof answer !== 'string') throw invalidArgument('a text', 'answer', answer)
  checkOptionNames(options as unknown, ['profile'])
  return checkChoice(options.profile ?? 'lenient', 'profile', ['strict', 'lenient'])
}
