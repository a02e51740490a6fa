/** A row of a file as it was read. */
export interface RawRow {
  /** In its file, from 0. */
  row: number
  /** Of a text file, from 1. */
  line: number | undefined
  value: unknown
  /** Why there is no value. */
  problem: string | undefined
  /** Of the file, up to about this row. */
  bytesRead: number
}
