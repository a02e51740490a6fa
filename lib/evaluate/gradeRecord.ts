import type { GradeContext, Question } from '../questions/question.js'
import type { AnswerRecord, GradeRecord } from './store/records.js'
import type { Task } from './tasks.js'

/** The grade of an answer as it is stored. */
export async function gradeRecord(
  answer: AnswerRecord,
  { benchmark, question, trial }: Pick<Task, 'benchmark' | 'question' | 'trial'>,
  completion: Parameters<Question['grade']>[0],
  context: GradeContext,
): Promise<GradeRecord> {
  const verdict = await question.grade(completion, context)
  const { key, asking, model, tokens } = answer
  return {
    v: 1,
    key,
    asking,
    model,
    benchmark: benchmark.name,
    question: question.id,
    trial,
    version: benchmark.version,
    labels: question.labels,
    reference: question.reference,
    ...verdict,
    tokens: tokens.completion,
    truncated: completion.truncated,
  }
}
