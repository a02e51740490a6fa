import { answerInThread } from '../../threads/answerInThread.js'
import type { Answer } from '../candidate.js'
import { completionOf, verifyMathAnswer } from './verdict.js'

/** An answer and the right one. */
export interface MathAnswer extends Pick<Answer, 'text' | 'closed' | 'finish'> {
  reference: string | undefined
}

answerInThread((answers: MathAnswer[]) =>
  answers.map((answer) => verifyMathAnswer(completionOf(answer), answer.reference)),
)
