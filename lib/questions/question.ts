import type { Prompt } from '../engines/generation.js'
import type { Completion } from '../grading/completion.js'
import type { Verdict } from '../grading/verdict.js'
import type { ProgramRunner } from '../sandbox/program.js'

/** What grading may use. */
export interface GradeContext {
  /** Which answer to the question it is, from 0. */
  trial: number
  /** From which shuffles come. */
  seed: number
  /** Absent where no question needs programs. */
  programs?: ProgramRunner | undefined
  signal?: AbortSignal | undefined
}

export interface Question {
  /** Unique among those that are asked together, the same for every model. */
  id: string
  /** What is asked alone: without instructions, examples and options. */
  text: string
  /** By which scores are also shown: `difficulty`, `subject`, `task`. */
  labels: Readonly<Record<string, string>>
  /** Text instead of messages where a benchmark renders its own. The same arguments give the same prompt. */
  prompt(trial: number, seed: number): Prompt
  /** The right answer, for transcripts: a short text. */
  reference: string
  grade(completion: Completion, context: GradeContext): Promise<Verdict>
}
