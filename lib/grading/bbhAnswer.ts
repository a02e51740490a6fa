import { boxesIn } from './boxed.js'
import { type Completion, withoutAnswer } from './completion.js'
import { lastLine, statedAnswers } from './statedAnswers.js'
import type { Verdict } from './verdict.js'

/** How an answer of BIG-Bench Hard is read and compared. */
export type BbhAnswerType = 'letter' | 'true-false' | 'yes-no' | 'validity' | 'integer' | 'brackets' | 'words'

/** Longer than any answer. */
const maxLength = 4000

export interface BbhGold {
  type: BbhAnswerType
  /** As the file has it. */
  target: string
  /** The question: options by their letters, or the brackets that are to be closed. */
  input: string
}

/** Grades what an answer states last: behind "the answer is", in a `\boxed{}`, or in its last line. */
export function gradeBbh(completion: Completion, gold: BbhGold): Verdict {
  if (!completion.closed || completion.answer.trim() === '') return withoutAnswer(completion)
  const { text, rule } = statedText(completion.answer)
  const extracted = text.length > maxLength ? undefined : canonicalBbh(text, gold)
  if (extracted === undefined)
    return { ...withoutAnswer(completion, `no ${gold.type} in ${JSON.stringify(text.slice(0, 80))}`), rule }
  const right = canonicalBbh(gold.target, gold) ?? gold.target
  return { status: extracted === right ? 'correct' : 'wrong', extracted, rule }
}

function statedText(answer: string): { text: string; rule: string } {
  const stated = statedAnswers(answer).at(-1)
  if (stated !== undefined) return { text: bare(boxesIn(stated).at(-1) ?? stated), rule: '"answer is"' }
  const box = boxesIn(answer).at(-1)
  return box === undefined
    ? { text: bare(lastLine(answer)), rule: 'last line' }
    : { text: bare(box), rule: 'last \\boxed{}' }
}

const bare = (text: string): string =>
  text
    .replace(/\\(?:text|textbf|mathrm)\b|\*\*|[`"“”$]/g, '')
    .trim()
    .replace(/^['‘\s]+/, '')
    .replace(/[\s.'’]+$/, '')

/** A form that right answers share; undefined for what is no answer of the type. */
export function canonicalBbh(text: string, { type, input, target }: BbhGold): string | undefined {
  switch (type) {
    case 'letter':
      return letterOf(text, input)
    case 'integer': {
      const digits = /(?<![\d.,])-?\d[\d,]*(?![\d.]*\d)/.exec(text.replaceAll('\u2212', '-'))?.[0].replaceAll(',', '')
      return digits === undefined ? undefined : String(BigInt(digits))
    }
    case 'brackets':
      return closingBrackets(text, input, target)
    case 'words': {
      const words = text
        .toLowerCase()
        .split(/[\s,;]+/)
        .filter((word) => word !== '')
      return words.length === 0 ? undefined : words.join(' ')
    }
    default:
      return wordOf(text, type)
  }
}

const choices: Record<'true-false' | 'yes-no' | 'validity', RegExp> = {
  'true-false': /\b(true|false)\b/gi,
  'yes-no': /\b(yes|no)\b/gi,
  validity: /\b(valid|invalid)\b/gi,
}

/** The only word of the two; where both stand, the answer says neither. */
function wordOf(text: string, type: keyof typeof choices): string | undefined {
  const found = new Set((text.match(choices[type]) ?? []).map((word) => word.toLowerCase()))
  return found.size === 1 ? [...found][0] : undefined
}

/** The letter in front, or that of the one option whose text it is. Some targets of the files are such texts. */
function letterOf(text: string, input: string): string | undefined {
  const letter = /^\s*\{?\(?([A-R])\)?(?![\p{L}\p{N}'’])/u.exec(text)?.[1] ?? /\(([A-R])\)/.exec(text)?.[1]
  if (letter !== undefined) return letter
  const wanted = comparable(text)
  const fitting = optionsOf(input).filter((option) => comparable(option.text) === wanted)
  return fitting.length === 1 ? fitting[0]?.letter : undefined
}

export const optionsOf = (input: string): { letter: string; text: string }[] =>
  [...input.matchAll(/^\(([A-R])\)[ \t]*([^\n]*)$/gm)].map(([, letter = '', text = '']) => ({ letter, text }))

const comparable = (text: string): string =>
  text
    .replace(/\s+/g, ' ')
    .replace(/^['"\s]+|['".\s]+$/g, '')
    .toLowerCase()

/** What closes the brackets; models that repeat the whole sequence have closed them, too. */
function closingBrackets(text: string, input: string, target: string): string | undefined {
  const only = (mixed: string) => mixed.replace(/[^[\](){}<>]/g, '')
  const [given, begun] = [only(text), only(input.slice(input.lastIndexOf('Input:') + 1))]
  if (given === '') return undefined
  return given === begun + only(target) ? only(target) : given
}
