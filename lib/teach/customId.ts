import type { Schedule, TeachingTask } from './schedule.js'
import type { TeachingQuestion } from './teachingQuestions.js'

/** Digits of a key, so that an id has no more than 64 characters: enough that no two answers share them. */
const digits = 48

/** By what a request and its answer find each other: the attempt, and the beginning of the key. */
export const customIdOf = ({ attempt, key }: TeachingTask): string => `${attempt}-${key.slice(0, digits)}`

/** Finds tasks by their ids. Computes the keys of an attempt when an id of it is asked for. */
export class CustomIds {
  private readonly byAttempt = new Map<number, Map<string, TeachingQuestion>>()

  constructor(
    private readonly questions: readonly TeachingQuestion[],
    /** Attempts at a question at most. */
    private readonly attempts: number,
    private readonly schedule: Schedule,
  ) {}

  find(customId: string): TeachingTask | undefined {
    const attempt = Number(/^(\d{1,6})-[0-9a-f]+$/.exec(customId)?.[1] ?? Number.NaN)
    if (!(attempt < this.attempts)) return undefined
    let known = this.byAttempt.get(attempt)
    if (!known) {
      known = new Map(this.questions.map((each) => [customIdOf(this.schedule.task(each, attempt)), each]))
      this.byAttempt.set(attempt, known)
    }
    const question = known.get(customId)
    return question && this.schedule.task(question, attempt)
  }
}
