import type { Completion } from '../../lib/grading/completion.js'

/** A completion that has an answer and no reasoning. */
export const answered = (answer: string, truncated = false): Completion => ({
  reasoning: '',
  answer,
  full: answer,
  closed: true,
  truncated,
})
