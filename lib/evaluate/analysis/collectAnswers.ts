import { createHash } from 'node:crypto'
import { BranchMergeError } from '../../errors.js'
import type { VerdictStatus } from '../../grading/verdict.js'
import { compareText } from './compareText.js'
import type { Outcome } from './results.js'

export interface Answer {
  trial: number
  status: VerdictStatus
  /** The canonical answer, or its hash where it is long. */
  vote: string | null
  tokens: number | null
  truncated: boolean
}

/** The answers of one model to one question, by trial. */
export interface AnsweredQuestion {
  id: string
  labels: Readonly<Record<string, string>>
  answers: Answer[]
  metrics: Map<string, { passed: number; total: number }>
}

/** By model, then benchmark, then question. */
export type Answers = ReadonlyMap<string, ReadonlyMap<string, readonly AnsweredQuestion[]>>

/** Programs are answers, too: what is longer votes by its hash, so that memory does not grow with the texts. */
const longestVote = 64
const outcomesWithoutPause = 1024

/**
 * Takes outcomes in any order and sorts them by question and trial. About 250 bytes are kept of each, whatever its texts.
 *
 * @throws ERR_EVALUATION for a model or benchmark that is not expected, two outcomes of the same trial, one question with
 *   different labels, or a figure that cannot be
 */
export async function collectAnswers(
  outcomes: Iterable<Outcome> | AsyncIterable<Outcome>,
  models: readonly string[],
  benchmarks: readonly string[],
  signal?: AbortSignal,
): Promise<Answers> {
  const found = new Map(models.map((model) => [model, new Map(benchmarks.map((name) => [name, new Questions()]))]))
  let count = 0
  for await (const outcome of outcomes) {
    const questions = found.get(outcome.model)?.get(outcome.benchmark)
    if (!questions) throw refusal(outcome, `one of ${[...models, ...benchmarks].join(', ')}`)
    questions.add(outcome)
    if (++count % outcomesWithoutPause === 0) signal?.throwIfAborted()
  }
  checkLabels([...found.values()], benchmarks)
  return new Map(
    [...found].map(([model, of]) => [model, new Map([...of].map(([name, questions]) => [name, questions.sorted()]))]),
  )
}

class Questions {
  readonly byId = new Map<string, AnsweredQuestion & { trials: Set<number> }>()

  add(outcome: Outcome): void {
    const { question: id, trial, labels, status, extracted, tokens, truncated, metrics } = outcome
    if (!Number.isInteger(trial) || trial < 0) throw refusal(outcome, 'a trial of 0 or more')
    if (tokens !== null && !(tokens >= 0 && tokens < 2 ** 40)) throw refusal(outcome, 'tokens of 0 or more, or null')
    let question = this.byId.get(id)
    if (!question) {
      question = { id, labels, answers: [], metrics: new Map(), trials: new Set() }
      this.byId.set(id, question)
    }
    if (question.trials.has(trial)) throw refusal(outcome, 'each trial once')
    question.trials.add(trial)
    if (!sameLabels(question.labels, labels)) throw refusal(outcome, 'the same labels in every trial')
    question.answers.push({ trial, status, vote: voteOf(extracted), tokens, truncated })
    for (const [name, { passed, total }] of Object.entries(metrics ?? {})) {
      const sum = question.metrics.get(name) ?? { passed: 0, total: 0 }
      question.metrics.set(name, { passed: sum.passed + passed, total: sum.total + total })
    }
  }

  sorted(): AnsweredQuestion[] {
    return [...this.byId.values()]
      .sort((a, b) => compareText(a.id, b.id))
      .map(({ id, labels, answers, metrics }) => ({
        id,
        labels,
        answers: answers.sort((a, b) => a.trial - b.trial),
        metrics,
      }))
  }
}

/** The canonical answer, or its hash where it is long. */
export function voteOf(extracted: string | null): string | null {
  if (extracted === null || extracted.length <= longestVote) return extracted
  return `sha256 ${createHash('sha256').update(extracted).digest('base64')}`
}

function sameLabels(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  if (a === b) return true
  const names = Object.keys(a)
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name])
}

/** Labels are the question's, whoever answers. */
function checkLabels(models: readonly ReadonlyMap<string, Questions>[], benchmarks: readonly string[]): void {
  for (const benchmark of benchmarks) {
    const known = new Map<string, Readonly<Record<string, string>>>()
    for (const model of models) {
      for (const { id, labels } of model.get(benchmark)?.byId.values() ?? []) {
        if (!sameLabels(known.get(id) ?? labels, labels))
          throw new BranchMergeError(
            'ERR_EVALUATION',
            `Expected the same labels for question ${id} of ${benchmark} with every model. Evaluate all with the same file.`,
          )
        known.set(id, labels)
      }
    }
  }
}

function refusal({ model, benchmark, question, trial }: Outcome, expected: string): BranchMergeError {
  return new BranchMergeError(
    'ERR_EVALUATION',
    `Expected ${expected} but received an answer of ${model} to question ${question} of ${benchmark}, trial ${trial}`,
  )
}
