import { join } from 'node:path'
import { type Place, RecordReader, readPlacedRecords } from '../asking/recordFile.js'
import { BranchMergeError } from '../errors.js'
import type { VerdictStatus } from '../grading/verdict.js'
import { voteOf } from './analysis/collectAnswers.js'
import type { Outcome } from './analysis/results.js'
import { gradesName, readAnswers, readEvaluationRecord, recordName } from './store/evaluationStore.js'
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
    // By model and benchmark, as the evaluation has them: answers come in any order, and after a kill in another.
    const byAsking = await outcomesByAsking(directory, record, read, signal)
    for (const [asking, { model, benchmark, trials }] of Object.entries(record.askings)) {
      const graded = byAsking.get(asking) ?? []
      for (const outcome of graded) read.outcomes.push(outcome)
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

/** The last outcome of each key that counts. Little is kept of a grade: there may be many, with long texts. */
async function outcomesByAsking(
  directory: string,
  record: EvaluationRecord,
  read: ReadEvaluations,
  signal: AbortSignal | undefined,
): Promise<Map<string, Outcome[]>> {
  const byKey = new Map<string, Map<string, Outcome>>(Object.keys(record.askings).map((asking) => [asking, new Map()]))
  const same = new Alike()
  const counts = counting(record)
  const options = { signal, onDamage: () => read.damaged++ }
  for await (const { record: grade } of readPlacedRecords<GradeRecord>(join(directory, gradesName), options)) {
    if (counts(grade)) byKey.get(grade.asking)?.set(grade.key, outcomeOf(grade, same))
    else if (!record.askings[grade.asking]) read.outdated++
  }
  return new Map([...byKey].map(([asking, outcomes]) => [asking, [...outcomes.values()]]))
}

/** Whether a grade is of what the evaluation asks now: of its questions, trials and version. */
function counting({ askings, benchmarks }: EvaluationRecord): (grade: GradeRecord) => boolean {
  const asked = new Map(Object.entries(benchmarks).map(([name, each]) => [name, each.asked && new Set(each.asked)]))
  return ({ asking, benchmark, question, trial, version }) =>
    version === benchmarks[benchmark]?.version &&
    trial < (askings[asking]?.trials ?? 0) &&
    (asked.get(benchmark)?.has(question) ?? true)
}

/** One object for all that are alike: every line that is read makes its own. */
class Alike {
  private readonly known = new Map<string, unknown>()

  of<T>(value: T): T {
    const name = JSON.stringify(value)
    const found = this.known.get(name)
    if (found !== undefined) return found as T
    this.known.set(name, value)
    return value
  }
}

function outcomeOf(grade: GradeRecord, same: Alike): Outcome {
  const { model, benchmark, question, trial, labels, status, extracted, metrics, tokens, truncated } = grade
  return {
    model: same.of(model),
    benchmark: same.of(benchmark),
    question: same.of(question),
    trial,
    labels: same.of(labels),
    status: same.of(status),
    extracted: voteOf(extracted),
    metrics: metrics && same.of(metrics),
    tokens,
    truncated,
  }
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
    const path = join(directory, gradesName)
    const counts = counting(record)
    const places = new Map<string, Place>()
    for await (const { record: grade, offset, bytes } of readPlacedRecords<GradeRecord>(path, { signal })) {
      if (counts(grade)) places.set(grade.key, { offset, bytes })
    }
    if (places.size === 0) continue
    const reader = await RecordReader.open(path)
    try {
      for await (const answer of readAnswers(directory, { signal })) {
        const place = places.get(answer.key)
        if (answer.error || !place) continue
        // Each answer once, also where it was asked twice.
        places.delete(answer.key)
        const confidential = record.benchmarks[answer.benchmark]?.confidential ?? false
        yield transcriptOf(answer, await reader.read<GradeRecord>(place), confidential)
      }
    } finally {
      await reader.close()
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
