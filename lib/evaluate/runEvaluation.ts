import { askAll } from '../asking/ask.js'
import { Budget, type Limits, type Price } from '../asking/budget.js'
import { promptsDigest } from '../asking/keys.js'
import type { Engine, Sampling } from '../engines/generation.js'
import type { EngineProgress } from '../engines/open/openEngine.js'
import { BranchMergeError } from '../errors.js'
import { splitCompletion } from '../grading/completion.js'
import { GradeQueue } from '../grading/gradeQueue.js'
import type { Question } from '../questions/question.js'
import type { ProgramRunner } from '../sandbox/program.js'
import { version } from '../version.js'
import type { Benchmark } from './benchmarks/benchmark.js'
import type { ReadingProgress } from './benchmarks/openBenchmark.js'
import { gradeRecord } from './gradeRecord.js'
import { askingId, keyRoot } from './store/askingKey.js'
import { type EvaluationStore, readAnswers } from './store/evaluationStore.js'
import type {
  AnswerPlace,
  AnswerRecord,
  Asking,
  BenchmarkRecord,
  EvaluationRecord,
  FailedRecord,
  ModelRecord,
} from './store/records.js'
import { askedQuestions, type Extent, type Task, tasksOf } from './tasks.js'

/** A model that answers, before it is opened. */
export interface Contestant {
  name: string
  /** As the user named it, for the record. */
  place: string
  /** True where it computes on this machine: one after another then, so that each has the machine for itself. */
  local: boolean
  price?: Price | undefined
  /** The signal ends the opening alone. */
  open: (signal: AbortSignal) => Promise<Engine>
}

/** A benchmark, and how it is asked. */
export interface Examination extends Extent {
  benchmark: Benchmark
  sampling: Sampling
  /** What opens it again. */
  spec: Readonly<Record<string, unknown>>
}

export interface EvaluationPlan {
  contestants: readonly Contestant[]
  examinations: readonly Examination[]
  seed: number
  limits: Limits
}

export interface EvaluationRunning {
  store: EvaluationStore
  /** Undefined where no benchmark needs programs. */
  programs: ProgramRunner | undefined
  /** Ends everything at once. What was answered is kept. */
  signal: AbortSignal
  /** Ends the asking; answers that are on their way are waited for. */
  stop: AbortSignal
  onProgress: (progress: EvaluationProgress) => void
}

/** How far an evaluation is. */
export type EvaluationProgress =
  | ReadingProgress
  | { phase: 'note'; text: string }
  | { phase: 'open'; model: string; stage: EngineProgress['stage']; done: number; total: number | undefined }
  | {
      phase: 'answers'
      /** Answers that are there, of those that are wanted; those that were stored before are among both. */
      done: number
      total: number
      stored: number
      failed: number
      graded: number
      /** That arrived in this run. */
      tokens: number
      /** Since the first question. */
      seconds: number
    }

/** How many answers came, of those that were wanted. */
export interface Answered {
  wanted: number
  stored: number
  answered: number
  failed: number
  /** True when it was stopped before all were asked. */
  stopped: boolean
  /** By model: the last request that failed. */
  failures: Readonly<Record<string, string>>
}

/**
 * Asks every model every question that has no answer yet, grades what comes and what was not graded yet, and stores both.
 *
 * @throws ERR_ENGINE when a model stops answering, after the others are done; ERR_BUDGET; ERR_SANDBOX; ERR_OUTPUT_WRITE; the
 *   signal's reason
 */
export async function runEvaluation(plan: EvaluationPlan, running: EvaluationRunning): Promise<Answered> {
  return await new EvaluationRun(plan, running).run()
}

interface AskedExamination {
  /** Of the asking. */
  id: string
  /** Of the keys of its answers. */
  root: string
  model: string
  examination: Examination
}

class EvaluationRun {
  private readonly record: EvaluationRecord
  private readonly budget: Budget
  private readonly limited: boolean
  private readonly progress = { done: 0, total: 0, stored: 0, failed: 0, graded: 0, tokens: 0 }
  private readonly failures: Record<string, string> = {}
  private readonly grades = new GradeQueue()
  private readonly started = performance.now()
  private readonly prompts: ReadonlyMap<Benchmark, string>

  constructor(
    private readonly plan: EvaluationPlan,
    private readonly running: EvaluationRunning,
  ) {
    const { contestants, examinations, limits, seed } = plan
    const prices = contestants.flatMap(({ name, price }) => (price ? [[name, price] as const] : []))
    this.budget = new Budget(limits, Object.fromEntries(prices))
    this.limited = limits.tokens !== undefined || limits.cost !== undefined
    const asked = examinations.map(({ benchmark, trials, limit }) => trials * askedQuestions(benchmark, limit).length)
    this.progress.total = contestants.length * asked.reduce((sum, count) => sum + count, 0)
    this.prompts = new Map(examinations.map(({ benchmark }) => [benchmark, digestOf(benchmark, seed)]))
    this.record = newRecord(running, plan)
  }

  async run(): Promise<Answered> {
    const { contestants } = this.plan
    const { store, stop } = this.running
    for (const { model, prompt, completion } of store.answered.values()) {
      this.budget.add(model, prompt ?? 0, completion ?? 0)
    }
    await this.write()
    const local = contestants.filter((each) => each.local)
    const remote = contestants.filter((each) => !each.local)
    const outcomes = await Promise.allSettled([
      this.oneAfterAnother(local),
      ...remote.map((each) => this.oneAfterAnother([each])),
    ])
    await this.grades.finish()
    const ended = stop.aborted ? null : new Date().toISOString()
    const { spent } = this.budget
    const tokens = { prompt: spent.prompt, completion: spent.completion }
    const cost = contestants.some(({ price }) => price) ? spent.cost : null
    await this.write({ ended, tokens, cost })
    const failed = outcomes.find((each) => each.status === 'rejected')
    if (failed) throw failed.reason
    const { done, total, stored, failed: failures } = this.progress
    const rest = { failed: failures, stopped: stop.aborted, failures: this.failures }
    return { wanted: total, stored, answered: done - stored, ...rest }
  }

  /** Models open at the same time. The record has them in the order of their names, whichever was ready first. */
  private async write(ending: Partial<EvaluationRecord> = {}): Promise<void> {
    const { order, benchmarks, models, askings } = this.record
    const names = Object.keys(benchmarks)
    const place = ({ model, benchmark }: Asking) => order.indexOf(model) * names.length + names.indexOf(benchmark)
    const ordered = {
      models: Object.fromEntries(Object.entries(models).sort(([a], [b]) => order.indexOf(a) - order.indexOf(b))),
      askings: Object.fromEntries(Object.entries(askings).sort(([, a], [, b]) => place(a) - place(b))),
    }
    await this.running.store.write({ ...this.record, ...ordered, ...ending })
  }

  private async oneAfterAnother(contestants: readonly Contestant[]): Promise<void> {
    for (const each of contestants) {
      if (this.running.stop.aborted) return
      await this.examine(each)
    }
  }

  private async examine(contestant: Contestant): Promise<void> {
    const { name, place } = contestant
    const engine = await this.open(contestant)
    if (!engine) return
    try {
      const { identity, description } = engine
      this.record.models[name] = { place, identity, description } satisfies ModelRecord
      const askings = this.plan.examinations.map((examination) => this.asking(name, engine, examination))
      await this.write()
      const missing = new Set<string>()
      const ungraded = new Map<string, AskedExamination>()
      for (const each of askings) this.sortOut(each, missing, ungraded)
      await this.gradeStored(ungraded)
      this.tell()
      const samplings = new Map(askings.map(({ id, examination }) => [id, examination.sampling]))
      const { signal, stop } = this.running
      const tasks = this.tasks(askings, missing)
      const { failure } = await askAll<Task, AnswerPlace>(
        { next: () => tasks.next().value },
        {
          engine,
          sampling: ({ asking }) => samplings.get(asking) as Sampling,
          budget: this.budget,
          limited: this.limited,
          ready: () => this.grades.ready(),
          place: ({ asking, model, benchmark, question, trial }) => ({
            asking,
            model,
            benchmark: benchmark.name,
            question: question.id,
            trial,
          }),
          store: (record, task) => this.store(record, task),
          onTokens: (tokens) => {
            this.progress.tokens += tokens
            this.tell()
          },
          signal,
          stop,
        },
      )
      if (failure) this.failures[name] = failure.message
      // Before the next model takes the machine.
      await this.grades.finish()
    } finally {
      await engine.close()
    }
  }

  /** Undefined when the evaluation is stopped before the model can answer. */
  private async open(contestant: Contestant): Promise<Engine | undefined> {
    const { signal, stop } = this.running
    try {
      return await contestant.open(AbortSignal.any([signal, stop]))
    } catch (error) {
      if (stop.aborted && !signal.aborted) return undefined
      throw error
    }
  }

  /** Enters into the record what a model is asked on a benchmark, in place of what it was asked there before. */
  private asking(model: string, { identity }: Engine, examination: Examination) {
    const { benchmark, sampling, trials } = examination
    const prompts = this.prompts.get(benchmark) as string
    const asking: Asking = { model, benchmark: benchmark.name, identity, sampling, seed: this.plan.seed, prompts }
    const id = askingId(asking)
    for (const [other, each] of Object.entries(this.record.askings)) {
      if (each.model === model && each.benchmark === benchmark.name && other !== id) {
        delete this.record.askings[other]
        const text = `${model} was asked ${benchmark.name} otherwise before: answers that do not fit are kept, and do not count`
        this.running.onProgress({ phase: 'note', text })
      }
    }
    this.record.askings[id] = { ...asking, trials }
    return { id, root: keyRoot(asking), model, examination }
  }

  private *tasksOf({ id, root, model, examination }: AskedExamination): Generator<Task> {
    yield* tasksOf(examination.benchmark, examination, { asking: id, root, model, seed: this.plan.seed })
  }

  /** Keys of answers that are not there, and of those that have no grade of now; counts those that are there. */
  private sortOut(asked: AskedExamination, missing: Set<string>, ungraded: Map<string, AskedExamination>): void {
    const { answered, graded } = this.running.store
    for (const { key } of this.tasksOf(asked)) {
      if (!answered.has(key)) {
        missing.add(key)
        continue
      }
      this.progress.stored++
      this.progress.done++
      const grade = graded.get(key)
      if (grade?.version === asked.examination.benchmark.version && grade.asking === asked.id) this.progress.graded++
      else ungraded.set(key, asked)
    }
  }

  /** Made one by one: all prompts of a large evaluation would take more memory than its answers. */
  private *tasks(askings: readonly AskedExamination[], missing: ReadonlySet<string>): Generator<Task, undefined> {
    for (const asked of askings) for (const task of this.tasksOf(asked)) if (missing.has(task.key)) yield task
  }

  /** Answers that came before and were not graded, or by another version, or for another asking. */
  private async gradeStored(ungraded: Map<string, AskedExamination>): Promise<void> {
    if (ungraded.size === 0) return
    const { store, signal } = this.running
    const questions = new Map(
      [...new Set(ungraded.values())].map(({ id, examination }) => {
        const asked = askedQuestions(examination.benchmark, examination.limit)
        return [id, new Map(asked.map((each) => [each.id, each]))]
      }),
    )
    for await (const answer of readAnswers(store.directory, { signal })) {
      const asked = ungraded.get(answer.key)
      if (answer.error || !asked) continue
      ungraded.delete(answer.key)
      const question = questions.get(asked.id)?.get(answer.question) as Question
      await this.grades.ready()
      const { benchmark } = asked.examination
      const task = { benchmark, question, trial: answer.trial }
      this.grades.add(() => this.grade({ ...answer, asking: asked.id }, task))
    }
    await this.grades.finish()
  }

  private async store(record: AnswerRecord | FailedRecord, task: Task): Promise<void> {
    await this.running.store.addAnswer(record)
    if (record.error) this.progress.failed++
    else {
      this.progress.done++
      this.grades.add(() => this.grade(record, task))
    }
    this.tell()
  }

  private async grade(answer: AnswerRecord, task: Pick<Task, 'benchmark' | 'question' | 'trial'>): Promise<void> {
    const { programs, signal, store } = this.running
    const context = { trial: task.trial, seed: this.plan.seed, programs, signal }
    await store.addGrade(await gradeRecord(answer, task, splitCompletion(answer), context))
    this.progress.graded++
    this.tell()
  }

  private tell(): void {
    const seconds = (performance.now() - this.started) / 1000
    this.running.onProgress({ phase: 'answers', ...this.progress, seconds })
  }
}

const digestOf = ({ questions }: Benchmark, seed: number): string =>
  promptsDigest(questions.map((each) => ({ question: each.id, prompt: each.prompt(0, seed) })))

/** What is evaluated now; models and benchmarks of before stay, so that an evaluation can be extended. */
function newRecord(
  { store: { before }, programs }: EvaluationRunning,
  { contestants, examinations, seed }: EvaluationPlan,
): EvaluationRecord {
  const benchmarks: Record<string, BenchmarkRecord> = { ...before?.benchmarks }
  for (const { benchmark, spec, trials, limit } of examinations) {
    const { kind, profile, version: graded, files, confidential, needsPrograms, notes } = benchmark
    const known = before?.benchmarks[benchmark.name]
    const hashes = (each: BenchmarkRecord['files']) => each.map(({ sha256 }) => sha256).join()
    if (known && hashes(known.files) !== hashes(files)) {
      throw new BranchMergeError(
        'ERR_EVALUATION',
        `The benchmark ${benchmark.name} was asked from other files before. Give it another name, or use another directory.`,
      )
    }
    const asked = askedQuestions(benchmark, limit)
    benchmarks[benchmark.name] = {
      kind,
      profile,
      version: graded,
      files,
      spec,
      limit,
      asked: limit === null ? null : asked.map(({ id }) => id),
      questions: asked.length,
      trials,
      confidential,
      needsPrograms,
      notes,
    }
  }
  return {
    format: 'branchmerge evaluation',
    version: 1,
    branchmerge: version,
    started: before?.started ?? new Date().toISOString(),
    ended: null,
    seed,
    // Older records lack it. Their models were named first.
    order: [
      ...new Set([...(before?.order ?? Object.keys(before?.models ?? {})), ...contestants.map(({ name }) => name)]),
    ],
    models: { ...before?.models },
    benchmarks,
    askings: { ...before?.askings },
    sandboxLevel: programs?.level ?? before?.sandboxLevel ?? null,
    tokens: before?.tokens ?? { prompt: 0, completion: 0 },
    cost: before?.cost ?? null,
  }
}
