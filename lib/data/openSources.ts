import { BranchMergeError } from '../errors.js'
import { columnsOf, detectFormat, type KnownFormat, type RowReader } from './conversation.js'
import type { ResolvedData, ResolvedSource } from './options.js'
import { type FirstRow, readFirstRow } from './readRows.js'
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
  const reader = { ...source, format: await formatOf(source, files), defaultSystem }
  await checkParquetColumns(source, files)
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  return { source, reader, files, bytes, columns: columnsOf(reader) }
}

/** By the columns of the first file that has a row. */
async function formatOf(source: ResolvedSource, files: readonly SourceFile[]): Promise<KnownFormat> {
  if (source.format !== 'auto') return source.format
  for (const file of files) {
    const first = await readFirstRow(file)
    if (first.columns.length > 0) return detectFormat(first.columns, source) ?? refuseFormat(source, file, first)
    if (first.problem) return refuseFormat(source, file, first)
  }
  return refuseFormat(source, files[0] as SourceFile, { columns: [], problem: undefined })
}

function refuseFormat({ name }: ResolvedSource, { path }: SourceFile, { columns, problem }: FirstRow): never {
  if (columns.length === 0 && problem) {
    const place = problem.line === undefined ? 'its first row' : `line ${problem.line}`
    throw new BranchMergeError(
      'ERR_DATA',
      `Expected rows of the source "${name}" in ${path} but ${place} cannot be used: ${problem.text}.`,
    )
  }
  if (columns.length === 0)
    throw new BranchMergeError('ERR_DATA', `Expected rows of the source "${name}" in ${path} but it has none.`)
  throw new BranchMergeError(
    'ERR_DATA',
    `Expected a column messages, conversations, instruction and output, or prompt and response in ${path} but it has ` +
      `${columns.slice(0, 30).join(', ')}. Name the columns of the source "${name}" with columns.`,
  )
}

/** Columns that the run names and a schema lacks: every row would be left out, or be bad. */
async function checkParquetColumns({ name, columns, where, choose }: ResolvedSource, files: readonly SourceFile[]) {
  const named = [...Object.values(columns), ...[...where, ...choose].map(([column]) => column)]
  for (const file of files.filter(({ kind }) => kind === 'parquet')) {
    const { columns: present } = await readFirstRow(file)
    const missing = named.filter((column) => !present.includes(column))
    if (missing.length === 0) continue
    throw new BranchMergeError(
      'ERR_DATA',
      `Expected the columns ${missing.join(', ')} of the source "${name}" in ${file.path} but it has ${present.join(', ')}`,
    )
  }
}
