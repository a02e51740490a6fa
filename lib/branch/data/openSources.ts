import { BranchMergeError } from '../../errors.js'
import { columnsOf, detectFormat, type RowReader } from './conversation.js'
import type { ResolvedData, ResolvedSource } from './options.js'
import { readColumns } from './readRows.js'
import { listSourceFiles, type SourceFile } from './sourceFiles.js'

/** A source whose files were found and whose format is known. */
export interface OpenSource {
  source: ResolvedSource
  reader: RowReader
  files: SourceFile[]
  bytes: number
  /** Columns that are read from files that keep them apart. */
  columns: string[]
}

/** @throws ERR_FILE_READ, ERR_DATA */
export async function openSources(data: ResolvedData): Promise<OpenSource[]> {
  const opened: OpenSource[] = []
  for (const source of data.sources) opened.push(await openSource(source, data.system))
  return opened
}

async function openSource(source: ResolvedSource, defaultSystem: string | undefined): Promise<OpenSource> {
  const files = await listSourceFiles(source.paths)
  const present = await readColumns(files[0] as SourceFile)
  const format = source.format === 'auto' ? detectFormat(present, source) : source.format
  if (!format) throw unknownFormat(source, files[0] as SourceFile, present)
  const reader = { ...source, format, defaultSystem }
  await checkParquetColumns(source, files)
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  return { source, reader, files, bytes, columns: columnsOf(reader) }
}

function unknownFormat({ name }: ResolvedSource, { path }: SourceFile, present: readonly string[]): BranchMergeError {
  const found = present.length > 0 ? `it has ${present.slice(0, 30).join(', ')}` : 'it has no row'
  return new BranchMergeError(
    'ERR_DATA',
    `Expected a column messages, conversations, instruction and output, or prompt and response in ${path} but ${found}. ` +
      `Name the columns of the source "${name}" with columns.`,
  )
}

/** Columns that the run names and a schema lacks: every row would be left out, or be bad. */
async function checkParquetColumns({ name, columns, where, choose }: ResolvedSource, files: readonly SourceFile[]) {
  const named = [...Object.values(columns), ...[...where, ...choose].map(([column]) => column)]
  for (const file of files.filter(({ kind }) => kind === 'parquet')) {
    const present = await readColumns(file)
    const missing = named.filter((column) => !present.includes(column))
    if (missing.length === 0) continue
    throw new BranchMergeError(
      'ERR_DATA',
      `Expected the columns ${missing.join(', ')} of the source "${name}" in ${file.path} but it has ${present.join(', ')}`,
    )
  }
}
