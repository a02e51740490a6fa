import type { VerdictStatus } from '../../grading/verdict.js'

/** One graded answer, as the analysis sees it. */
export interface Outcome {
  model: string
  benchmark: string
  question: string
  trial: number
  labels: Readonly<Record<string, string>>
  status: VerdictStatus
  /** Canonical answer, for votes. */
  extracted: string | null
  metrics?: Readonly<Record<string, { passed: number; total: number }>> | undefined
  /** Output tokens, reasoning included; null where nobody counted. */
  tokens: number | null
  truncated: boolean
}

/** [low, high] of a 95 % interval. */
export type Interval = readonly [low: number, high: number]

/** Output tokens of answers, truncated ones included. Between two of them, percentiles are interpolated. */
export interface Lengths {
  answers: number
  mean: number
  p5: number
  p25: number
  median: number
  p75: number
  p95: number
  max: number
}

/** One model on one benchmark. Shares are in [0, 1]. */
export interface Score {
  model: string
  benchmark: string
  questions: number
  /** Of each question, where all have the same number; otherwise [least, most]. Every question weighs the same. */
  trials: number | readonly [least: number, most: number]
  /** Mean over questions of the share of right trials. */
  passAt1: number
  /** Two-level bootstrap: questions, then trials. */
  interval: Interval
  /** As if the questions were drawn from many. */
  errorOverQuestions: number | null
  /** For these questions; null with one trial. */
  errorOverTrials: number | null
  /** Unbiased, for k of 1, 2, 4, 8 … up to the trials. */
  passAtK: Readonly<Record<number, number>>
  /**
   * Share of questions whose most frequent answer among all trials is right; ties share. Null with one trial, and where right
   * answers have no canonical form to vote with.
   */
  consensus: number | null
  /** Accuracy over all questions by trial, as many as each question has; the deviation divides by their number. */
  perTrial: { mean: number; deviation: number; least: number; most: number }
  statuses: Readonly<Record<VerdictStatus, number>>
  /** Of all answers. */
  truncatedShare: number
  lengths: { all: Lengths | null; right: Lengths | null; wrong: Lengths | null }
  metrics: Readonly<Record<string, number>>
  /** By label and value: questions and pass@1. */
  groups: Readonly<Record<string, Readonly<Record<string, { questions: number; passAt1: number }>>>>
  /** Mean of the groups of the label `task`, each weighing the same (BBH); absent without it. */
  macro?: number | undefined
  /** Share of right trials by question id. */
  byQuestion: Readonly<Record<string, number>>
}

/** Two models on the questions that both answered. */
export interface Difference {
  model: string
  baseline: string
  benchmark: string
  /** Questions that both answered. */
  questions: number
  /** The model's pass@1 less the baseline's. */
  delta: number
  /** Paired bootstrap over the same questions. */
  interval: Interval
  /** Two-sided, of the same bootstrap. */
  p: number
  /** True where the interval holds 0. */
  noise: boolean
  /** Question ids whose share rose or fell, the largest change first. */
  gained: readonly { question: string; from: number; to: number }[]
  lost: readonly { question: string; from: number; to: number }[]
}

/** The merged model against each expert. */
export interface ExpertComparison {
  merged: string
  experts: readonly string[]
  differences: readonly Difference[]
}

/** What `compare` finds; every table, figure and page is drawn from it. */
export interface EvaluationResults {
  format: 'branchmerge evaluation results'
  version: 1
  models: readonly string[]
  benchmarks: readonly {
    name: string
    kind: string
    profile: string
    version: string
    confidential: boolean
    notes: readonly string[]
  }[]
  baseline: string | null
  scores: readonly Score[]
  /** Every other model against the baseline; none without one. */
  differences: readonly Difference[]
  /** On each benchmark, the model with the highest pass@1 against the next: the best one where the interval excludes 0. */
  leaders: readonly Difference[]
  /** Null where no model is left to be an expert. */
  experts: ExpertComparison | null
  bootstrap: { samples: number; seed: number }
  /** How answers were made: sampling, seeds, servers, files; by benchmark and model where they differ. */
  provenance: Readonly<Record<string, unknown>>
}
