import type { StoredAnswer, StoredFailure } from '../asking/records.js'
import type { EngineIdentity, Sampling } from '../engines/generation.js'
import type { QualityOptions } from '../select/quality/qualityOptions.js'
import type { Quota } from './resolveTeaching.js'
import type { ReasoningForm } from './teachingOptions.js'

/** Which answer to which question, from 0. */
export interface AnswerPlace {
  question: string
  attempt: number
}

/** A line of answers.jsonl: one answer as it came, or why none did. */
export type TaughtAnswer = StoredAnswer & AnswerPlace
export type TaughtFailure = StoredFailure & AnswerPlace

/** What became of an answer. */
export type Decision =
  | { decision: 'accepted'; verdict: 'correct' | 'unchecked' }
  | { decision: 'rejected'; reason: RejectionReason | (string & {}); detail: string }
  | { decision: 'truncated' }

/** Why an answer is not kept, beside the reasons of the step `quality`: stable names. */
export type RejectionReason =
  | 'wrong-answer'
  | 'no-answer'
  | 'unverifiable'
  | 'answer-empty'
  | 'reasoning-unclosed'
  | 'tags-in-reasoning'
  | 'unusable-characters'
  | 'finish-reason'

/** A line of checks.jsonl. Of several with one key the last one counts. */
export type CheckRecord = Decision & {
  v: 1
  key: string
  /** By which checks: those of the question, and of this package. */
  checks: string
  /** What was taken as the answer; null where nothing was. */
  extracted: string | null
}

/** All that determines answers but question and attempt. */
export interface Asking {
  teacher: EngineIdentity
  sampling: Sampling
  seed: number
}

/** teaching.json in the directory of answers: who was asked last. */
export interface TeachingState {
  /** Names the kind of file. */
  format: 'branchmerge teaching'
  version: 1
  /** Its place is as the user named it, never with a key. */
  teacher: { place: string; identity: EngineIdentity; description: Readonly<Record<string, unknown>> }
}

/** NAME.teaching.json beside the trajectories: where they come from. */
export interface TeachingManifest extends TeachingState {
  branchmerge: string
  /** False where answers are missing still. */
  complete: boolean
  questions: { files: readonly { path: string; sha256: string }[]; asked: number }
  /** How they were asked. */
  recipe: Quota & {
    sampling: Sampling
    seed: number
    grader: string | null
    quality: QualityOptions | null
    reasoning: ReasoningForm
  }
  /** When the first and the last of the answers were asked for, ISO 8601; null where there is none. */
  asked: { first: string | null; last: string | null }
  counts: TeachingCounts
  /** Of all answers, rejected ones included. */
  tokens: { prompt: number; completion: number }
  /** By the user's price; null where there is none. */
  cost: number | null
  files: { trajectories: OutputFile; rejected: OutputFile; truncated: OutputFile }
}

export interface TeachingCounts {
  questions: number
  /** Questions of which something is kept. */
  answered: number
  answers: number
  accepted: number
  /** By reason. */
  rejected: Readonly<Record<string, number>>
  truncated: number
  /** Answers that are to come still. */
  missing: number
}

export interface OutputFile {
  /** In the directory of the manifest. */
  name: string
  rows: number
  bytes: number
  sha256: string
}
