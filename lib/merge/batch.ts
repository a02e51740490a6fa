import { stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { openCheckpoint } from '../checkpoint/openCheckpoint.js'
import { BranchMergeError } from '../errors.js'
import { type Recipe, type RecipeDocument, readRecipe } from '../recipe/recipe.js'
import { checkPath, invalidArgument } from '../validate.js'
import { version } from '../version.js'
import { type MergeSummary, merge } from './merge.js'
import { type MergeOptions, type MergeRequest, resolveMergeRequest } from './mergeOptions.js'
import { manifestOf } from './verify.js'

export interface BatchOptions extends Omit<MergeOptions, 'out'> {
  /** Directory that gets a directory for each recipe, by the name of its file. Default: each recipe's `output.path`. */
  out?: string | undefined
  /** Called when a recipe is done, failed or skipped. */
  onRecipe?: ((result: BatchResult) => void) | undefined
}

/** What became of one recipe. */
export interface BatchResult {
  file: string
  /** 'skipped': the output was there already, from the same recipe and inputs. */
  status: 'done' | 'skipped' | 'failed'
  out?: string
  summary?: MergeSummary
  error?: { code: string; message: string }
}

/**
 * Runs recipes one after the other. One that fails does not stop the others; one whose output is there is skipped. Paths of
 * `models` go to the recipes that declare a model of that name.
 *
 * @throws the signal's reason after an abort
 */
export async function batch(files: readonly string[], options: BatchOptions = {}): Promise<BatchResult[]> {
  if (!Array.isArray(files) || files.length === 0) throw invalidArgument('a list of recipe files', 'files', files)
  const { onRecipe, ...rest } = options
  const results: BatchResult[] = []
  for (const file of files) {
    const result = await runOne(checkPath(file, 'files'), rest)
    results.push(result)
    onRecipe?.(result)
  }
  return results
}

async function runOne(file: string, options: Omit<BatchOptions, 'onRecipe'>): Promise<BatchResult> {
  try {
    const recipe = await readRecipe(file)
    const own = { ...options, ...outputOf(file, options), models: modelsOf(recipe, options.models) }
    const request = resolveMergeRequest(recipe, own)
    const { out } = request.run
    if (await isFinished(request)) return { file, status: 'skipped', out }
    return { file, status: 'done', out, summary: await merge(recipe, own) }
  } catch (error) {
    options.signal?.throwIfAborted()
    if (!(error instanceof BranchMergeError)) throw error
    return { file, status: 'failed', error: { code: error.code, message: error.message } }
  }
}

function outputOf(file: string, { out }: Pick<BatchOptions, 'out'>): { out?: string } {
  return out === undefined ? {} : { out: join(out, basename(file).replace(/\.\w+$/, '')) }
}

/** The paths of models that the recipe declares; all where it declares none. */
function modelsOf({ value }: RecipeDocument, paths: BatchOptions['models']): Record<string, string> {
  const declared = (value as Recipe | null)?.models
  const given = Object.entries(paths ?? {})
  return Object.fromEntries(declared ? given.filter(([name]) => Object.hasOwn(declared, name)) : given)
}

/** Whether the output holds what the request would make: the same recipe, inputs with the same headers, all files there. */
async function isFinished({ recipe, record, run }: MergeRequest): Promise<boolean> {
  const manifest = await manifestOf(run.out).catch(() => undefined)
  if (manifest?.branchmerge !== version || JSON.stringify(manifest.recipe) !== JSON.stringify(record)) return false
  for (const { name, path } of recipe.models) {
    const { files } = await openCheckpoint(path, { signal: run.signal })
    const recorded = manifest.models[name]?.files ?? []
    const same = files.every(({ bytes, headerHash }, i) => {
      return bytes === recorded[i]?.bytes && headerHash === recorded[i]?.headerHash
    })
    if (files.length !== recorded.length || !same) return false
  }
  const { files, sideFiles } = manifest.output
  for (const { name, bytes } of [...files, ...sideFiles]) {
    const found = await stat(join(run.out, name)).catch(() => undefined)
    if (found?.size !== bytes) return false
  }
  return true
}
