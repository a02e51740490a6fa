import { BranchMergeError } from '../errors.js'
import type { VerdictStatus } from '../grading/verdict.js'
import type { Outcome } from './analysis/results.js'
import { readAnswers, readEvaluationRecord, readGrades, recordName } from './store/evaluationStore.js'
import type { AnswerRecord, EvaluationRecord, GradeRecord } from './store/records.js'

/** The evaluations of some directories, side by side. */
export interface ReadEvaluations {
  evaluations: { directory: string; record: EvaluationRecord }[]
  outcomes: Outcome[]
  /** Answers that were to come and have no grade, by model and benchmark. */
  missing: { model: string; benchmark: string; answers: number }[]
  /** What was asked otherwise than the evaluation is now, and does not count. */
  outdated: number
  /** Lines that are no records. */
  damaged: number
}

/**
 * What the grades of evaluations say, of what each evaluation asks now.
 *
 * @throws ERR_EVALUATION when a directory has none, or two have one model on one benchmark, or benchmarks that differ
 */
export async function readOutcomes(
  directories: readonly string[],
  signal?: AbortSignal | undefined,
): Promise<ReadEvaluations> {
  const read: ReadEvaluations = { evaluations: [], outcomes: [], missing: [], outdated: 0, damaged: 0 }
  for (const directory of directories) {
    const record = await readEvaluationRecord(directory)
    if (!record) {
      throw new BranchMergeError('ERR_EVALUATION', `Expected an evaluation in ${directory}: it has no ${recordName}`)
    }
    refuseOther(read, directory, record)
    read.evaluations.push({ directory, record })
    const grades = await currentGrades(directory, record, read, signal)
    // By model and benchmark, as the evaluation has them: answers come in any order, and after a kill in another.
    const byAsking = new Map<string, GradeRecord[]>(Object.keys(record.askings).map((asking) => [asking, []]))
    for (const grade of grades.values()) byAsking.get(grade.asking)?.push(grade)
    for (const [asking, { model, benchmark, trials }] of Object.entries(record.askings)) {
      const graded = byAsking.get(asking) ?? []
      for (const grade of graded) read.outcomes.push(outcomeOf(grade))
      const wanted = trials * (record.benchmarks[benchmark]?.questions ?? 0)
      const answers = wanted - graded.length
      if (answers > 0) read.missing.push({ model, benchmark, answers })
    }
  }
  return read
}

function refuseOther({ evaluations }: ReadEvaluations, directory: string, record: EvaluationRecord): void {
  for (const before of evaluations) {
    for (const asking of Object.values(record.askings)) {
      const { model, benchmark } = asking
      const same = Object.values(before.record.askings).find(
        (each) => each.benchmark === benchmark && each.model === model,
      )
      if (same) {
        throw new BranchMergeError(
          'ERR_EVALUATION',
          `Expected the model ${model} on ${benchmark} once: ${before.directory} and ${directory} both have it. Name models apart.`,
        )
      }
      const [here, there] = [record.benchmarks[benchmark], before.record.benchmarks[benchmark]]
      const filesOf = (each: typeof here) => JSON.stringify([each?.version, each?.files.map(({ sha256 }) => sha256)])
      if (there && filesOf(here) !== filesOf(there)) {
        throw new BranchMergeError(
          'ERR_EVALUATION',
          `Expected one benchmark called ${benchmark}: ${before.directory} and ${directory} have other files or profiles by this name`,
        )
      }
    }
  }
}

async function currentGrades(
  directory: string,
  record: EvaluationRecord,
  read: ReadEvaluations,
  signal: AbortSignal | undefined,
): Promise<Map<string, GradeRecord>> {
  const grades = new Map<string, GradeRecord>()
  const options = { signal, onDamage: () => read.damaged++ }
  for await (const grade of readGrades(directory, options)) {
    if (counts(grade, record)) grades.set(grade.key, grade)
    else if (!record.askings[grade.asking]) read.outdated++
  }
  return grades
}

/** Whether a grade is of what the evaluation asks now: of its questions, trials and version. */
const counts = (grade: GradeRecord, { askings, benchmarks }: EvaluationRecord): boolean =>
  grade.version === benchmarks[grade.benchmark]?.version && grade.trial < (askings[grade.asking]?.trials ?? 0)

function outcomeOf(grade: GradeRecord): Outcome {
  const { model, benchmark, question, trial, labels, status, extracted, metrics, tokens, truncated } = grade
  return { model, benchmark, question, trial, labels, status, extracted, metrics, tokens, truncated }
}

/** An answer with its grade, for people who want to read it. */
export interface Transcript {
  model: string
  benchmark: string
  question: string
  trial: number
  /** Empty where the benchmark's questions are not to be shown. */
  prompt: string
  reasoning: string
  text: string
  extracted: string | null
  rule: string
  detail: string
  status: VerdictStatus
  /** Empty where the benchmark's questions are not to be shown. */
  reference: string
  tokens: number | null
}

/** The answers that count, each with its grade, in the order in which they came. */
export async function* readTranscripts(
  { evaluations }: ReadEvaluations,
  signal?: AbortSignal | undefined,
): AsyncGenerator<Transcript> {
  for (const { directory, record } of evaluations) {
    const none: ReadEvaluations = { evaluations: [], outcomes: [], missing: [], outdated: 0, damaged: 0 }
    const grades = await currentGrades(directory, record, none, signal)
    for await (const answer of readAnswers(directory, { signal })) {
      const grade = grades.get(answer.key)
      if (answer.error || !grade) continue
      // Each answer once, also where it was asked twice.
      grades.delete(answer.key)
      yield transcriptOf(answer, grade, record.benchmarks[answer.benchmark]?.confidential ?? false)
    }
  }
}

function transcriptOf(answer: AnswerRecord, grade: GradeRecord, confidential: boolean): Transcript {
  const { model, benchmark, question, trial, prompt, reasoning, text, tokens } = answer
  const asked = prompt.messages
    ? prompt.messages.map(({ role, content }) => `${role}: ${content}`).join('\n\n')
    : prompt.text
  return {
    model,
    benchmark,
    question,
    trial,
    prompt: confidential ? '' : asked,
    reasoning: reasoning ?? '',
    text,
    extracted: grade.extracted,
    rule: grade.rule,
    detail: grade.detail ?? '',
    status: grade.status,
    reference: confidential ? '' : grade.reference,
    tokens: tokens.completion,
  }
}
