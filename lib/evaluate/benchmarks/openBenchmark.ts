import { readFirstRow } from '../../data/readRows.js'
import { listSourceFiles } from '../../data/sourceFiles.js'
import { hashFile } from '../../files/hashFile.js'
import { withCode } from '../../questions/questionRow.js'
import { checkChoice, checkObject, checkOptionNames, checkPath, invalidArgument } from '../../validate.js'
import { aime } from './aime.js'
import { bbh } from './bbh.js'
import type { Benchmark, Profile } from './benchmark.js'
import { readCsvColumns } from './csv.js'
import { custom } from './custom.js'
import { gpqaDiamond } from './gpqaDiamond.js'
import { humanEval } from './humanEval.js'
import { ifeval } from './ifeval.js'
import { liveCodeBench } from './liveCodeBench.js'
import { math500 } from './math500.js'
import { benchmarkError, benchmarkErrorCode } from './rows.js'
import type { BenchmarkReader, BenchmarkSource } from './source.js'

/** Which benchmark, and where its files are. */
export interface BenchmarkSpec {
  /** As the user calls it; it tells the kind where `kind` does not: aime24, gpqa, lcb. */
  name: string
  kind?: string | undefined
  /** A file, a directory, or files by a name with `*`. */
  path: string
  /** `strict` without it. */
  profile?: Profile | undefined
  /** Of its kind: docs/evaluate-benchmarks.md. */
  options?: Readonly<Record<string, unknown>> | undefined
}

const readers: readonly BenchmarkReader[] = [aime, math500, gpqaDiamond, liveCodeBench, humanEval, ifeval, bbh, custom]

export const benchmarkKinds: readonly string[] = readers.map(({ kind }) => kind)

/** How far the reading of a benchmark's files is, told of those that have gigabytes. */
export interface ReadingProgress {
  phase: 'read'
  benchmark: string
  /** Bytes of its files; what was read by an earlier run, and did not change since, is not among them. */
  done: number
  total: number
  /** Since the first of them. */
  seconds: number
}

export interface OpenBenchmarkOptions {
  signal?: AbortSignal | undefined
  onProgress?: ((progress: ReadingProgress) => void) | undefined
}

/**
 * Reads a benchmark from its files.
 *
 * @throws ERR_BENCHMARK where the files are not of the kind, or the kind is not clear; ERR_FILE_READ; ERR_INVALID_ARGUMENT
 */
export async function openBenchmark(
  spec: BenchmarkSpec,
  { signal, onProgress }: OpenBenchmarkOptions = {},
): Promise<Benchmark> {
  const { name, options = {} } = spec
  if (typeof name !== 'string' || name.trim() === '') throw invalidArgument('a name', 'benchmark', name)
  const path = checkPath(spec.path, `path of ${name}`)
  checkObject(options, `options of ${name}`)
  const reader = await readerOf(spec)
  const profile = checkProfile(reader, name, spec.profile)
  if (reader.options.length > 0) checkOptionNames(options, reader.options)
  else if (Object.keys(options).length > 0)
    throw invalidArgument(`no options, which ${reader.kind} has not,`, name, options)
  const { paths, ...read } = await reader.read({
    name,
    path,
    profile,
    options,
    signal,
    onProgress: readingOf(name, onProgress),
  })
  const files: { path: string; sha256: string }[] = []
  for (const file of paths) {
    files.push(typeof file === 'string' ? { path: file, sha256: await hashFile(file, signal) } : file)
  }
  return { name, kind: reader.kind, profile, files, ...read }
}

function readingOf(benchmark: string, onProgress: OpenBenchmarkOptions['onProgress']): BenchmarkSource['onProgress'] {
  if (!onProgress) return undefined
  const started = performance.now()
  return (done, total) =>
    onProgress({ phase: 'read', benchmark, done, total, seconds: (performance.now() - started) / 1000 })
}

function checkProfile({ kind, profiles }: BenchmarkReader, name: string, profile: Profile = 'strict'): Profile {
  checkChoice(profile, `profile of ${name}`, ['strict', 'paper'])
  if (profiles.includes(profile)) return profile
  throw benchmarkError(
    `Expected the profile strict for ${name}: the paper reports no figures of ${kind}, so there is no code of its authors to follow`,
  )
}

async function readerOf(spec: BenchmarkSpec): Promise<BenchmarkReader> {
  if (spec.kind !== undefined) {
    const kind = checkChoice(spec.kind, `kind of ${spec.name}`, benchmarkKinds)
    return readers.find((reader) => reader.kind === kind) as BenchmarkReader
  }
  const named = readers.find(({ names }) => names.test(spec.name))
  const columns = new Set(await columnsOf(spec.path))
  const fitting = readers.filter((reader) => reader.hasColumns(columns))
  const choose = `Say which kind it is: ${benchmarkKinds.join(', ')}`
  if (named) {
    const other = fitting.find((reader) => reader !== named)
    if (!other || fitting.includes(named)) return named
    throw benchmarkError(
      `${spec.name} is called like ${named.kind}, but ${spec.path} has the columns of ${other.kind}. ${choose}`,
    )
  }
  if (fitting.length === 1) return fitting[0] as BenchmarkReader
  const found = columns.size > 0 ? `columns ${[...columns].slice(0, 12).join(', ')}` : 'no columns'
  const what = fitting.length === 0 ? 'are those of none' : `fit ${fitting.map(({ kind }) => kind).join(' and ')}`
  throw benchmarkError(`The kind of ${spec.name} is not clear: the ${found} of ${spec.path} ${what}. ${choose}`)
}

/** Of the first file. */
async function columnsOf(path: string): Promise<string[]> {
  if (/\.csv$/i.test(path)) return await readCsvColumns(path)
  try {
    const [file] = await listSourceFiles([path])
    return file ? (await readFirstRow(file)).columns : []
  } catch (error) {
    throw withCode(error, benchmarkErrorCode)
  }
}
