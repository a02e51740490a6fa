import { existsSync } from 'node:fs'
import { dirname, isAbsolute, relative, resolve } from 'node:path'
import { BranchMergeError } from './errors.js'
import { refuseExisting, writeWhole } from './files/writeWhole.js'
import { recipeText, toRecipe } from './recipe/mergekit.js'
import { readRecipeText } from './recipe/readRecipe.js'
import { readYaml } from './recipe/readYaml.js'
import type { Recipe } from './recipe/recipe.js'
import { toRun } from './train/llamaFactory/toRun.js'
import { looksLikeLlamaFactory } from './train/looksLikeLlamaFactory.js'
import type { RunOptions } from './train/runOptions.js'
import { checkBoolean, checkOptionNames, checkPath, isMapping } from './validate.js'

/** Options of {@link convert}. */
export interface ConvertOptions {
  /** File to write the recipe or run to, as YAML with the notes as comments above it. Default: none is written. */
  out?: string | undefined
  /** Replace that file. Default: false. */
  overwrite?: boolean | undefined
}

/** What a configuration of another tool was converted to; the command's `--json` prints it. `notes` are for people. */
export type Conversion = { recipe: Recipe; notes: string[] } | { run: RunOptions; notes: string[] }

/**
 * Converts a configuration of mergekit to a recipe, or one of LLaMA-Factory to a run; which of both it is, its keys say. Paths
 * start from the working directory; those of models that are there start from the directory of `out`, where that is given.
 *
 * @param file - path of the configuration
 * @throws BranchMergeError: ERR_RECIPE with everything that has no counterpart; ERR_FILE_READ; ERR_OUTPUT_EXISTS,
 *   ERR_OUTPUT_WRITE, ERR_DISK_FULL
 */
export async function convert(file: string, options: ConvertOptions = {}): Promise<Conversion> {
  checkPath(file, 'file')
  checkOptionNames(options, ['out', 'overwrite'] satisfies (keyof ConvertOptions)[])
  const out = options.out === undefined ? undefined : checkPath(options.out, 'out')
  const overwrite = checkBoolean(options.overwrite ?? false, 'overwrite')
  const conversion = await convertText(await readRecipeText(file), file, dirname(out ?? '.'))
  if (out !== undefined) {
    await refuseExisting(out, overwrite)
    await writeWhole(out, conversionText(conversion))
  }
  return conversion
}

/** The recipe or run as a YAML file, with the notes as comments above it. */
export function conversionText(conversion: Conversion): string {
  return recipeText('recipe' in conversion ? conversion.recipe : conversion.run, conversion.notes)
}

/** mergekit itself needs one of these and tells which is missing. */
const resemblesMergekit = (value: unknown): boolean =>
  isMapping(value) && ['merge_method', 'models', 'slices', 'modules'].some((key) => key in value)

/** The result will lie in `directory`. */
async function convertText(text: string, file: string, directory: string): Promise<Conversion> {
  const documents = readYaml(text, file)
  if (documents.some(({ value }) => looksLikeLlamaFactory(value))) return await toRun(text, file)
  if (!documents.some(({ value }) => resemblesMergekit(value))) {
    const keys = 'merge_method and models, or a training of LLaMA-Factory, with model_name_or_path and dataset'
    throw new BranchMergeError('ERR_RECIPE', `Expected a merge of mergekit, with ${keys}, in ${file} but found neither`)
  }
  const { recipe, notes } = toRecipe(text, file)
  return { recipe: { ...recipe, models: modelsFrom(directory, recipe.models) }, notes }
}

/** Paths of models that are here, which start from the working directory, as a recipe in `directory` names them. */
function modelsFrom(directory: string, models: Recipe['models'] = {}): NonNullable<Recipe['models']> {
  const from = (path: string) =>
    resolve(directory) === resolve('.') || isAbsolute(path) || !existsSync(path) ? path : relative(directory, path)
  return Object.fromEntries(
    Object.entries(models).map(([name, model]) => {
      if (typeof model === 'string') return [name, from(model)]
      return [name, model.path === undefined ? model : { ...model, path: from(model.path) }]
    }),
  )
}
