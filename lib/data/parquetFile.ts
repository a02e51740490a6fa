import { type FileHandle, open } from 'node:fs/promises'
import { type AsyncBuffer, type FileMetaData, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { headBytes, otherKind } from './textFormat.js'

/** A row, or why it has no value. */
export type ParquetRow = { value: Record<string, unknown>; problem: undefined } | { value: undefined; problem: string }

/** What is known of a Parquet file before its rows are read. */
export interface ParquetOutline {
  /** Names of the columns. */
  columns: string[]
  /** Rows and compressed bytes of each row group. */
  groups: { rows: number; bytes: number }[]
}

/**
 * A Parquet file that is read a row group at a time. Of damaged files the decoder may throw anything, take all memory or never
 * come back: parquetWorker.ts has it in a thread.
 */
export class ParquetFile {
  private constructor(
    private readonly handle: FileHandle,
    private readonly buffer: AsyncBuffer,
    private readonly metadata: FileMetaData,
    readonly outline: ParquetOutline,
  ) {}

  static async open(path: string, bytes: number): Promise<ParquetFile> {
    const handle = await open(path)
    const buffer = asyncBuffer(handle, bytes)
    const head = Buffer.from(await buffer.slice(0, Math.min(headBytes, bytes)))
    const other = otherKind(head)
    if (other && !head.toString('latin1').startsWith('PAR1')) throw new Error(`it is ${other.kind}. ${other.cure}`)
    const metadata = await parquetMetadataAsync(buffer)
    const groups = metadata.row_groups.map(({ num_rows, total_byte_size, columns }) => {
      const compressed = columns.reduce((sum, { meta_data }) => sum + Number(meta_data?.total_compressed_size ?? 0), 0)
      return { rows: Number(num_rows), bytes: compressed || Number(total_byte_size) }
    })
    const rows = groups.reduce((sum, group) => sum + group.rows, 0)
    // A row takes a part of a bit at least, even where whole columns are runs of one value.
    if (rows > bytes * 2 ** 13 || groups.some((group) => group.rows < 0)) throw new Error(`it has ${rows} rows`)
    return new ParquetFile(handle, buffer, metadata, { columns: columnNames(metadata), groups })
  }

  /** The rows of a group with those of `columns` that the file has; with all without it. */
  async readGroup(index: number, columns: readonly string[] | undefined): Promise<ParquetRow[]> {
    const { groups, columns: known } = this.outline
    const rowStart = groups.slice(0, index).reduce((sum, { rows }) => sum + rows, 0)
    const count = groups[index]?.rows ?? 0
    const wanted = columns?.filter((column) => known.includes(column))
    // Rows of which no column is wanted are rows all the same: the format says what they lack.
    if (wanted?.length === 0) return Array.from({ length: count }, () => ({ value: {}, problem: undefined }))
    const range = { rowStart, rowEnd: rowStart + count, ...(wanted && { columns: wanted }) }
    const texts = new Texts()
    const parsers = { stringFromBytes: texts.decode }
    const rows = await parquetReadObjects({
      file: this.buffer,
      metadata: this.metadata,
      compressors,
      parsers,
      ...range,
    })
    if (rows.length !== count) throw new Error(`it has ${rows.length} of ${count} rows`)
    return rows.map((value) => texts.row(value))
  }

  async close(): Promise<void> {
    await this.handle.close()
  }
}

/** Stands in a row for bytes that are no UTF-8, which the decoder of Parquet would replace by U+FFFD. */
class NoText {}

/** Columns of texts; also those of bytes, which some programs write for texts. */
class Texts {
  private readonly utf8 = new TextDecoder('utf-8', { fatal: true })
  private all = true

  readonly decode = (bytes: Uint8Array | undefined): unknown => {
    if (!bytes) return bytes
    try {
      return this.utf8.decode(bytes)
    } catch {
      this.all = false
      return new NoText()
    }
  }

  row(value: Record<string, unknown>): ParquetRow {
    const column = this.all ? undefined : Object.keys(value).find((key) => hasNoText(value[key]))
    return column === undefined
      ? { value, problem: undefined }
      : { value: undefined, problem: `the column ${column} is not UTF-8` }
  }
}

const hasNoText = (value: unknown): boolean =>
  value instanceof NoText ||
  (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value) && Object.values(value).some(hasNoText))

/** The root's children; the schema is a tree in depth-first order. */
function columnNames({ schema }: FileMetaData): string[] {
  const names: string[] = []
  let i = 1
  const skip = (): void => {
    const children = schema[i++]?.num_children ?? 0
    for (let child = 0; child < children && i < schema.length; child++) skip()
  }
  while (i < schema.length) {
    names.push(schema[i]?.name ?? '')
    skip()
  }
  return names
}

function asyncBuffer(handle: FileHandle, bytes: number): AsyncBuffer {
  return {
    byteLength: bytes,
    async slice(start, end = bytes) {
      const [from, to] = [start < 0 ? bytes + start : start, end < 0 ? bytes + end : end]
      if (!(from >= 0 && to >= from && to <= bytes)) throw new Error('a part lies outside of the file')
      const buffer = new ArrayBuffer(to - from)
      const { bytesRead } = await handle.read(new Uint8Array(buffer), 0, to - from, from)
      if (bytesRead < to - from) throw new Error('it shrank while it was read')
      return buffer
    },
  }
}
