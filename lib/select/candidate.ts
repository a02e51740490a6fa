/**
 * A row under selection: what the recipe's `map` took from it. Steps do not change one; they return another.
 *
 * Values of columns are texts, numbers, bigints (64-bit integers of Parquet, and integers of JSON beyond 2^53), booleans, null,
 * lists and objects, whatever kind of file they come from. A null cell may also be absent.
 */
export interface Candidate {
  /** Name of its source. */
  readonly source: string
  /** In its source, from 0. */
  readonly row: number
  readonly file: string
  /** In its file, from 0. */
  readonly fileRow: number
  /** Of a text file, from 1. */
  readonly line: number | undefined
  /** Columns that steps or `keep` name, for `cellOf`; those of a joined part are one object under the part's name. */
  readonly columns: Readonly<Record<string, unknown>>
  readonly system: string | undefined
  /** Not blank. */
  readonly question: string
  /** The reference answer, where the row has one that is not blank. */
  readonly reference: string | undefined
  /** The options of a multiple-choice question, where the row has some. */
  readonly choices: readonly string[] | undefined
  /** Tests of a program, as the row has them: a list, an object, or JSON in a text. */
  readonly tests: unknown
  /** The generations that are still there, in the row's order; at least one. */
  readonly answers: readonly Answer[]
}

/** A generation of a row: reasoning and what follows it, without the tags between them. */
export interface Answer {
  /** In the row's list, from 0. */
  readonly index: number
  /** Undefined where there is none: no tags and no column. Trimmed. */
  readonly reasoning: string | undefined
  /** What stands after the reasoning, trimmed; empty where the reasoning never ended. */
  readonly text: string
  /** False where the reasoning begins and never ends. */
  readonly closed: boolean
  /** Why it ended, in the row's words: `stop`, `length`. */
  readonly finish: string | undefined
  /** This answer's element of each list column that `map.labels` names; of other columns the value. Undefined where there is none. */
  readonly labels: Readonly<Record<string, unknown>>
  /** Set by a step that verifies. `unverifiable`: nobody can tell, which is never correct. */
  readonly verdict: 'correct' | 'wrong' | 'unverifiable' | undefined
}
