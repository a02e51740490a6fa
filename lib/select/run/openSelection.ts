import { readFirstRow } from '../../data/readRows.js'
import { listSourceFiles, type SourceFile } from '../../data/sourceFiles.js'
import { BranchMergeError } from '../../errors.js'
import { columnsNamed } from '../cell.js'
import type { ResolvedPart, ResolvedSelection, ResolvedSelectionSource } from './resolveSelection.js'

/** A part whose files were found. */
export interface OpenPart extends ResolvedPart {
  files: SourceFile[]
  /** Columns to read. */
  columns: string[]
}

/** A source whose files were found. */
export interface OpenSelectionSource extends ResolvedSelectionSource {
  files: SourceFile[]
  columns: string[]
  openParts: OpenPart[]
  /** Columns that candidates keep after they are mapped. */
  kept: { columns: string[]; ofParts: [part: string, columns: string[]][] }
}

/**
 * Finds the files of a selection and the columns that are read of them.
 *
 * @throws ERR_FILE_READ, ERR_DATA for files of other kinds and for columns that no file has
 */
export async function openSelection(selection: ResolvedSelection): Promise<OpenSelectionSource[]> {
  const later = laterColumns(selection)
  const opened: OpenSelectionSource[] = []
  for (const source of selection.sources) opened.push(await openSource(source, later))
  await checkLaterColumns(opened, later)
  return opened
}

/** Columns that steps and the result need, by who names them first. */
function laterColumns({ steps, keep }: ResolvedSelection): Map<string, string> {
  const named = [
    ...steps.flatMap(({ name, work, options }) => work.columns(options).map((column) => [column, `the step ${name}`])),
    ...keep.map(([, column]) => [column, 'keep']),
  ]
  const later = new Map<string, string>()
  for (const [column = '', who = ''] of named) if (!later.has(column)) later.set(column, who)
  return later
}

async function openSource(
  source: ResolvedSelectionSource,
  later: ReadonlyMap<string, string>,
): Promise<OpenSelectionSource> {
  const files = await listSourceFiles(source.paths)
  const { labels, ...map } = source.map
  const mapped = [...Object.values(map), ...labels.map(([, column]) => column)].filter((column) => column !== undefined)
  const keys = source.parts.map(({ on }) => on.source)
  const names = [...mapped, ...later.keys()]
  const openParts: OpenPart[] = []
  for (const part of source.parts) {
    const ofPart = namesIn(part.name, names)
    const partFiles = await listSourceFiles(part.paths)
    const who = `the part ${part.name} of the source "${source.name}"`
    await checkColumns(partFiles, [part.on.part, ...namesIn(part.name, mapped)], who)
    openParts.push({ ...part, files: partFiles, columns: unique([part.on.part, ...ofPart].flatMap(columnsNamed)) })
  }
  const partNames = source.parts.map(({ name }) => name)
  const isOwn = (name: string) => !partNames.some((part) => name.startsWith(`${part}.`))
  await checkColumns(files, [...mapped, ...keys].filter(isOwn), `the source "${source.name}"`)
  const ownLater = [...later.keys()].filter(isOwn)
  return {
    ...source,
    files,
    columns: unique([...names, ...keys].filter(isOwn).flatMap(columnsNamed)),
    openParts,
    kept: {
      columns: unique(ownLater.flatMap(columnsNamed)),
      ofParts: partNames.map((part) => [part, unique(namesIn(part, [...later.keys()]).flatMap(columnsNamed))]),
    },
  }
}

const unique = (names: readonly string[]): string[] => [...new Set(names)]

/** The names that begin with a part's, without that. */
const namesIn = (part: string, names: readonly string[]): string[] =>
  names.flatMap((name) => (name.startsWith(`${part}.`) ? [name.slice(part.length + 1)] : []))

/** Columns that a recipe names and a schema lacks: every row would be rejected. Rows of text each have columns of their own. */
async function checkColumns(files: readonly SourceFile[], names: readonly string[], who: string): Promise<void> {
  for (const file of files.filter(({ kind }) => kind === 'parquet')) {
    const { columns } = await readFirstRow(file)
    const missing = unique(names).filter((name) => !columnsNamed(name).some((column) => columns.includes(column)))
    if (missing.length === 0) continue
    throw new BranchMergeError(
      'ERR_DATA',
      `Expected the columns ${missing.join(', ')} of ${who} in ${file.path} but it has ${columns.join(', ')}`,
    )
  }
}

/** A column that a step names may be of one source alone, but not of none. */
async function checkLaterColumns(sources: readonly OpenSelectionSource[], later: ReadonlyMap<string, string>) {
  const known = new Set<string>()
  for (const { files, openParts } of sources) {
    const all = [{ prefix: '', files }, ...openParts.map((part) => ({ prefix: `${part.name}.`, files: part.files }))]
    for (const { prefix, files } of all) {
      for (const file of files) {
        if (file.kind !== 'parquet') return
        for (const column of (await readFirstRow(file)).columns) known.add(prefix + column)
      }
    }
  }
  for (const [name, who] of later) {
    if (known.has(name) || [...known].some((column) => name.startsWith(`${column}.`))) continue
    throw new BranchMergeError(
      'ERR_DATA',
      `Expected the column ${name}, which ${who} names, in a source but there are ${[...known].join(', ')}`,
    )
  }
}
