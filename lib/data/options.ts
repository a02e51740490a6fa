import { readFileSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import type { ValidateFunction } from 'ajv/dist/2020.js'
import { placeFromFile } from '../hub/hubName.js'
import { threadsOfProcess } from '../machineLimits.js'
import { pathFromFile } from '../pathFromFile.js'
import { type Path, Problems, pathText } from '../recipe/problems.js'
import { compileSchema, schemaProblems } from '../recipe/schemaProblems.js'
import { checkFunction, checkInteger, checkObject, checkPath, checkSignal, isMapping } from '../validate.js'

export type SourceFormat = 'auto' | 'messages' | 'sharegpt' | 'alpaca' | 'columns'
export type Packing = 'none' | 'pack' | 'neat'
export type CellValue = string | number | boolean | null

/** Column names; each has a usual one. */
export interface SourceColumns {
  messages?: string
  conversations?: string
  instruction?: string
  input?: string
  output?: string
  history?: string
  system?: string
  tools?: string
  prompt?: string
  response?: string
  reasoning?: string
}

/** Keys of a message and values of its role; each has a usual one. */
export interface MessageTags {
  role?: string
  content?: string
  user?: string
  assistant?: string
  system?: string
  observation?: string
  function?: string
}

/** Files of rows of one form, and which of the rows are used how often: docs/data.md. */
export interface DataSource {
  /** .jsonl, .json or .parquet files (the first two also gzipped, .gz), directories of such, or names with `*`. */
  path: string | string[]
  /** Default: the name of the first path. */
  name?: string
  /** Default: auto, by the columns of the first row. */
  format?: SourceFormat
  columns?: SourceColumns
  tags?: MessageTags
  /** Only rows whose columns have one of these values. */
  where?: Record<string, CellValue | CellValue[]>
  /** Where the response is a list: its first entry for which these lists have one of these values. */
  choose?: Record<string, CellValue | CellValue[]>
  /** openthoughts: rewrite `<|begin_of_thought|>` and its kin to `<think>`. Without either, rows with them are bad. */
  reasoning?: 'asIs' | 'openthoughts'
  /** Only the first so many usable rows. */
  take?: number
  /** How often each row is used: 2 is twice, 0.5 a half of the rows. Default: 1. */
  weight?: number
}

/** What an expert learns from: the `data` section of a run. docs/data.md explains each. */
export interface DataOptions {
  sources: (string | DataSource)[]
  /** Directory with tokenizer.json, tokenizer_config.json and chat template. Default: the model. */
  tokenizer?: string
  /** checkpoint (default), chatml, qwen, deepseekr1, llama3, or a .jinja file. */
  template?: string
  /** System text of rows that have none. */
  system?: string
  /** Where an answer's opening `<think>` goes. Default: target. */
  think?: 'target' | 'prompt'
  /** Answers without reasoning. Default: target with the template deepseekr1, leave with others. */
  missingThink?: 'leave' | 'target' | 'prompt'
  /** Tokens with a loss. Default: assistant. */
  train?: 'assistant' | 'all'
  /** Train the last answer of a conversation only. Default: false. */
  maskHistory?: boolean
  /** Most tokens of a pack, 2 to 2^24. Default: 16384. */
  cutoffLength?: number
  /** Rows of more tokens than fit: cut short (default), or left out and counted. Named as axolotl's excess_length_strategy. */
  excessLengthStrategy?: 'truncate' | 'drop'
  /** Default: neat. */
  packing?: Packing
  /** Consecutive examples that packs are made of, 1 to 100,000. Default: 1000. */
  packingBatch?: number
  /** Rows kept out of training, chosen by their content. Default: none. */
  validation?: { fraction: number } | { count: number }
  /** Of the validation split and of fractional weights, 0 to 2^32 − 1. Default: 42. */
  seed?: number
  /** Largest part of a source's rows that may be unusable, 0 to 1. Default: 0.01. */
  maxBadRows?: number
  /** Directory of prepared data. Default: .branchmerge/data in the working directory. */
  cache?: string
}

export interface ResolvedSource {
  name: string
  /** As given, resolved against the directory of the run file. */
  paths: string[]
  format: SourceFormat
  columns: SourceColumns
  tags: MessageTags
  where: [column: string, values: CellValue[]][]
  choose: [column: string, values: CellValue[]][]
  reasoning: 'asIs' | 'openthoughts' | undefined
  take: number | undefined
  weight: number
}

/** Every choice made; what `undefined` is left for depends on the checkpoint. */
export interface ResolvedData {
  sources: ResolvedSource[]
  tokenizer: string | undefined
  template: string
  system: string | undefined
  think: 'target' | 'prompt'
  missingThink: 'leave' | 'target' | 'prompt'
  train: 'assistant' | 'all'
  maskHistory: boolean
  cutoffLength: number
  excessLengthStrategy: 'truncate' | 'drop'
  packing: Packing
  packingBatch: number
  validation: { fraction: number } | { count: number } | undefined
  seed: number
  maxBadRows: number
  cache: string
}

/** Templates that come with the package, templates/NAME.jinja. */
export const shippedTemplates = ['chatml', 'qwen', 'deepseekr1', 'llama3'] as const

let compiled: ValidateFunction | undefined

/** The JSON Schema of the data section, recipes/data.schema.json. */
function validator(): ValidateFunction {
  compiled ??= compileSchema(
    JSON.parse(readFileSync(new URL('../../recipes/data.schema.json', import.meta.url), 'utf8')),
  )
  return compiled
}

/**
 * Checks the data section of a run and settles every default. Reads no file.
 *
 * @param base - where the section stands in its document: `['data']` in a run file
 * @param directory - what relative paths start from
 * @returns undefined when something is wrong; the problems say what
 */
export function resolveData(
  value: unknown,
  problems: Problems,
  { base = [], directory = '.' }: { base?: Path; directory?: string } = {},
): ResolvedData | undefined {
  const wrong = schemaProblems(validator(), value, problems, { subject: 'data', base })
  if (wrong.length > 0 || !isMapping(value)) return undefined
  const options = value as unknown as DataOptions
  const before = problems.count
  const from = (path: string) => pathFromFile(path, directory)
  const place = (path: string) => placeFromFile(path, directory, 'dataset')
  const sources = options.sources.map((source, i) => resolveSource(source, [...base, 'sources', i], place, problems))
  checkNames(sources, base, problems)
  const template = options.template ?? 'checkpoint'
  checkCombination(options, template, base, problems)
  if (problems.count > before) return undefined
  return {
    sources,
    tokenizer: options.tokenizer === undefined ? undefined : placeFromFile(options.tokenizer, directory, 'model'),
    template: isTemplateName(template) ? template : from(template),
    system: options.system,
    think: options.think ?? 'target',
    missingThink: options.missingThink ?? (template === 'deepseekr1' ? 'target' : 'leave'),
    train: options.train ?? 'assistant',
    maskHistory: options.maskHistory ?? false,
    cutoffLength: options.cutoffLength ?? 16_384,
    excessLengthStrategy: options.excessLengthStrategy ?? 'truncate',
    packing: options.packing ?? 'neat',
    packingBatch: options.packingBatch ?? 1000,
    validation: options.validation,
    seed: options.seed ?? 42,
    maxBadRows: options.maxBadRows ?? 0.01,
    cache: resolve(options.cache === undefined ? join('.branchmerge', 'data') : from(options.cache)),
  }
}

function checkCombination({ maskHistory, train }: DataOptions, template: string, base: Path, problems: Problems): void {
  if (!isTemplateName(template) && !template.endsWith('.jinja')) {
    const names = ['checkpoint', ...shippedTemplates].join(', ')
    problems.add([...base, 'template'], `Expected ${names} or a .jinja file for template but received "${template}"`)
  }
  if (maskHistory && train === 'all') {
    problems.add([...base, 'maskHistory'], 'Expected no maskHistory beside train: all, which trains the history', {
      key: true,
    })
  }
}

export const isTemplateName = (name: string): boolean =>
  name === 'checkpoint' || (shippedTemplates as readonly string[]).includes(name)

function resolveSource(
  given: string | DataSource,
  path: Path,
  from: (path: string) => string,
  problems: Problems,
): ResolvedSource {
  const source: DataSource = typeof given === 'string' ? { path: given } : given
  const paths = (typeof source.path === 'string' ? [source.path] : source.path).map(from)
  const format = source.format ?? 'auto'
  checkColumns(source, format, path, problems)
  return {
    name: source.name ?? nameOf(paths[0] as string),
    paths,
    format: format === 'auto' && source.columns?.prompt !== undefined ? 'columns' : format,
    columns: source.columns ?? {},
    tags: source.tags ?? {},
    where: valuesByColumn(source.where),
    choose: valuesByColumn(source.choose),
    reasoning: source.reasoning,
    take: source.take,
    weight: source.weight ?? 1,
  }
}

const valuesByColumn = (values: Record<string, CellValue | CellValue[]> = {}): [string, CellValue[]][] =>
  Object.entries(values).map(([column, value]) => [column, Array.isArray(value) ? value : [value]])

/** `data/math` for data/math.jsonl.gz without its directory. */
const nameOf = (path: string): string =>
  basename(path === dirname(path) ? resolve(path) : path).replace(/\.(jsonl|ndjson|json|parquet)(\.gz)?$/, '')

function checkColumns({ columns = {}, choose }: DataSource, format: SourceFormat, path: Path, problems: Problems) {
  const byPrompt = columns.prompt !== undefined || columns.response !== undefined
  if ((format === 'columns' || byPrompt) && (columns.prompt === undefined || columns.response === undefined)) {
    problems.add([...path, 'columns'], 'Expected columns.prompt and columns.response, which name two columns')
  }
  if (byPrompt && format !== 'columns' && format !== 'auto') {
    problems.add([...path, 'format'], `Expected the format columns beside columns.prompt, not ${format}`)
  }
  if (choose && !byPrompt) {
    problems.add([...path, 'choose'], 'Expected choose only beside columns.response, whose entries it chooses from', {
      key: true,
    })
  }
}

function checkNames(sources: readonly ResolvedSource[], base: Path, problems: Problems): void {
  const seen = new Set<string>()
  for (const [i, { name }] of sources.entries()) {
    if (seen.has(name)) {
      problems.add(
        [...base, 'sources', i],
        `Expected another name than "${name}", which an earlier source has: set name`,
      )
    }
    seen.add(name)
  }
}

/** What preparing needs besides the data section. */
export interface PrepareDataOptions extends DataOptions {
  /** Directory of the checkpoint that will be trained: its tokenizer, chat template and vocabulary. */
  model: string
  /** Threads that tokenize, 1 to 1024. Default: all cores, at most 16; one for little data. */
  threads?: number | undefined
  signal?: AbortSignal | undefined
  onProgress?: ((progress: DataProgress) => void) | undefined
}

/** How far the preparation of data is. */
export interface DataProgress {
  /** hash: reading for the cache's key; split: choosing validation rows; encode: rendering, tokenizing and packing. */
  phase: 'download' | 'hash' | 'split' | 'encode'
  /** Bytes of source files, as they lie on the disk, in this phase. */
  bytesDone: number
  bytesTotal: number
  rowsDone: number
  tokensDone: number
}

export interface Running {
  threads: number | undefined
  signal: AbortSignal | undefined
  onProgress: ((progress: DataProgress) => void) | undefined
}

/** @throws ERR_RECIPE listing everything that is wrong with the data options, ERR_INVALID_ARGUMENT for the others */
export function checkPrepareOptions(options: PrepareDataOptions): { model: string; data: ResolvedData; run: Running } {
  checkObject(options, 'options')
  const { model, threads, signal, onProgress, ...data } = options
  const problems = new Problems('The data', (path) => ({ text: pathText(path) || 'data', order: 0 }))
  const resolved = resolveData(data, problems)
  problems.throwIfAny()
  return {
    model: placeFromFile(checkPath(model, 'model'), '.', 'model'),
    data: resolved as ResolvedData,
    run: {
      threads: threads === undefined ? undefined : checkInteger(threads, 'threads', 1, 1024),
      signal: checkSignal(signal),
      onProgress: checkFunction(onProgress, 'onProgress'),
    },
  }
}

export const defaultThreads = (): number => Math.min(16, threadsOfProcess())
