import { createReadStream } from 'node:fs'
import { copyFile, open, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { BranchMergeError } from '../errors.js'
import { LineAppender } from '../files/appendLines.js'
import { sync, write } from '../files/durableFiles.js'
import { newToken, partialSuffix } from '../files/owners.js'
import { splitCompletion } from '../grading/completion.js'
import { GradeQueue } from '../grading/gradeQueue.js'
import type { Question } from '../questions/question.js'
import { openSandbox } from '../sandbox/openSandbox.js'
import type { SandboxOptions } from '../sandbox/sandboxOptions.js'
import { checkChoice, checkFunction, checkObject, checkOptionNames, checkPath, checkSignal } from '../validate.js'
import type { Benchmark, Profile } from './benchmarks/benchmark.js'
import { type BenchmarkSpec, openBenchmark, type ReadingProgress } from './benchmarks/openBenchmark.js'
import { gradeRecord } from './gradeRecord.js'
import { EvaluationStore, gradesName, readAnswers, recordName } from './store/evaluationStore.js'
import type { AnswerRecord, BenchmarkRecord, EvaluationRecord, GradeRecord } from './store/records.js'

export interface RegradeOptions {
  /** Grade by this profile. Default: the profile that each benchmark has. */
  profile?: Profile | undefined
  sandbox?: SandboxOptions | undefined
  /** After an abort the grades stay as they were, and the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined
  onProgress?: ((progress: RegradeProgress) => void) | undefined
}

/** How far a regrading is: it reads the benchmarks, then grades. */
export type RegradeProgress =
  | ReadingProgress
  | {
      phase: 'grades'
      graded: number
      total: number
      /** Since it began. */
      seconds: number
    }

export interface RegradeSummary {
  graded: number
  /** Answers whose status is another than before. */
  changed: number
  /** By benchmark: how many changed, by the status before and the status now, as `wrong → correct`. */
  changes: Readonly<Record<string, Readonly<Record<string, number>>>>
}

/**
 * Grades the stored answers of an evaluation again, and asks nothing. The grades are replaced when all are there.
 *
 * @throws ERR_EVALUATION; ERR_BENCHMARK where a benchmark's files are not those that were asked; ERR_SANDBOX; the signal's
 *   reason after an abort
 */
export async function regrade(directory: string, options: RegradeOptions = {}): Promise<RegradeSummary> {
  checkPath(directory, 'directory')
  checkObject(options, 'options')
  const { profile, sandbox = {}, onProgress = () => {}, ...rest } = options
  checkOptionNames(rest, ['signal'])
  checkFunction(onProgress, 'onProgress')
  if (profile !== undefined) checkChoice(profile, 'profile', ['strict', 'paper'])
  const signal = checkSignal(options.signal) ?? new AbortController().signal
  const store = await openExisting(directory, signal)
  try {
    return await new Regrading(store, { profile, sandbox, signal, onProgress }).run()
  } finally {
    await store.close()
  }
}

async function openExisting(directory: string, signal: AbortSignal): Promise<EvaluationStore> {
  const store = await EvaluationStore.openExisting(directory, signal)
  if (store) return store
  throw new BranchMergeError('ERR_EVALUATION', `Expected an evaluation in ${directory}: it has no ${recordName}`)
}

type GradeBefore = Pick<GradeRecord, 'status' | 'asking'>

const partialGrades = (directory: string): string => join(directory, `${gradesName}.${newToken()}${partialSuffix}`)

class Regrading {
  private readonly summary = { graded: 0, changed: 0, changes: {} as Record<string, Record<string, number>> }
  private readonly started = performance.now()

  constructor(
    private readonly store: EvaluationStore,
    private readonly options: {
      profile: Profile | undefined
      sandbox: SandboxOptions
      signal: AbortSignal
      onProgress: NonNullable<RegradeOptions['onProgress']>
    },
  ) {}

  async run(): Promise<RegradeSummary> {
    const { store } = this
    const { signal, sandbox } = this.options
    const record = store.before as NonNullable<EvaluationStore['before']>
    const benchmarks = new Map<string, { benchmark: Benchmark; questions: Map<string, Question> }>()
    for (const [name, each] of Object.entries(record.benchmarks)) {
      const benchmark = await this.open(name, each)
      benchmarks.set(name, { benchmark, questions: new Map(benchmark.questions.map((one) => [one.id, one])) })
    }
    const needsPrograms = [...benchmarks.values()].some(({ benchmark }) => benchmark.needsPrograms)
    const { level, workers, python } = sandbox
    const programs = needsPrograms ? await openSandbox({ minimumLevel: level, workers, python, signal }) : undefined
    const before = await this.gradesBefore(record)
    const path = partialGrades(store.directory)
    const total = store.answered.size
    try {
      const lines = await LineAppender.open(path)
      try {
        const grades = new GradeQueue()
        const grade = async (answer: AnswerRecord, task: Parameters<typeof gradeRecord>[1]) => {
          const last = before.get(answer.key)
          // The asking for which it counts may have come after the one that asked.
          const asking = last?.asking ?? answer.asking
          const seed = record.askings[asking]?.seed ?? record.seed
          const context = { trial: answer.trial, seed, programs, signal }
          const graded = await gradeRecord({ ...answer, asking }, task, splitCompletion(answer), context)
          await lines.append(JSON.stringify(graded))
          this.count(graded.benchmark, last?.status, graded.status, total)
        }
        for await (const answer of readAnswers(store.directory, { signal })) {
          const found = benchmarks.get(answer.benchmark)
          const question = found?.questions.get(answer.question)
          if (answer.error || !found || !question) continue
          await grades.ready()
          grades.add(() => grade(answer, { benchmark: found.benchmark, question, trial: answer.trial }))
        }
        await grades.finish()
      } finally {
        await lines.close()
      }
      signal.throwIfAborted()
      await this.replace(path, benchmarks)
    } catch (error) {
      await rm(path, { force: true })
      throw signal.aborted ? signal.reason : error
    } finally {
      await programs?.close()
    }
    return this.summary
  }

  /**
   * Puts the new grades in place of those of before. What counts is a grade of the version that evaluation.json names. So where versions
   * change, the file has both grades while the record is written, and a kill leaves the old results or the new ones.
   */
  private async replace(path: string, benchmarks: Map<string, { benchmark: Benchmark }>): Promise<void> {
    const { store } = this
    const { directory } = store
    const record = store.before as NonNullable<EvaluationStore['before']>
    const changed = Object.entries(record.benchmarks).map(([name, each]) => {
      const { profile, version, needsPrograms, notes } = (benchmarks.get(name) as { benchmark: Benchmark }).benchmark
      return [name, { ...each, profile, version, needsPrograms, notes, spec: { ...each.spec, profile } }] as const
    })
    const target = join(directory, gradesName)
    const put = async (from: string) => {
      await write(target, () => rename(from, target))
      await sync(directory)
    }
    if (changed.some(([name, { version }]) => version !== record.benchmarks[name]?.version)) {
      await this.join(target, path, put)
    }
    await store.write({ ...record, benchmarks: Object.fromEntries(changed) })
    await sync(directory)
    await put(path)
  }

  private async join(before: string, after: string, put: (from: string) => Promise<void>): Promise<void> {
    const both = partialGrades(this.store.directory)
    try {
      await write(both, async () => {
        await copyFile(before, both)
        const handle = await open(both, 'a')
        try {
          for await (const chunk of createReadStream(after)) await handle.appendFile(chunk)
          await handle.sync()
        } finally {
          await handle.close()
        }
      })
      await put(both)
    } catch (error) {
      await rm(both, { force: true }).catch(() => {}) // the first failure tells more
      throw error
    }
  }

  private async open(name: string, { spec, files }: BenchmarkRecord): Promise<Benchmark> {
    const { profile, signal, onProgress } = this.options
    const given = spec as unknown as BenchmarkSpec
    const benchmark = await openBenchmark({ ...given, profile: profile ?? given.profile }, { signal, onProgress })
    const hashes = (each: BenchmarkRecord['files']) => each.map(({ sha256 }) => sha256).join()
    if (hashes(benchmark.files) === hashes(files)) return benchmark
    throw new BranchMergeError(
      'ERR_BENCHMARK',
      `The files of ${name} in ${given.path} are not those that were asked: their SHA-256 differs. Put the old ones back.`,
    )
  }

  /** The last grade of each answer that counts; where none does, any. */
  private async gradesBefore({ benchmarks }: EvaluationRecord): Promise<Map<string, GradeBefore>> {
    const grades = new Map<string, GradeBefore>()
    for await (const { key, status, asking, benchmark, version } of this.store.readGrades(this.options.signal)) {
      if (version === benchmarks[benchmark]?.version || !grades.has(key)) grades.set(key, { status, asking })
    }
    return grades
  }

  private count(benchmark: string, before: string | undefined, now: string, total: number): void {
    const { summary } = this
    summary.graded++
    if (before !== undefined && before !== now) {
      summary.changed++
      summary.changes[benchmark] ??= {}
      const of = summary.changes[benchmark] as Record<string, number>
      const change = `${before} → ${now}`
      of[change] = (of[change] ?? 0) + 1
    }
    const seconds = (performance.now() - this.started) / 1000
    this.options.onProgress({ phase: 'grades', graded: summary.graded, total, seconds })
  }
}
