import { boxesIn } from './boxed.js'
import { type Completion, withoutAnswer } from './completion.js'
import { lastLine, statedAnswers } from './statedAnswers.js'
import type { Verdict } from './verdict.js'

export interface Choices {
  /** Letters of the options, in the order in which the prompt shows them. */
  letters: string
  /** Texts of the options, in the same order, where they are known. */
  texts?: readonly string[] | undefined
  /** What an option is called in a verdict, in the same order, where letters mean another option in each trial; else its letter. */
  names?: readonly string[] | undefined
  /** Position of the right one. */
  right: number
}

/**
 * Grades the letter of an option. "A" is a letter only where it stands for one: English articles are not in the places that are
 * looked at, and no text is put into upper case.
 */
export function gradeChoice(completion: Completion, choices: Choices): Verdict {
  const found = completion.closed ? findChoice(completion.answer, choices) : undefined
  if (!found) return withoutAnswer(completion)
  const { index, rule } = found
  const extracted = choices.names?.[index] ?? (choices.letters[index] as string)
  const detail = `chose ${choices.letters[index]}, right is ${choices.letters[choices.right]}`
  return { status: index === choices.right ? 'correct' : 'wrong', extracted, rule, detail }
}

export interface FoundChoice {
  index: number
  rule: string
}

export function findChoice(
  answer: string,
  { letters, texts }: Pick<Choices, 'letters' | 'texts'>,
): FoundChoice | undefined {
  const boxes = boxesIn(answer)
  const stated = statedAnswers(answer)
  const last = lastLine(answer)
  const lettered: [rule: string, candidates: string[], reads: (text: string) => string | undefined][] = [
    ['\\boxed{} with a letter', boxes, (text) => onlyLetter(text) ?? markedLetter(text)],
    ['"answer is" with a letter', stated, leadingLetter],
    ['last line with only a letter', [last], onlyLetter],
  ]
  for (const [rule, candidates, reads] of lettered) {
    const letter = candidates.map(reads).findLast((found) => found !== undefined && letters.includes(found))
    if (letter !== undefined) return { index: letters.indexOf(letter), rule }
  }
  const worded: [rule: string, text: string | undefined][] = [
    ["\\boxed{} with an option's text", boxes.at(-1)],
    ['"answer is" with an option\'s text', stated.at(-1)],
    ["last line with an option's text", last],
  ]
  for (const [rule, text] of worded) {
    const index = text === undefined ? -1 : optionWithText(text, texts ?? [])
    if (index >= 0) return { index, rule }
  }
  return undefined
}

/** The letter that is all of a text: `C`, `(C)`, `C)`, `**C.**`, `\text{C}`. */
function onlyLetter(text: string): string | undefined {
  if (text.length > 80) return undefined
  const bare = text.replace(
    /\\(?:text|textbf|textrm|mathrm|mathbf|mathsf|boldsymbol)\b|\\[()[\]!,; ]|[{}$*_`"'()[\].:\s]/g,
    '',
  )
  const letter = bare.replace(/^(?:option|choice|answer)/i, '')
  return /^[A-Z]$/.test(letter) ? letter : undefined
}

/** The letter before an option's text: `C) …`, `(C) …`, `C. …`. */
const markedLetter = (text: string): string | undefined =>
  /^\(?([A-Z])[).:]/.exec(text.slice(0, 40).replace(/\\(?:text|textbf|mathrm)\b|[{}$*\s]/g, ''))?.[1]

/** The letter with which a statement begins: `C`, `(C) because …`, `**C**`, `option C`. */
function leadingLetter(text: string): string | undefined {
  const bare = text.slice(0, 80).replace(/\\(?:text|textbf|textrm|mathrm|mathbf|boxed)\b|\\[()[\]]|[{}$*_`"'([]/g, '')
  return /^\s*(?:[Oo]ption |[Cc]hoice )?\s*([A-Z])(?![\p{L}\p{N}_])/u.exec(bare)?.[1]
}

/** Where exactly one option has a text. */
function optionWithText(text: string, texts: readonly string[]): number {
  const wanted = comparable(text)
  if (wanted === '') return -1
  const found = texts.flatMap((option, index) => (comparable(option) === wanted ? [index] : []))
  return found.length === 1 ? (found[0] as number) : -1
}

const comparable = (text: string): string =>
  text
    .replace(/\\text\{([^{}]*)\}/g, '$1')
    .replace(/\*\*|\$|\\[()]/g, '')
    .replace(/\s+/g, ' ')
    .trim()
    .replace(/\.$/, '')
    .toLowerCase()
