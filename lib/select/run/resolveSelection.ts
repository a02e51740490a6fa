import { readFileSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { ValidateFunction } from 'ajv/dist/2020.js'
import { placeFromFile } from '../../hub/hubName.js'
import { applyOverrides, locateWith, type Override } from '../../recipe/overrides.js'
import { type Path, Problems } from '../../recipe/problems.js'
import type { RecipeDocument } from '../../recipe/recipe.js'
import { compileSchema, schemaProblems } from '../../recipe/schemaProblems.js'
import type { RecipeFacts, StepKind } from '../step.js'
import { ownLabels } from '../steps/choose.js'
import type { Selection, SelectionMap, SelectionSource } from './selection.js'
import { stepKinds } from './stepKinds.js'

export interface ResolvedPart {
  name: string
  paths: string[]
  /** Column of the source, and of the part. */
  on: { source: string; part: string }
  without: RegExp | undefined
}

export interface ResolvedMap extends Omit<SelectionMap, 'labels'> {
  /** Name of each label and its column. */
  labels: [name: string, column: string][]
}

export interface ResolvedSelectionSource {
  name: string
  paths: string[]
  parts: ResolvedPart[]
  map: ResolvedMap
}

export interface ResolvedStep {
  name: string
  kind: string
  options: unknown
  /** As the table has it. */
  work: StepKind
  description: string
}

/** A selection whose every choice is made but for those that depend on the files. */
export interface ResolvedSelection {
  sources: ResolvedSelectionSource[]
  steps: ResolvedStep[]
  /** Name in the result of each column that is kept. */
  keep: [name: string, column: string][]
  tokenizer: string | undefined
  seed: number
  /** Where paths in options start. */
  directory: string
  /** By the text of an option: where its file lies, once it is there. */
  files: ReadonlyMap<string, string>
  /** The recipe with what was said outside of it, for the record. */
  recipe: unknown
}

/** Columns of the result that are there whatever is kept. */
export const resultColumns = ['messages', 'origin', 'reference', 'verdict'] as const

let compiled: ValidateFunction | undefined

/** recipes/selection.schema.json. */
function validator(): ValidateFunction {
  compiled ??= compileSchema(
    JSON.parse(readFileSync(new URL('../../../recipes/selection.schema.json', import.meta.url), 'utf8')),
  )
  return compiled
}

/**
 * Checks a selection and settles its defaults. Reads no data. Relative paths start from the directory of the file.
 *
 * @throws ERR_RECIPE with everything that is wrong, each problem with its line
 */
export function resolveSelection(document: RecipeDocument, overrides: readonly Override[] = []): ResolvedSelection {
  const given = applyOverrides(document.value, overrides)
  const problems = new Problems(document.file ?? 'The selection', locateWith(document.locate, overrides))
  schemaProblems(validator(), given, problems, { subject: 'the selection' })
  problems.throwIfAny()
  const selection = given as Selection
  const directory = document.file === undefined ? '.' : dirname(document.file)
  const sources = selection.sources.map((source, i) => resolveSource(source, ['sources', i], directory, problems))
  checkNames(sources, problems)
  const labels = sources.flatMap(({ map }) => map.labels.map(([name]) => name))
  const facts = { labels: [...new Set(labels)], hasTokenizer: selection.tokenizer !== undefined }
  const steps = resolveSteps(selection, facts, problems)
  const keep = resolveKeep(selection, problems)
  problems.throwIfAny()
  return {
    sources,
    steps,
    keep,
    tokenizer: selection.tokenizer === undefined ? undefined : placeFromFile(selection.tokenizer, directory, 'model'),
    seed: selection.seed ?? 0,
    directory,
    files: new Map(),
    recipe: given,
  }
}

const listOf = (value: string | readonly string[]): readonly string[] => (typeof value === 'string' ? [value] : value)

/** Names of columns, or columns by name. */
const namedColumns = (value: readonly string[] | Readonly<Record<string, string>> = []): [string, string][] =>
  Array.isArray(value) ? value.map((column) => [column, column]) : Object.entries(value)

function resolveSource(
  source: SelectionSource,
  path: Path,
  directory: string,
  problems: Problems,
): ResolvedSelectionSource {
  const paths = listOf(source.path).map((each) => placeFromFile(each, directory, 'dataset'))
  const map = { ...source.map, labels: namedColumns(source.map.labels) }
  checkMap(map, [...path, 'map'], problems)
  const parts = Object.entries(source.join ?? {}).map(([name, part]): ResolvedPart => {
    const without = part.without === undefined ? undefined : expression(part.without, [...path, 'join', name], problems)
    return {
      name,
      paths: listOf(part.path).map((each) => placeFromFile(each, directory, 'dataset')),
      on: typeof part.on === 'string' ? { source: part.on, part: part.on } : part.on,
      without,
    }
  })
  return { name: source.name ?? nameOf(paths[0] as string), paths, parts, map }
}

function expression(text: string, path: Path, problems: Problems): RegExp | undefined {
  try {
    return new RegExp(text, 'gsu')
  } catch (error) {
    problems.add([...path, 'without'], `Expected a regular expression but ${(error as Error).message}`)
    return undefined
  }
}

const nameOf = (path: string): string => basename(path).replace(/\.(jsonl|ndjson|json|parquet)(\.gz)?$/, '') || path

function checkMap(map: ResolvedMap, path: Path, problems: Problems): void {
  const isPair = map.question !== undefined && map.answers !== undefined
  const hasEither = map.question !== undefined || map.answers !== undefined
  if (map.messages === undefined ? !isPair : hasEither) {
    problems.add(path, 'Expected either messages, or question and answers')
  }
  if (map.messages !== undefined && map.reasoning !== undefined) {
    problems.add([...path, 'reasoning'], 'Expected reasoning only beside answers, from which it stands apart', {
      key: true,
    })
  }
  for (const [name] of map.labels) {
    if (!(ownLabels as readonly string[]).includes(name)) continue
    problems.add(
      [...path, 'labels'],
      `Expected another name than ${name}, which every answer has: name it NAME: ${name}`,
    )
  }
}

function checkNames(sources: readonly ResolvedSelectionSource[], problems: Problems): void {
  const seen = new Set<string>()
  for (const [i, { name }] of sources.entries()) {
    const message = `Expected another name than "${name}", which an earlier source has: set name`
    if (seen.has(name)) problems.add(['sources', i], message)
    seen.add(name)
  }
}

function resolveSteps({ steps = [] }: Selection, facts: RecipeFacts, problems: Problems): ResolvedStep[] {
  const names = new Map<string, number>()
  return steps.flatMap((step, i): ResolvedStep[] => {
    const path = ['steps', i]
    const { name, ...rest } = step
    const kinds = Object.keys(rest)
    const kind = kinds[0]
    const work = kind === undefined ? undefined : stepKinds.get(kind)
    if (kinds.length !== 1 || kind === undefined || !work) {
      const all = [...stepKinds.keys()].join(', ')
      problems.add(path, `Expected one kind of step of ${all} but received ${kinds.join(', ') || 'none'}`)
      return []
    }
    const options = rest[kind as keyof typeof rest]
    const before = problems.count
    work.check?.(options, problems, [...path, kind], facts)
    const wanted = name ?? kind
    const count = (names.get(wanted) ?? 0) + 1
    names.set(wanted, count)
    const description = problems.count > before ? '' : work.describe(options)
    return [{ name: count === 1 ? wanted : `${wanted} ${count}`, kind, options, work, description }]
  })
}

function resolveKeep({ keep }: Selection, problems: Problems): [string, string][] {
  const columns = namedColumns(keep)
  const seen = new Set<string>(resultColumns)
  for (const [i, [name]] of columns.entries()) {
    const path: Path = Array.isArray(keep) ? ['keep', i] : ['keep', name]
    if (seen.has(name))
      problems.add(path, `Expected another name than ${name}, which the result has: write NAME: COLUMN`)
    seen.add(name)
  }
  return columns
}
