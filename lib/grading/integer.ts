import { boxesIn } from './boxed.js'
import { type Completion, withoutAnswer } from './completion.js'
import { exactValue } from './math/exactValue.js'
import { statedAnswers } from './statedAnswers.js'
import type { Verdict } from './verdict.js'

/** No answer that is meant as an integer is longer. */
const maxLength = 1000

export interface IntegerRules {
  /** Least and greatest value that an answer may have at all. */
  range?: readonly [least: bigint, most: bigint]
  /** Only `\boxed{}` and "the final answer is" state an answer; otherwise "the answer is" and a bare number do, too. */
  strict?: boolean
}

/** Grades an integer answer by its value: 025 is 25. */
export function gradeInteger(completion: Completion, gold: bigint, rules: IntegerRules = {}): Verdict {
  const found = completion.closed ? findInteger(completion.answer, rules.strict ?? false) : undefined
  if (!found) return withoutAnswer(completion)
  const value = readInteger(found.text)
  if (value === undefined) {
    const detail = `${JSON.stringify(found.text.slice(0, 80))} is no integer`
    return { status: 'wrong', extracted: found.text.trim().slice(0, maxLength), rule: found.rule, detail }
  }
  const [least, most] = rules.range ?? [value, value]
  const extracted = String(value)
  if (value < least || value > most) {
    return { status: 'wrong', extracted, rule: found.rule, detail: `${value} is not from ${least} to ${most}` }
  }
  return { status: value === gold ? 'correct' : 'wrong', extracted, rule: found.rule }
}

interface Found {
  text: string
  rule: string
}

function findInteger(answer: string, strict: boolean): Found | undefined {
  const box = boxesIn(answer).at(-1)
  if (box !== undefined) return { text: box, rule: 'last \\boxed{}' }
  const final = statedAnswers(answer, 'final ').at(-1)
  if (final !== undefined) return { text: statedValue(final), rule: '"final answer is"' }
  if (strict) return undefined
  const stated = statedAnswers(answer).at(-1)
  if (stated !== undefined) return { text: statedValue(stated), rule: '"answer is"' }
  return readInteger(answer) === undefined ? undefined : { text: answer, rule: 'whole answer' }
}

/** What is stated at the beginning of a line: a formula where it begins with one, otherwise what stands before the sentence ends. */
function statedValue(line: string): string {
  const formula = /^(?:\$\$([^$]+)\$\$|\$([^$]+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\])/.exec(line)
  if (formula) return formula.slice(1).find((part) => part !== undefined) ?? ''
  return line.split(/[.!?](?:[\s*]|$)/, 1)[0] ?? ''
}

/**
 * The integer that a text is, in the ways in which answers write one: with digits in groups, in a formula, behind `N =`, with a
 * unit or a full stop, or as a formula with that value. Undefined where it is anything else.
 */
export function readInteger(text: string): bigint | undefined {
  if (text.length > maxLength) return undefined
  const plain = afterEquals(withoutLatex(text))
    .replace(/^\{([^{}]*)\}$/, '$1')
    .trim()
  const [, sign, digits] = number.exec(plain) ?? []
  if (digits !== undefined) return BigInt(`${sign === '-' ? '-' : ''}${digits.replace(/[, ]/g, '')}`)
  // A formula is one by its exact value. What a list or words could be is left to nobody.
  const value = /[\\^/*+!]/.test(plain) && !/[,;=]/.test(plain) ? exactValue(plain) : undefined
  return value !== undefined && /^-?\d+$/.test(value) ? BigInt(value) : undefined
}

/** A word behind the digits is a unit; a letter that touches them is a variable. */
const number =
  /^([+-]?) ?(\d{1,3}(?:,\d{3})+|\d{1,3}(?: \d{3})+|\d+)(?:\.0+)?(?: [a-zA-Z]{2,}(?: ?\^ ?\{?\d\}?)?){0,3} ?\.?$/

function withoutLatex(text: string): string {
  return text
    .replace(/\\(?:text|textbf|textrm|mathrm|mathbf|boldsymbol|mbox)\s*\{([^{}]*)\}/g, ' $1 ')
    .replace(/\{,\}/g, ',')
    .replace(/\\[,!;: ]|~|\\q?quad\b/g, ' ')
    .replace(/\^\s*(?:\\circ|\{\s*\\circ\s*\})|°|\\degree\b/g, '')
    .replace(/\\[()[\]]|\\?\$|\*\*|[`€£]/g, '')
    .replace(/\u2212/g, '-')
    .replace(/\s+/g, ' ')
    .trim()
}

/** `m + n = 204` is 204; in `x = 5, y = 6` nothing is. */
function afterEquals(text: string): string {
  const [left, right] = [text.slice(0, text.lastIndexOf('=')), text.slice(text.lastIndexOf('=') + 1)]
  return text.includes('=') && !/[,;<>]/.test(left) ? right.trim() : text
}
