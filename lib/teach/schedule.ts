import type { AskedTask, TaskSource } from '../asking/ask.js'
import { digest, seedOf } from '../asking/keys.js'
import type { Asking } from './records.js'
import type { Quota } from './resolveTeaching.js'
import type { TeachingQuestion } from './teachingQuestions.js'
import type { TeachingStore } from './teachingStore.js'

/** The price of the teacher goes by this name. */
export const teacherName = 'teacher'

/** One answer that is wanted. */
export interface TeachingTask extends AskedTask {
  question: TeachingQuestion
  /** From 0. */
  attempt: number
}

interface Course {
  /** The next attempt. */
  cursor: number
  /** Answers that were accepted, or may be. */
  hopeful: number
  open: number
  failed: boolean
}

/**
 * Which answers are asked for: all attempts, or so many that what is accepted or may be is as much as is wanted. Which ones these
 * are depends on the answers alone, not on the order in which they come: an attempt is needed if too few of those before it were
 * accepted.
 */
export class Schedule implements TaskSource<TeachingTask> {
  /** Questions of which nothing is to come any more. */
  settled = 0
  /** Those among them of which nothing was asked. */
  settledBefore = 0
  private readonly root: string
  /** Keys by attempt, as far as they were asked for. */
  private readonly keys = new Map<TeachingQuestion, string[]>()
  private readonly courses = new Map<TeachingQuestion, Course>()
  private readonly ready: TeachingTask[] = []
  private at = 0
  private wake: (() => void) | undefined

  constructor(
    private readonly questions: readonly TeachingQuestion[],
    private readonly quota: Quota,
    private readonly asking: Asking,
    private readonly store: Pick<TeachingStore, 'answered' | 'checked'>,
  ) {
    this.root = digest({ v: 1, ...asking }).slice(0, 16)
  }

  /** The task that asks for an attempt. */
  task(question: TeachingQuestion, attempt: number): TeachingTask {
    const { seed } = this.asking
    const prompt = question.prompt(attempt, seed)
    const requestSeed = seedOf({ seed, teaching: question.id, attempt })
    return { model: teacherName, question, attempt, prompt, requestSeed, key: this.key(question, attempt) }
  }

  /** The key of an attempt, over everything that determines the answer. */
  key(question: TeachingQuestion, attempt: number): string {
    const known = this.keys.get(question) ?? []
    const prompt = () => question.prompt(attempt, this.asking.seed)
    known[attempt] ??= digest({ v: 1, asking: this.root, question: question.id, attempt, prompt: prompt() })
    this.keys.set(question, known)
    return known[attempt]
  }

  /** The next task, once it is known; undefined when there will be none. */
  async next(): Promise<TeachingTask | undefined> {
    for (;;) {
      const task = this.take()
      if (task || this.courses.size === 0) return task
      await new Promise<void>((resolve) => {
        this.wake = resolve
      })
    }
  }

  /** A task that is known now. */
  take(): TeachingTask | undefined {
    while (this.ready.length === 0) {
      const question = this.questions[this.at]
      if (!question) return undefined
      this.at++
      const course = { cursor: 0, hopeful: 0, open: 0, failed: false }
      this.advance(question, course)
      if (course.open > 0) this.courses.set(question, course)
      else {
        this.settled++
        this.settledBefore++
      }
    }
    return this.ready.shift()
  }

  /** What became of a task: not accepted, another attempt may be needed. */
  settle({ question }: TeachingTask, outcome: 'accepted' | 'rejected' | 'failed'): void {
    const course = this.courses.get(question)
    if (!course) return
    course.open--
    // What failed is asked again by the next run, in its place.
    if (outcome === 'failed') course.failed = true
    if (outcome === 'rejected') {
      course.hopeful--
      this.advance(question, course)
    }
    if (course.open === 0) {
      this.courses.delete(question)
      if (!course.failed) this.settled++
    }
    this.wake?.()
  }

  /** Keys of the answers to a question that count, in the order of the attempts; undefined for one that is missing. */
  countedKeys(question: TeachingQuestion): (string | undefined)[] {
    const keys: (string | undefined)[] = []
    const course = { cursor: 0, hopeful: 0 }
    for (;;) {
      const found = this.step(question, course)
      if (!found) return keys
      if (!found.isThere) course.hopeful++
      keys.push(found.isThere ? found.key : undefined)
    }
  }

  private advance(question: TeachingQuestion, course: Course): void {
    for (;;) {
      const found = this.step(question, course)
      if (!found) return
      if (found.isThere) continue
      course.hopeful++
      course.open++
      this.ready.push(this.task(question, found.attempt))
    }
  }

  /** The next attempt at a question that is needed, and whether its answer is there. */
  private step(
    question: TeachingQuestion,
    course: Pick<Course, 'cursor' | 'hopeful'>,
  ): { attempt: number; key: string; isThere: boolean } | undefined {
    const { attempts, untilCorrect = Infinity } = this.quota
    if (course.hopeful >= untilCorrect || course.cursor >= attempts) return undefined
    const attempt = course.cursor++
    const key = this.key(question, attempt)
    const isThere = this.store.answered.has(key)
    if (isThere && this.store.checked.get(key)?.decision === 'accepted') course.hopeful++
    return { attempt, key, isThere }
  }
}
