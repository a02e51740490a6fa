import type { Schedule } from './schedule.js'
import type { TeachingQuestion } from './teachingQuestions.js'

/** Digits of a key, so that an id has no more than 64 characters: enough that no two answers share them. */
const digits = 48

/** By what a request and its answer find each other: the attempt, and the beginning of the key. */
export const customIdOf = ({ attempt, key }: { attempt: number; key: string }): string =>
  `${attempt}-${key.slice(0, digits)}`

/** Finds attempts at questions by their ids. Computes the keys of an attempt when an id of it is asked for. */
export class CustomIds {
  private readonly byAttempt = new Map<number, Map<string, TeachingQuestion>>()

  constructor(
    private readonly questions: readonly TeachingQuestion[],
    /** Attempts at a question at most. */
    private readonly attempts: number,
    private readonly schedule: Schedule,
  ) {}

  find(customId: string): { question: TeachingQuestion; attempt: number } | undefined {
    const attempt = Number(/^(\d{1,6})-[0-9a-f]+$/.exec(customId)?.[1] ?? Number.NaN)
    if (!(attempt < this.attempts)) return undefined
    let known = this.byAttempt.get(attempt)
    if (!known) {
      known = new Map(
        this.questions.map((each) => [customIdOf({ attempt, key: this.schedule.key(each, attempt) }), each]),
      )
      this.byAttempt.set(attempt, known)
    }
    const question = known.get(customId)
    return question && { question, attempt }
  }
}
