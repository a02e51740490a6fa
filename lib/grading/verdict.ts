/**
 * What a grader found. `truncated`: the answer ended at the token limit before it was given; `no-answer`: nothing that the
 * grader recognises as an answer; `unsupported`: the grader cannot tell, and it counts as wrong.
 */
export type VerdictStatus = 'correct' | 'wrong' | 'truncated' | 'no-answer' | 'unsupported'

/** Why an answer counts as it does. */
export interface Verdict {
  status: VerdictStatus
  /** What was taken as the answer, in a canonical form in which equal answers are the same text; null where there is none. */
  extracted: string | null
  /** The rule by which it was taken and, where it matters, the one by which it was compared. */
  rule: string
  /** One line for people: the failing test, the error. */
  detail?: string | undefined
  /** Further figures, such as IFEval's instructions: sums over all answers are divided, passed by total. */
  metrics?: Readonly<Record<string, { passed: number; total: number }>> | undefined
}
