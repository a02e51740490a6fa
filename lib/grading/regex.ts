import { type Completion, withoutAnswer } from './completion.js'
import { matchesWithin } from './matchWithin.js'
import type { Verdict } from './verdict.js'

/** Patterns get as much of an answer: a backtracking one needs time that grows with its square. */
const maxLength = 2 ** 18

/**
 * Grades by a pattern. With `gold`, what the pattern finds last (its first group, where it has one) has to be that text; without it,
 * an answer in which the pattern finds anything is right.
 *
 * @param pattern - with the flag g
 */
export function gradeRegex(completion: Completion, pattern: RegExp, gold: string | undefined): Verdict {
  const { answer, closed } = completion
  if (!closed || answer.trim() === '') return withoutAnswer(completion)
  const rule = `pattern ${pattern.source}`
  if (answer.length > maxLength) {
    const detail = `the answer has ${answer.length} characters, patterns take ${maxLength}`
    return { status: 'unsupported', extracted: null, rule, detail }
  }
  const found = matchesWithin(answer, pattern)
  if (found === undefined) return { status: 'unsupported', extracted: null, rule, detail: 'the pattern takes too long' }
  const last = found.at(-1)?.trim()
  if (last === undefined) {
    const isWrong = gold === undefined && !completion.truncated
    return isWrong
      ? { status: 'wrong', extracted: null, rule, detail: 'the pattern finds nothing' }
      : { ...withoutAnswer(completion, 'the pattern finds nothing'), rule }
  }
  return { status: gold === undefined || last === gold.trim() ? 'correct' : 'wrong', extracted: last, rule }
}
