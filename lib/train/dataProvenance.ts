import { basename, dirname, join } from 'node:path'
import type { ResolvedData } from '../data/options.js'
import { listSourceFiles, type SourceFile } from '../data/sourceFiles.js'
import { hashFile } from '../files/hashFile.js'
import { readSmallFile } from '../files/readSmallFile.js'
import { nameInCache } from '../hub/hubName.js'
import { isMapping } from '../validate.js'

/** What an expert was trained on, and where that comes from: training/provenance.json. */
export interface DataProvenance {
  format: 1
  /** Of branchmerge. */
  version: string
  /** The name on the Hub, with its commit, of the model that was trained; null for one that does not lie in the cache of its tools. */
  model: string | null
  /** Key of the prepared data. */
  data: string
  sources: { name: string; files: FileProvenance[] }[]
}

export interface FileProvenance {
  /** Without directories. */
  name: string
  bytes: number
  sha256: string
  /** The same of the file. */
  origin?: string
  /** What `teach` or `data select` wrote beside the file, as it wrote it. */
  teaching?: Record<string, unknown>
  selection?: Record<string, unknown>
}

/** More are no records of ours. */
const maxRecordBytes = 64 * 2 ** 20

type Kind = 'teaching' | 'selection'

/** Where the record of a file lies, and what it says of the SHA-256 of the file. */
const records: readonly { kind: Kind; nameOf: (file: string) => string; hashIn: (record: unknown) => unknown }[] = [
  {
    kind: 'teaching',
    nameOf: (file) => `${file.replace(/\.jsonl$/, '')}.teaching.json`,
    hashIn: (record) => member(member(member(record, 'files'), 'trajectories'), 'sha256'),
  },
  {
    kind: 'selection',
    nameOf: (file) => `${file}.selection.json`,
    hashIn: (record) => member(member(record, 'output'), 'sha256'),
  },
]

/**
 * Hashes the files of a run's data and takes along what lies beside them of their origin.
 *
 * @param onNote - told of a record that is of other bytes than the file has now, which is left out
 * @throws ERR_FILE_READ; the signal's reason
 */
export async function dataProvenance(
  { sources }: ResolvedData,
  { model, data, version }: { model: string } & Pick<DataProvenance, 'data' | 'version'>,
  { signal, onNote }: { signal: AbortSignal | undefined; onNote: (text: string) => void },
): Promise<DataProvenance> {
  const described: DataProvenance['sources'] = []
  for (const { name, paths } of sources) {
    const files: FileProvenance[] = []
    for (const file of await listSourceFiles(paths)) files.push(await provenanceOf(file, signal, onNote))
    described.push({ name, files })
  }
  return { format: 1, version, model: nameInCache(model) ?? null, data, sources: described }
}

async function provenanceOf(
  { path, bytes }: SourceFile,
  signal: AbortSignal | undefined,
  onNote: (text: string) => void,
): Promise<FileProvenance> {
  const sha256 = await hashFile(path, signal)
  const found: Partial<Record<Kind, Record<string, unknown>>> = {}
  for (const { kind, nameOf, hashIn } of records) {
    const place = join(dirname(path), nameOf(basename(path)))
    const record = place === path ? undefined : await readRecord(place)
    if (!record) continue
    if (hashIn(record) === sha256) found[kind] = record
    else onNote(`${place} is of other bytes than ${path} has now: where the data comes from is not recorded`)
  }
  const origin = nameInCache(path)
  return { name: basename(path), bytes, sha256, ...(origin === undefined ? {} : { origin }), ...found }
}

async function readRecord(path: string): Promise<Record<string, unknown> | undefined> {
  const bytes = await readSmallFile(path, maxRecordBytes, 'ERR_FILE_READ')
  if (!bytes) return undefined
  try {
    const record: unknown = JSON.parse(bytes.toString('utf8'))
    return isMapping(record) ? record : {}
  } catch {
    return {}
  }
}

const member = (value: unknown, name: string): unknown => (isMapping(value) ? value[name] : undefined)
