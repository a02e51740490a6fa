import type { StoredAnswer, StoredFailure } from '../../asking/records.js'
import type { EngineIdentity, Sampling } from '../../engines/generation.js'
import type { Verdict } from '../../grading/verdict.js'
import type { SandboxLevel } from '../../sandbox/program.js'

/** One model on one benchmark as it was asked: what determines answers, but question and trial. */
export interface Asking {
  model: string
  benchmark: string
  identity: EngineIdentity
  sampling: Sampling
  /** Of the evaluation: the seed of each request comes from it. */
  seed: number
  /** SHA-256 over the prompts of all questions, as they are in the first trial. */
  prompts: string
}

/** A line of answers.jsonl: one answer as it came, or why none did. */
export type AnswerRecord = StoredAnswer & AnswerPlace
export type FailedRecord = StoredFailure & AnswerPlace

export interface AnswerPlace {
  /** Of {@link Asking}: the one that asked, or for which the answer was graded. */
  asking: string
  model: string
  benchmark: string
  question: string
  trial: number
}

/** A line of grades.jsonl. Of several with one key and version the last one counts. */
export interface GradeRecord extends AnswerPlace, Verdict {
  v: 1
  key: string
  /** The benchmark's version that graded it. */
  version: string
  labels: Readonly<Record<string, string>>
  reference: string
  tokens: number | null
  truncated: boolean
}

/** evaluation.json: what was evaluated, and how. */
export interface EvaluationRecord {
  format: 'branchmerge evaluation'
  version: 1
  branchmerge: string
  /** ISO 8601. */
  started: string
  ended: string | null
  seed: number
  /** All models in the order in which they were first named, also those that did not answer yet. Tables follow it. */
  order: readonly string[]
  models: Record<string, ModelRecord>
  benchmarks: Record<string, BenchmarkRecord>
  /** What counts now, by the id of the asking: answers of others were asked otherwise. */
  askings: Record<string, Asking & { trials: number }>
  /** The level at which programs of models ran last; null where none did. */
  sandboxLevel: SandboxLevel | null
  tokens: { prompt: number; completion: number }
  /** By the user's prices; null where there are none. */
  cost: number | null
}

export interface ModelRecord {
  /** As the user named it: a directory or addresses. Never with a key. */
  place: string
  identity: EngineIdentity
  description: Readonly<Record<string, unknown>>
}

export interface BenchmarkRecord {
  kind: string
  profile: string
  version: string
  files: readonly { path: string; sha256: string }[]
  /** What opens it again. */
  spec: Readonly<Record<string, unknown>>
  /** How many of it were asked, the first ones; null for all. */
  limit: number | null
  /** The ids of those; null for all. Answers to others that are stored do not count. */
  asked: readonly string[] | null
  questions: number
  trials: number
  confidential: boolean
  needsPrograms: boolean
  notes: readonly string[]
}
