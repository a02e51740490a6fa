import { boxesIn } from './boxed.js'
import { type Completion, withoutAnswer } from './completion.js'
import { lastLine, statedAnswers } from './statedAnswers.js'
import type { Verdict } from './verdict.js'

/**
 * Grades an answer that has to be a text, character by character: the whole answer, or else what it states last, in a `\boxed{}`,
 * behind "answer is" or in its last line. White space around it does not count, nor do emphasis, quotation marks and a full stop
 * that the right answer has not.
 */
export function gradeExact(completion: Completion, gold: string): Verdict {
  const answer = completion.answer.trim()
  const right = gold.trim()
  if (!completion.closed || answer === '') return withoutAnswer(completion)
  if (answer === right) return { status: 'correct', extracted: right, rule: 'whole answer' }
  const { text, rule } = statedText(answer)
  const bare = undecorated(text)
  const isRight = text === right || bare === right
  return { status: isRight ? 'correct' : 'wrong', extracted: isRight ? right : bare, rule }
}

function statedText(answer: string): { text: string; rule: string } {
  const box = boxesIn(answer).at(-1)
  if (box !== undefined) return { text: box.trim(), rule: 'last \\boxed{}' }
  const stated = statedAnswers(answer).at(-1)
  if (stated !== undefined) return { text: stated, rule: '"answer is"' }
  return answer.includes('\n') ? { text: lastLine(answer), rule: 'last line' } : { text: answer, rule: 'whole answer' }
}

const undecorated = (text: string): string => text.replace(/^[\s*_`"'“”‘’$]+/, '').replace(/[\s*_`"'“”‘’$.]+$/, '')
