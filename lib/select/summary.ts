import type { FunnelStep, JoinRecord } from './funnel.js'

/** What a selection wrote, and what it left out. */
export interface SelectionSummary {
  out: string
  /** The files beside it: rejected rows, the record, the drawn funnel. */
  rejected: string
  record: string
  picture: string
  /** Rows of all sources that were read. */
  rowsRead: number
  /** Conversations that were written. */
  rows: number
  /** Of the file. */
  bytes: number
  sha256: string
  funnel: FunnelStep[]
  joins: JoinRecord[]
  notes: string[]
  seconds: number
  /** Time of each step of the funnel: rows a second are its rowsIn divided by this. */
  secondsOfSteps: number[]
}

/** What a selection would do. */
export interface SelectionPlan {
  out: string
  sources: {
    name: string
    files: string[]
    bytes: number
    /** Columns that are read; of text files all are. */
    columns: string[]
    parts: { name: string; on: string; files: string[]; bytes: number }[]
    /** What the first row is taken for, or why it cannot be used. */
    first: string
  }[]
  steps: { name: string; kind: string; description: string }[]
  /** Names in the result. */
  keep: string[]
  seed: number
  tokenizer: string | null
  limit: number | null
}
