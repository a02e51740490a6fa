/** An answer, taken apart for grading. */
export interface Completion {
  reasoning: string
  /** What stands after the reasoning; empty where the reasoning was never closed. */
  answer: string
  /** Both, as the model wrote them, joined by `</think>` where the server separated them. */
  full: string
  /** False where the reasoning never ended. */
  closed: boolean
  /** True where the limit of tokens ended it. */
  truncated: boolean
}
