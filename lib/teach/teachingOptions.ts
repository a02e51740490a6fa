import type { Price, RequestLimits } from '../asking/budget.js'
import type { GivenModel } from '../asking/resolveModel.js'
import type { Sampling } from '../engines/generation.js'
import type { SandboxOptions } from '../sandbox/sandboxOptions.js'
import type { QualityOptions } from '../select/quality/qualityOptions.js'

/** A model that only batch files ask: nothing but its name is known. */
export interface BatchTeacher {
  model: string
  price?: Price | undefined
}

/** Whom a teacher answers what, and which answers are kept: recipes/teaching.schema.json in types; docs/teach.md explains each. */
export interface TeachingOptions {
  /** A file of questions (.jsonl, .json or .parquet), a directory, or files by a name with `*`. */
  questions: string
  /** A directory, a URL (`http://host:8000/v1#served-name`), or an engine with options. */
  teacher: GivenModel | BatchTeacher
  /** The file of trajectories, .jsonl. */
  out: string
  /** Answers to each question, 1 to 100,000. Default: 1. */
  answers?: number | undefined
  /** Instead: answers that are accepted, of each question, 1 to 100,000; what is rejected is asked for again. */
  untilCorrect?: number | undefined
  /** With `untilCorrect`: answers to one question at most, 1 to 100,000. Default: 8. */
  attempts?: number | undefined
  /** Ask only the first questions. */
  limit?: number | undefined
  /** Of rows that name no grader. */
  grader?: string | undefined
  /** What answers must be like beside right: as the step `quality` of selections (docs/select.md). */
  quality?: QualityOptions | undefined
  /** Directory of the student's tokenizer, whose tokens `quality.length` counts. */
  tokenizer?: string | undefined
  /** Where the reasoning goes: into the text, as `<think>`, or into `reasoning_content`. Default: think. */
  reasoning?: ReasoningForm | undefined
  /** Of requests and shuffles, from 0 to 2^53 − 1. Default: 0. */
  seed?: number | undefined
  /** Default: as the paper, temperature 0.6, top-p 0.95, 32,768 tokens. */
  sampling?: Partial<Sampling> | undefined
  /** What may be used in all, stored answers included. */
  limits?: RequestLimits | undefined
  sandbox?: SandboxOptions | undefined
}

export type ReasoningForm = 'think' | 'field'
