import { askAll } from '../asking/ask.js'
import { Budget } from '../asking/budget.js'
import { digest } from '../asking/keys.js'
import type { Engine } from '../engines/generation.js'
import { type EngineProgress, openEngine } from '../engines/open/openEngine.js'
import { BranchMergeError } from '../errors.js'
import { GradeQueue } from '../grading/gradeQueue.js'
import type { ProgramRunner } from '../sandbox/program.js'
import { version } from '../version.js'
import type { AnswerChecks } from './answerChecks.js'
import { outputPaths } from './outputPaths.js'
import type { AnswerPlace, Asking, TaughtAnswer, TaughtFailure, TeachingManifest, TeachingState } from './records.js'
import type { ResolvedTeaching } from './resolveTeaching.js'
import { Schedule, type TeachingTask, teacherName } from './schedule.js'
import type { TeachingQuestions } from './teachingQuestions.js'
import type { TeachingStore } from './teachingStore.js'
import { writeTrajectories } from './writeTrajectories.js'

/** How far a teaching is. */
export type TeachingProgress =
  | { phase: 'note'; text: string }
  | { phase: 'open'; stage: EngineProgress['stage']; done: number; total: number | undefined }
  | TeachingAnswers

export interface TeachingAnswers {
  phase: 'answers'
  /** Questions of which nothing is to come any more, of all. */
  done: number
  total: number
  /** Those that had everything before. */
  stored: number
  /** In this run: answers that came and were checked, and those among them that were accepted. */
  checked: number
  accepted: number
  failed: number
  /** That arrived in this run. */
  tokens: number
  /** Of all answers that are stored, by the user's price; null without one. */
  cost: number | null
  /** Since the first question. */
  seconds: number
}

export interface TeachingRunning {
  store: TeachingStore
  /** Undefined where no question needs programs. */
  programs: ProgramRunner | undefined
  /** Ends everything at once. What was answered is kept. */
  signal: AbortSignal
  /** Ends the asking; answers that are on their way are waited for. */
  stop: AbortSignal
  onProgress: (progress: TeachingProgress) => void
}

/** What a run of a teaching came to. */
export interface Taught {
  manifest: TeachingManifest
  /** Requests of this run that failed, and the last reason. */
  failed: number
  failure: string | undefined
  /** True when it was stopped before all were asked. */
  stopped: boolean
}

/** A teaching whose answers are open, by whoever answers. */
export class TeachingRun {
  readonly budget: Budget
  private readonly grades = new GradeQueue()
  private readonly counts = { checked: 0, accepted: 0, failed: 0, tokens: 0 }
  private readonly started = performance.now()
  private schedule: Schedule | undefined

  constructor(
    readonly teaching: ResolvedTeaching,
    readonly questions: TeachingQuestions,
    private readonly checks: AnswerChecks,
    readonly running: TeachingRunning,
  ) {
    const { teacher, limits } = teaching
    this.budget = new Budget(limits, teacher.price ? { [teacherName]: teacher.price } : {})
    const { store } = running
    for (const { prompt, completion } of store.answered.values()) {
      this.budget.add(teacherName, prompt ?? 0, completion ?? 0)
    }
    this.budget.spent.requests += store.failures
  }

  /**
   * Asks the teacher for every answer that is missing, checks what comes, and writes the trajectories.
   *
   * @throws ERR_ENGINE when the teacher stops answering, and ERR_BUDGET, after the trajectories of what came are written;
   *   ERR_SANDBOX; ERR_OUTPUT_WRITE; the signal's reason
   */
  async ask(): Promise<Taught> {
    const { signal, stop } = this.running
    let ended: { reason: unknown; failure?: string | undefined } | undefined
    const engine = await this.open()
    if (engine) {
      try {
        const { identity, description } = engine
        await this.begin({ identity, description })
        const { failure } = await this.askWith(engine)
        ended = failure && { reason: undefined, failure: failure.message }
      } catch (error) {
        const isEnd = error instanceof BranchMergeError && (error.code === 'ERR_BUDGET' || error.code === 'ERR_ENGINE')
        if (!isEnd || signal.aborted) throw error
        ended = { reason: error }
      } finally {
        await engine.close()
      }
      await this.grades.finish()
    }
    if (!this.schedule) throw stop.reason
    const manifest = await this.write()
    if (ended?.reason !== undefined) throw withResult(ended.reason as BranchMergeError, manifest)
    return { manifest, failed: this.counts.failed, failure: ended?.failure, stopped: stop.aborted }
  }

  /** Who answers is known: what is asked is, too. Checks what came before and was not checked, or otherwise. */
  async begin(teacher: Pick<TeachingState['teacher'], 'identity' | 'description'>): Promise<Schedule> {
    const { store, onProgress } = this.running
    const { teaching } = this
    const before = await store.readState()
    if (before && digest(before.teacher.identity) !== digest(teacher.identity)) {
      const text = 'another teacher answered before: its answers are kept, and do not count'
      onProgress({ phase: 'note', text })
    }
    this.state = {
      format: 'branchmerge teaching',
      version: 1,
      teacher: { place: teaching.teacher.place, ...teacher },
    }
    await store.writeState(this.state)
    const asking: Asking = { teacher: teacher.identity, sampling: teaching.sampling, seed: teaching.seed }
    this.schedule = new Schedule(this.questions.questions, teaching.quota, asking, store)
    await this.checkStored(this.schedule)
    this.tell()
    return this.schedule
  }

  private state: TeachingState | undefined

  /** Stores an answer that came and checks it, or a failure. */
  async take(record: TaughtAnswer | TaughtFailure, task: TeachingTask): Promise<void> {
    await this.running.store.addAnswer(record)
    if (record.error) {
      this.counts.failed++
      this.schedule?.settle(task, 'failed')
    } else this.grades.add(() => this.check(record, task))
    this.tell()
  }

  /** Waits for what is checked. */
  async finish(): Promise<void> {
    await this.grades.finish()
  }

  /** Resolves when another answer may come. */
  ready(): Promise<void> {
    return this.grades.ready()
  }

  /** Writes the trajectories of what is there. */
  async write(): Promise<TeachingManifest> {
    const { teaching, questions, schedule } = this
    const { store, signal } = this.running
    const { quota, sampling, seed, grader = null, quality = null, reasoning } = teaching
    return await writeTrajectories({
      store,
      questions: questions.questions,
      keysOf: (question) => (schedule as Schedule).countedKeys(question),
      reasoning,
      paths: outputPaths(teaching.out),
      manifest: {
        ...(this.state as TeachingState),
        branchmerge: version,
        questions: { files: questions.files, asked: questions.questions.length },
        recipe: { ...quota, sampling, seed, grader, quality, reasoning },
      },
      costOf: (prompt, completion) => this.budget.costOf(teacherName, prompt, completion),
      signal,
    })
  }

  /** Undefined when the teaching is stopped before the teacher can answer. */
  private async open(): Promise<Engine | undefined> {
    const { signal, stop, onProgress } = this.running
    const { spec, name } = this.teaching.teacher
    if (!spec) {
      throw new BranchMergeError(
        'ERR_INVALID_ARGUMENT',
        `Expected the address of a server that has ${name}, or batch files to write or read: --server URL, --write-batch or --read-batch`,
      )
    }
    try {
      return await openEngine(spec, {
        signal: AbortSignal.any([signal, stop]),
        onProgress: (progress) => onProgress({ phase: 'open', ...progress }),
      })
    } catch (error) {
      if (stop.aborted && !signal.aborted) return undefined
      throw error
    }
  }

  private async askWith(engine: Engine): Promise<{ failure: BranchMergeError | undefined }> {
    const { signal, stop } = this.running
    const { sampling, limits } = this.teaching
    return await askAll<TeachingTask, AnswerPlace>(this.schedule as Schedule, {
      engine,
      sampling: () => sampling,
      budget: this.budget,
      limited: limits.tokens !== undefined || limits.cost !== undefined,
      ready: () => this.ready(),
      place: ({ question, attempt }) => ({ question: question.id, attempt }),
      store: (record, task) => this.take(record, task),
      onTokens: (tokens) => {
        this.counts.tokens += tokens
        this.tell()
      },
      signal,
      stop,
    })
  }

  /** Answers that came before and were not checked, or by other checks. */
  private async checkStored(schedule: Schedule): Promise<void> {
    const { store, signal } = this.running
    const byId = new Map(this.questions.questions.map((question) => [question.id, question]))
    const stale = new Map<string, TeachingTask>()
    for (const [key, { question: id, attempt }] of store.answered) {
      const question = byId.get(id)
      if (!question || store.checked.get(key)?.checks === this.checks.versionFor(question)) continue
      if (schedule.key(question, attempt) === key) stale.set(key, schedule.task(question, attempt))
    }
    if (stale.size === 0) return
    for await (const answer of store.readAnswers(signal)) {
      const task = answer.error ? undefined : stale.get(answer.key)
      if (answer.error || !task) continue
      stale.delete(answer.key)
      await this.grades.ready()
      this.grades.add(() => this.check(answer, task))
    }
    await this.grades.finish()
  }

  private async check(answer: TaughtAnswer, task: TeachingTask): Promise<void> {
    const { programs, signal, store } = this.running
    const { question, attempt } = task
    const context = { trial: attempt, seed: this.teaching.seed, programs, signal }
    const { extracted, ...decision } = await this.checks.check(answer, question, context)
    await store.addCheck({ v: 1, key: task.key, checks: this.checks.versionFor(question), ...decision, extracted })
    this.counts.checked++
    if (decision.decision === 'accepted') this.counts.accepted++
    this.schedule?.settle(task, decision.decision === 'accepted' ? 'accepted' : 'rejected')
    this.tell()
  }

  private tell(): void {
    const { schedule, counts, budget } = this
    if (!schedule) return
    const seconds = (performance.now() - this.started) / 1000
    const { settled: done, settledBefore: stored } = schedule
    const total = this.questions.questions.length
    const cost = this.teaching.teacher.price ? budget.spent.cost : null
    this.running.onProgress({ phase: 'answers', done, total, stored, ...counts, cost, seconds })
  }
}

function withResult(error: BranchMergeError, { counts, files }: TeachingManifest): BranchMergeError {
  const result = `${files.trajectories.name} has the ${counts.accepted} trajectories that were accepted so far.`
  return new BranchMergeError(error.code, `${error.message} ${result}`, { cause: error })
}
