import type { GradeContext } from './benchmarks/benchmark.js'
import type { AnswerRecord, GradeRecord } from './store/records.js'
import type { Task } from './tasks.js'

/** Answers whose grading is under way; more wait, and their askers with them. */
const mostWaiting = 256

/** Grades answers as they come, beside the asking. */
export class GradeQueue {
  private readonly waiting = new Set<Promise<void>>()
  private failure: unknown

  constructor(
    private readonly grade: (
      answer: AnswerRecord,
      task: Pick<Task, 'benchmark' | 'question' | 'trial'>,
    ) => Promise<void>,
  ) {}

  add(answer: AnswerRecord, task: Pick<Task, 'benchmark' | 'question' | 'trial'>): void {
    const one: Promise<void> = this.grade(answer, task)
      .catch((error) => {
        this.failure ??= error
      })
      .finally(() => this.waiting.delete(one))
    this.waiting.add(one)
  }

  /** Resolves when another answer may come. Throws what a grading threw. */
  async ready(): Promise<void> {
    while (this.waiting.size >= mostWaiting) await Promise.race(this.waiting)
    if (this.failure !== undefined) throw this.failure
  }

  async finish(): Promise<void> {
    await Promise.all(this.waiting)
    if (this.failure !== undefined) throw this.failure
  }
}

/** The grade of an answer as it is stored. */
export async function gradeRecord(
  answer: AnswerRecord,
  { benchmark, question, trial }: Pick<Task, 'benchmark' | 'question' | 'trial'>,
  completion: Parameters<Task['question']['grade']>[0],
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
