import type { Completion } from './completion.js'
import type { Verdict } from './verdict.js'

/**
 * Grades the letter of an option as the code of the TinyR1 authors does: the last A, B, C or D that is a word of the whole text in
 * upper case, the article "a" among them.
 *
 * @param names - what each option is called in the verdict
 */
export function gradePaperChoice({ full }: Completion, right: number, names: readonly string[]): Verdict {
  const last = full
    .toUpperCase()
    .match(/(?<![\p{L}\p{N}_])[ABCD](?![\p{L}\p{N}_])/gu)
    ?.at(-1)
  const rule = 'last A, B, C or D of the text in upper case'
  if (last === undefined) return { status: 'no-answer', extracted: null, rule }
  const chosen = 'ABCD'.indexOf(last)
  const detail = `chose ${last}, right is ${'ABCD'[right]}`
  return { status: chosen === right ? 'correct' : 'wrong', extracted: names[chosen] ?? last, rule, detail }
}
