import { type FileHandle, open } from 'node:fs/promises'
import { type AsyncBuffer, type FileMetaData, parquetMetadataAsync, parquetReadObjects } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'
import { readFailure } from '../../checkpoint/readSmallFile.js'
import { BranchMergeError } from '../../errors.js'
import type { RawRow } from './readRows.js'
import type { SourceFile } from './sourceFiles.js'

/**
 * Rows of a Parquet file, a row group at a time; only `columns` are read, all without it.
 *
 * @throws ERR_FILE_READ, or ERR_DATA when the file is damaged: what is behind the damage cannot be found
 */
export async function* readParquet(file: SourceFile, columns: readonly string[] | undefined): AsyncGenerator<RawRow[]> {
  const handle = await open(file.path).catch((cause) => {
    throw readFailure(file.path, cause)
  })
  try {
    const buffer = asyncBuffer(handle, file)
    const metadata = await metadataOf(buffer, file)
    const known = new Set(parquetColumns(metadata))
    const wanted = columns?.filter((column) => known.has(column))
    let rowStart = 0
    let bytesRead = 0
    for (const [group, { num_rows, total_byte_size, columns: chunks }] of metadata.row_groups.entries()) {
      const rowEnd = rowStart + Number(num_rows)
      const rows = await readGroup({ buffer, metadata, wanted, rowStart, rowEnd, file, group })
      const compressed = chunks.reduce((sum, { meta_data }) => sum + Number(meta_data?.total_compressed_size ?? 0), 0)
      bytesRead = Math.min(file.bytes, bytesRead + (compressed || Number(total_byte_size)))
      const first = rowStart
      yield rows.map((value, i) => ({ row: first + i, line: undefined, value, problem: undefined, bytesRead }))
      rowStart = rowEnd
    }
  } finally {
    await handle.close()
  }
}

/** Names of the columns of a Parquet file. */
export async function readParquetColumns(file: SourceFile): Promise<string[]> {
  const handle = await open(file.path).catch((cause) => {
    throw readFailure(file.path, cause)
  })
  try {
    return parquetColumns(await metadataOf(asyncBuffer(handle, file), file))
  } finally {
    await handle.close()
  }
}

/** The root's children; the schema is a tree in depth-first order. */
function parquetColumns({ schema }: FileMetaData): string[] {
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

interface GroupRead {
  buffer: AsyncBuffer
  metadata: FileMetaData
  wanted: string[] | undefined
  rowStart: number
  rowEnd: number
  file: SourceFile
  group: number
}

async function readGroup(read: GroupRead): Promise<Record<string, unknown>[]> {
  const { buffer, metadata, wanted, rowStart, rowEnd, file, group } = read
  // Rows of which no column is wanted are rows all the same: the format says what they lack.
  if (wanted?.length === 0) return Array.from({ length: rowEnd - rowStart }, () => ({}))
  const options = { file: buffer, metadata, compressors, rowStart, rowEnd, ...(wanted && { columns: wanted }) }
  const rows = await parquetReadObjects(options).catch((cause) => {
    throw damaged(file, `row group ${group}`, cause)
  })
  if (rows.length === rowEnd - rowStart) return rows
  throw damaged(file, `row group ${group}`, new Error(`${rows.length} of ${rowEnd - rowStart} rows`))
}

async function metadataOf(buffer: AsyncBuffer, file: SourceFile): Promise<FileMetaData> {
  const metadata = await parquetMetadataAsync(buffer).catch((cause) => {
    throw damaged(file, 'footer', cause)
  })
  const rows = metadata.row_groups.reduce((sum, { num_rows }) => sum + Number(num_rows), 0)
  // Each row takes a bit at least, even where whole columns are runs of one value.
  if (rows > file.bytes * 2 ** 13 || metadata.row_groups.some(({ num_rows }) => num_rows < 0n)) {
    throw damaged(file, 'footer', new Error(`${rows} rows`))
  }
  return metadata
}

function damaged({ path }: SourceFile, part: string, cause: unknown): BranchMergeError {
  if (cause instanceof BranchMergeError) return cause
  const message = cause instanceof Error ? cause.message : String(cause)
  return new BranchMergeError('ERR_DATA', `Expected a whole Parquet file at ${path}, but its ${part}: ${message}`, {
    cause,
  })
}

function asyncBuffer(handle: FileHandle, { path, bytes }: SourceFile): AsyncBuffer {
  return {
    byteLength: bytes,
    async slice(start, end = bytes) {
      const [from, to] = [start < 0 ? bytes + start : start, end < 0 ? bytes + end : end]
      if (!(from >= 0 && to >= from && to <= bytes)) throw new Error(`a part lies outside of the file`)
      const buffer = new ArrayBuffer(to - from)
      const { bytesRead } = await handle.read(new Uint8Array(buffer), 0, to - from, from).catch((cause) => {
        throw readFailure(path, cause)
      })
      if (bytesRead < to - from) throw new BranchMergeError('ERR_FILE_CHANGED', `${path} shrank while it was read`)
      return buffer
    },
  }
}
