import type { Generation } from '../engines/generation.js'
import type { Verdict } from './verdict.js'

/** An answer, taken apart for grading. */
export interface Completion {
  reasoning: string
  /** What stands after the reasoning; empty where the reasoning was never closed. */
  answer: string
  /** Both, as the model wrote them, joined by `</think>` where the server separated them. */
  full: string
  /** False where the reasoning never ended. */
  closed: boolean
  /** True where the limit of tokens ended it. */
  truncated: boolean
}

const [open, close] = ['<think>', '</think>']

/**
 * Tells the reasoning of an answer from what it says in the end. The last `</think>` divides them: models quote the tag while they
 * think. Takes time in proportion to the text's length.
 */
export function splitCompletion(
  generation: Pick<Generation, 'text' | 'reasoning' | 'thinkOpened' | 'finish'>,
): Completion {
  const { text, reasoning, thinkOpened, finish } = generation
  const truncated = finish === 'length'
  const end = text.lastIndexOf(close)
  // Some servers send an empty reasoning with every answer, and the tags in the text.
  const isSeparated = reasoning !== null && (reasoning !== '' || (end < 0 && !text.includes(open)))
  if (isSeparated) {
    const closed = text !== ''
    const full = closed && reasoning !== '' ? `${reasoning}${close}${text}` : reasoning || text
    return { reasoning, answer: text, full, closed, truncated }
  }
  const begin = beginOfReasoning(text)
  if (end >= 0) {
    const answer = text.slice(end + close.length)
    return { reasoning: text.slice(begin, end), answer, full: text, closed: true, truncated }
  }
  if (text.includes(open) || (thinkOpened && truncated)) {
    return { reasoning: text.slice(begin), answer: '', full: text, closed: false, truncated }
  }
  return { reasoning: '', answer: text, full: text, closed: true, truncated }
}

function beginOfReasoning(text: string): number {
  const begin = text.length - text.trimStart().length
  return text.startsWith(open, begin) ? begin + open.length : 0
}

/** The verdict on an answer that holds none: `truncated` where the limit of tokens is the reason. */
export function withoutAnswer({ closed, truncated }: Completion, detail?: string): Verdict {
  const rule = closed ? 'no answer found' : 'reasoning not closed'
  return { status: truncated ? 'truncated' : 'no-answer', extracted: null, rule, ...(detail && { detail }) }
}
