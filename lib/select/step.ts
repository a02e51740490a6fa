import type { Path, Problems } from '../recipe/problems.js'
import type { Candidate } from './candidate.js'

/** Why a step takes a row out. */
export interface Rejection {
  /** Stable and few, in kebab-case, or a name out of the recipe: the funnel counts rows by it. */
  reason: string
  /** What was found in this row, in one line for people; may be empty. */
  detail: string
}

/** What a step says of a row. */
export type Outcome = { kept: Candidate } | { rejected: Rejection }

/** What every step has. */
interface Opened {
  /** Files that it read beside the sources, for the record: their hashes become part of it. */
  readonly files?: readonly string[]
  /** What people should know of how it went, asked after the last row: a quota that was not filled. */
  notes?(): string[]
  /** Called once, whatever has happened. */
  close?(): Promise<void>
}

/** Judges rows in their order, a portion at a time. Memory grows with an index of the rows at most, not with the rows. */
export interface Step extends Opened {
  /**
   * One outcome for each row, in the same order. The portions' lengths mean nothing: outcomes are the same however rows are divided.
   *
   * @throws the signal's reason after an abort
   */
  apply(portion: readonly Candidate[], signal: AbortSignal): Outcome[] | Promise<Outcome[]>
}

/** Judges rows when it has seen all of them. Meanwhile the runner keeps them on the disk. */
export interface Draw extends Opened {
  /** Notes a row, as little of it as the decision needs. */
  add(candidate: Candidate): void
  /** Of each row that was added, in the same order: why it is taken out, or undefined where it stays. */
  decide(): (Rejection | undefined)[]
}

/** What a step may use of the whole selection. */
export interface StepContext {
  /** Of the selection; random choices are to depend on it, on `place`, and on a row's source and number. */
  seed: number
  /** Position of the step in the recipe, from 0. */
  place: number
  /** Directory of the student's tokenizer, where the recipe names one. */
  tokenizer: string | undefined
  /** Threads or processes that a step may use. */
  threads: number
  signal: AbortSignal
  /** A path in the step's options, which starts from the recipe's directory, as one to open. */
  resolvePath(path: string): string
}

/**
 * A kind of step. Its options have passed its part of recipes/selection.schema.json (`$defs`, named as the step) when any of
 * these is called.
 */
export interface StepKind<Options = unknown> {
  /** Columns that it looks at; only columns that someone names are read. Names as `cellOf` takes them. */
  columns(options: Options): readonly string[]
  /** Adds what is wrong with the options and no schema can tell. `path` leads to them. */
  check?(options: Options, problems: Problems, path: Path, recipe: RecipeFacts): void
  /**
   * What it does, in a few words for the funnel: `1 answer, first of those that fit`. Texts and numbers of the options alone.
   */
  describe(options: Options): string
  /** Files that the options name; those on the Hub are fetched before the selection begins. */
  files?(options: Options): readonly string[]
  open(options: Options, context: StepContext): Step | Draw | Promise<Step | Draw>
}

/** What checks of steps may want to know of the rest of a recipe. */
export interface RecipeFacts {
  /** Names of answer labels that a source maps. */
  labels: readonly string[]
  /** Whether the recipe names the student's tokenizer. */
  hasTokenizer: boolean
}
