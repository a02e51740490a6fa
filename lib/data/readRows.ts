import { isMapping } from '../validate.js'
import type { RawRow } from './rawRow.js'
import { readParquet, readParquetColumns } from './readParquet.js'
import { readText } from './readText.js'
import type { SourceFile } from './sourceFiles.js'

/** Rows of a file in portions, in their order; memory does not grow with the file. */
export function readRows(file: SourceFile, columns: readonly string[] | undefined): AsyncGenerator<RawRow[]> {
  return file.kind === 'parquet' ? readParquet(file, columns) : readText(file)
}

/** What the beginning of a file tells of its rows. */
export interface FirstRow {
  /** Names of the columns: of the schema, or of the first row that is an object. */
  columns: string[]
  /** Why the first row that is none cannot be read, and its line; undefined where there is no such row. */
  problem: { line: number | undefined; text: string } | undefined
}

/** As many rows without one object mean that the file holds something else. */
const maxRowsTried = 1000

export async function readFirstRow(file: SourceFile): Promise<FirstRow> {
  if (file.kind === 'parquet') return { columns: await readParquetColumns(file), problem: undefined }
  let problem: FirstRow['problem']
  let tried = 0
  for await (const rows of readText(file)) {
    for (const { line, value, problem: unreadable } of rows) {
      if (isMapping(value)) return { columns: Object.keys(value), problem }
      problem ??= { line, text: unreadable ?? `expected an object but the row is ${kindOf(value)}` }
      if (++tried === maxRowsTried) return { columns: [], problem }
    }
  }
  return { columns: [], problem }
}

const kindOf = (value: unknown): string =>
  Array.isArray(value) ? 'a list' : value === null ? 'null' : `a ${typeof value}`
