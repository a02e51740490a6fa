import type { Prompt, Sampling } from '../../engines/generation.js'
import type { Completion } from '../../grading/completion.js'
import type { Verdict } from '../../grading/verdict.js'
import type { ProgramRunner } from '../../sandbox/program.js'

/** `strict` grades right; `paper` grades as the code of the TinyR1 authors does, faults included. */
export type Profile = 'strict' | 'paper'

/** What grading may use. */
export interface GradeContext {
  trial: number
  /** The evaluation's seed, from which shuffles come. */
  seed: number
  /** Absent where no question of the benchmark needs programs. */
  programs?: ProgramRunner | undefined
  signal?: AbortSignal | undefined
}

export interface Question {
  /** Unique in its benchmark, the same for every model. */
  id: string
  /** By which scores are also shown: `difficulty`, `subject`, `task`. */
  labels: Readonly<Record<string, string>>
  /** Text instead of messages where the profile renders its own. The same arguments give the same prompt. */
  prompt(trial: number, seed: number): Prompt
  /** The right answer, for transcripts: a short text. */
  reference: string
  grade(completion: Completion, context: GradeContext): Promise<Verdict>
}

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
