/** What a step did: rows and answers that came, those that stayed, and why the others did not. */
export interface FunnelStep {
  name: string
  /** `read`, `join`, `map` and `write`, which every selection has, or a kind of step. */
  kind: string
  description: string
  rowsIn: number
  rowsKept: number
  answersIn: number
  answersKept: number
  /** Rows by reason. rowsIn is rowsKept and the sum of these. */
  rejected: Record<string, number>
}

/** A file that was read. */
export interface SelectionInput {
  /** Name of the source, with the part behind a dot, or of the step. */
  of: string
  /** Without directories. */
  file: string
  bytes: number
  sha256: string
}

/** How the rows of a part went together with those of a source. */
export interface JoinRecord {
  source: string
  part: string
  /** Rows of the part. */
  rows: number
  /** Rows of the part without a key, and the first of them. */
  withoutKey: number
  /** Rows of the part with a key that an earlier, different row has, and the first of them. */
  repeated: number
  /** Rows of the part whose key no row of the source has. */
  unused: number
  /** Where the first rows without a key and with a repeated one are. */
  places: string[]
}

/** OUT.selection.json: what a file of training data was selected from, and how. The same input gives the same record. */
export interface SelectionRecord {
  format: 1
  /** Of branchmerge. */
  version: string
  /** As it was given, with what was said outside of it. */
  recipe: unknown
  seed: number
  /** Rows of each source at most; null where all were read. */
  limit: number | null
  inputs: SelectionInput[]
  joins: JoinRecord[]
  funnel: FunnelStep[]
  /** What else to know: quotas that were not filled. */
  notes: string[]
  output: {
    /** Without directories. */
    file: string
    /** Conversations: as many as rows, where one answer of each remains. */
    rows: number
    bytes: number
    sha256: string
  }
}

/** How far a selection is. */
export interface SelectionProgress {
  /** hash: reading for the record; join: reading parts; select: the steps; write: writing what had to wait for the last row. */
  phase: 'hash' | 'join' | 'select' | 'write'
  /** Bytes of files, as they lie on the disk, in this phase; rows in the phase write. */
  done: number
  total: number
  /** Rows that the steps have seen, and that have passed all of them so far. */
  rowsDone: number
  rowsKept: number
}
