import type { Answer, Candidate } from './candidate.js'
import type { Outcome, Rejection } from './step.js'

/**
 * A row with the answers that may stay, or why it is taken out where none may: for the reason of its first answer.
 *
 * @param rejections - of each answer why it may not stay, or undefined
 */
export function withAnswersLeft(candidate: Candidate, rejections: readonly (Rejection | undefined)[]): Outcome {
  const answers: Answer[] = candidate.answers.filter((_, i) => rejections[i] === undefined)
  if (answers.length === candidate.answers.length) return { kept: candidate }
  if (answers.length > 0) return { kept: { ...candidate, answers } }
  const { reason, detail } = rejections[0] as Rejection
  if (candidate.answers.length === 1) return { rejected: { reason, detail } }
  const each = rejections.map(
    (rejection, i) => `answer ${candidate.answers[i]?.index}: ${inWords(rejection as Rejection)}`,
  )
  return { rejected: { reason, detail: each.join('; ') } }
}

const inWords = ({ reason, detail }: Rejection): string => (detail === '' ? reason : `${reason}, ${detail}`)
