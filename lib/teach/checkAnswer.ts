import { unusableCharacters } from '../data/parseJson.js'
import { type Completion, splitCompletion } from '../grading/completion.js'
import type { GradeContext } from '../questions/question.js'
import type { Decision, RejectionReason, TaughtAnswer } from './records.js'
import type { TeachingQuestion } from './teachingQuestions.js'

/** Of all checks beside the question's own: changes when any of them does. */
const checksVersion = 'answers@1'

/** By which checks the answers to a question are judged. */
export const checksOf = ({ checks }: Pick<TeachingQuestion, 'checks'>): string => `${checksVersion} ${checks}`

/** What becomes of an answer, and what was taken as the answer in it. */
export async function checkAnswer(
  answer: TaughtAnswer,
  { grade }: Pick<TeachingQuestion, 'grade'>,
  context: GradeContext,
): Promise<Decision & { extracted: string | null }> {
  const completion = splitCompletion(answer)
  const formal = formalDecision(answer, completion)
  if (formal) return { ...formal, extracted: null }
  if (!grade) return { decision: 'accepted', verdict: 'unchecked', extracted: null }
  const { status, extracted, rule, detail } = await grade(completion, context)
  if (status === 'correct') return { decision: 'accepted', verdict: 'correct', extracted }
  if (status === 'truncated') return { decision: 'truncated', extracted }
  const reasons = { wrong: 'wrong-answer', 'no-answer': 'no-answer', unsupported: 'unverifiable' } as const
  const words = [extracted === null ? undefined : `${extracted} by ${rule}`, detail].filter(
    (each) => each !== undefined,
  )
  return { ...rejected(reasons[status], words.join(': ') || rule), extracted }
}

/** What the form of an answer decides; undefined where it is whole. */
function formalDecision({ finish }: TaughtAnswer, completion: Completion): Decision | undefined {
  const { reasoning, answer, closed, full } = completion
  if (completion.truncated) return { decision: 'truncated' }
  if (finish !== 'stop') return rejected('finish-reason', finish)
  if (!closed) return rejected('reasoning-not-closed', 'the answer ends within its reasoning')
  if (answer.trim() === '') return rejected('empty-answer', reasoning === '' ? 'no text' : 'reasoning alone')
  if (/<\/?think>/.test(reasoning) || /<\/?think>/.test(answer)) {
    return rejected('tags-in-reasoning', 'a tag of reasoning stands within the reasoning or the answer')
  }
  if (unusableCharacters.test(full))
    return rejected('unusable-characters', 'half of a surrogate pair, U+FDD0 or U+FDD1')
  return undefined
}

const rejected = (reason: RejectionReason, detail: string): Decision => ({ decision: 'rejected', reason, detail })
