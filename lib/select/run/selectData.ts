import { basename } from 'node:path'
import { defaultThreads } from '../../data/options.js'
import { BranchMergeError } from '../../errors.js'
import type { DownloadProgress } from '../../hub/download.js'
import type { Override } from '../../recipe/overrides.js'
import { readRecipe } from '../../recipe/readRecipe.js'
import { RecipeDocument, recipeObject } from '../../recipe/recipe.js'
import {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkObject,
  checkOptionNames,
  checkPath,
  checkSignal,
} from '../../validate.js'
import type { SelectionProgress } from '../funnel.js'
import type { SelectionPlan, SelectionSummary } from '../summary.js'
import { candidatesOf } from './candidates.js'
import { checkOutput, executeSelection, type SelectionRunning } from './executeSelection.js'
import { fetchSelection } from './fetchSelection.js'
import { type OpenSelectionSource, openSelection } from './openSelection.js'
import { type ResolvedSelection, resolveSelection } from './resolveSelection.js'
import type { Selection } from './selection.js'

/** How a selection is carried out; what is selected is the recipe's. */
export interface SelectDataOptions {
  /** The file to write, .parquet or .jsonl. OUT.rejected.jsonl, OUT.selection.json and OUT.selection.svg are written beside it. */
  out: string
  /** Replace the files. Default: false. */
  overwrite?: boolean | undefined
  /** Read only the first so many rows of each source. */
  limit?: number | undefined
  /** Threads and programs that steps may use, 1 to 1024. Default: all cores, at most 16. */
  threads?: number | undefined
  /** After an abort nothing is left, and the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined
  onProgress?: ((progress: SelectionProgress) => void) | undefined
  /** Called now and then while what is named on the Hub is fetched, before a row is read. */
  onDownload?: ((progress: DownloadProgress) => void) | undefined
}

/**
 * Selects training data: reads rows, joins and maps them, takes them through the steps of a recipe, and writes what remains as
 * conversations that `prepareData` and `sft` read. Every row that does not remain is in OUT.rejected.jsonl with its reason. The
 * same input gives the same bytes. Works in bounded memory; rows that must wait are on the disk of `out`.
 *
 * @param recipe - the path of a selection, a .yaml or .json file, a document that `readRecipe` read, or an object; relative paths
 *   in an object start from the working directory
 * @throws BranchMergeError: ERR_RECIPE with everything that is wrong with the recipe; ERR_DATA for files that cannot be used, columns
 *   that no file has, and where no row remains; ERR_FILE_READ, ERR_FILE_CHANGED, ERR_OUTPUT_EXISTS, ERR_OUTPUT_IS_INPUT,
 *   ERR_OUTPUT_WRITE, ERR_DISK_FULL; what its steps throw. After an abort, the signal's reason. Then nothing is left.
 */
export async function selectData(
  recipe: string | RecipeDocument | Selection,
  options: SelectDataOptions,
): Promise<SelectionSummary> {
  checkObject(options, 'options')
  const { onProgress = () => {}, onDownload, ...rest } = options
  checkOptionNames(rest, ['out', 'overwrite', 'limit', 'threads', 'signal'])
  checkFunction(onProgress, 'onProgress')
  checkFunction(onDownload, 'onDownload')
  const running = {
    out: checkPath(options.out, 'out'),
    overwrite: options.overwrite === undefined ? false : checkBoolean(options.overwrite, 'overwrite'),
    limit: options.limit === undefined ? undefined : checkInteger(options.limit, 'limit', 1, Number.MAX_SAFE_INTEGER),
    threads: options.threads === undefined ? defaultThreads() : checkInteger(options.threads, 'threads', 1, 1024),
    signal: checkSignal(options.signal) ?? new AbortController().signal,
    onProgress,
  }
  const opened = await openAndCheck(await selectionDocument(recipe), [], { ...running, onDownload })
  return await executeOpen(opened, running)
}

/** A selection from a file, or as it is. */
export async function selectionDocument(recipe: unknown): Promise<RecipeDocument> {
  const document = typeof recipe === 'string' ? await readRecipe(recipe) : recipe
  if (document instanceof RecipeDocument) {
    if (!document.mergekitNotes) return document
    throw new BranchMergeError('ERR_RECIPE', 'Expected a selection but received a configuration of mergekit')
  }
  checkObject(document, 'recipe')
  return recipeObject(document)
}

/** A selection whose files were found and whose output may be written. */
export interface OpenedSelection {
  selection: ResolvedSelection
  sources: OpenSelectionSource[]
}

export async function openAndCheck(
  document: RecipeDocument,
  overrides: readonly Override[],
  {
    out,
    overwrite,
    signal,
    onDownload,
  }: Pick<SelectionRunning, 'out' | 'overwrite' | 'signal'> & Pick<SelectDataOptions, 'onDownload'>,
): Promise<OpenedSelection> {
  signal.throwIfAborted()
  const selection = await fetchSelection(resolveSelection(document, overrides), { signal, onProgress: onDownload })
  const sources = await openSelection(selection)
  await checkOutput(out, overwrite, sources)
  return { selection, sources }
}

export const executeOpen = ({ selection, sources }: OpenedSelection, running: SelectionRunning) =>
  executeSelection(selection, sources, running)

/** What a selection would do. Reads the first rows of each source. */
export async function planSelection(
  { selection, sources }: OpenedSelection,
  { out, limit }: Pick<SelectionRunning, 'out' | 'limit'>,
): Promise<SelectionPlan> {
  const described: SelectionPlan['sources'] = []
  for (const source of sources) {
    const { name, files, columns, openParts } = source
    const size = (list: typeof files) => list.reduce((sum, { bytes }) => sum + bytes, 0)
    described.push({
      name,
      files: files.map(({ path }) => path),
      bytes: size(files),
      columns: files.every(({ kind }) => kind === 'parquet') ? columns : [],
      parts: openParts.map((part) => ({
        name: part.name,
        on: part.on.source === part.on.part ? part.on.part : `${part.on.source} = ${part.on.part}`,
        files: part.files.map(({ path }) => path),
        bytes: size(part.files),
      })),
      first: openParts.length > 0 ? 'is known after the join' : await firstRow(source),
    })
  }
  return {
    out,
    sources: described,
    steps: selection.steps.map(({ name, kind, description }) => ({ name, kind, description })),
    keep: selection.keep.map(([name]) => name),
    seed: selection.seed,
    tokenizer: selection.tokenizer ?? null,
    limit: limit ?? null,
  }
}

async function firstRow(source: OpenSelectionSource): Promise<string> {
  for await (const { place, candidate, rejected } of candidatesOf(source, [], { limit: 1, onBytes: () => {} })) {
    if (rejected) return `cannot be used: ${rejected.detail}`
    const { question, answers, system, reference } = candidate
    const lengths = answers.map(({ reasoning, text }) =>
      reasoning === undefined ? `${text.length}` : `${reasoning.length} of reasoning and ${text.length}`,
    )
    const parts = [
      ...(system === undefined ? [] : [`system ${shortText(system)}`]),
      `question ${shortText(question)}`,
      `${answers.length === 1 ? 'an answer' : `${answers.length} answers`} of ${lengths.join(', ')} characters`,
      ...(reference === undefined ? [] : [`reference ${shortText(reference)}`]),
    ]
    return `${basename(place.file)}: ${parts.join(', ')}`
  }
  return 'there is none'
}

const shortText = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)
