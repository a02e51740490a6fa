import type { Sampling } from '../../engines/generation.js'
import type { Question } from '../../questions/question.js'

/** `strict` grades right; `paper` grades as the code of the TinyR1 authors does, faults included. */
export type Profile = 'strict' | 'paper'

export interface Benchmark {
  /** As the user calls it. */
  name: string
  /** `aime`, `math-500`, `gpqa-diamond`, `livecodebench`, `humaneval`, `ifeval`, `bbh`, `custom`. */
  kind: string
  profile: Profile
  /** Of prompts and grading together: changes when either does. */
  version: string
  files: readonly { path: string; sha256: string }[]
  questions: readonly Question[]
  /** Trials when the user names none. */
  trials: number
  /** What the profile sets and the user did not. */
  sampling: Partial<Sampling>
  /** True where grading runs programs. */
  needsPrograms: boolean
  /** Questions are not to be shown in public reports (GPQA's licence asks so). */
  confidential: boolean
  /** What readers should know: rows with known defects, questions outside the window. */
  notes: readonly string[]
}
