import { readParquet, readParquetColumns } from './readParquet.js'
import { readText } from './readText.js'
import type { SourceFile } from './sourceFiles.js'

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

/** Rows of a file in portions, in their order; memory does not grow with the file. */
export function readRows(file: SourceFile, columns: readonly string[] | undefined): AsyncGenerator<RawRow[]> {
  return file.kind === 'parquet' ? readParquet(file, columns) : readText(file)
}

/** Names of the columns of a file: of the schema, or of the first row that is an object. */
export async function readColumns(file: SourceFile): Promise<string[]> {
  if (file.kind === 'parquet') return readParquetColumns(file)
  for await (const rows of readText(file)) {
    const found = rows.find(({ value }) => typeof value === 'object' && value !== null && !Array.isArray(value))
    if (found) return Object.keys(found.value as object)
  }
  return []
}
