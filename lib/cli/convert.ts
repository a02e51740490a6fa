import { existsSync } from 'node:fs'
import { dirname, isAbsolute, relative, resolve } from 'node:path'
import { looksLikeLlamaFactory } from '../branch/llamaFactory/keys.js'
import { toRun } from '../branch/llamaFactory/toRun.js'
import { BranchMergeError } from '../errors.js'
import { recipeText, toRecipe } from '../recipe/mergekit.js'
import { readYaml } from '../recipe/readYaml.js'
import { type Recipe, readRecipeText } from '../recipe/recipe.js'
import { printable } from '../report/format.js'
import { refuseExisting, writeWhole } from '../report/writeWhole.js'
import { checkPath, isMapping } from '../validate.js'
import { printJson, printText } from './print.js'

/** `branchmerge convert MERGEKIT.yml|LLAMA_FACTORY.yaml` */
export async function runConvert(args: Record<string, unknown>): Promise<number> {
  const file = checkPath(args.file, 'file')
  const out = args.out === undefined ? undefined : checkPath(args.out, 'out')
  const { kind, value, notes } = await convert(await readRecipeText(file), file, dirname(out ?? '.'))
  if (out !== undefined) {
    await refuseExisting(out, args.overwrite === true)
    await writeWhole(out, recipeText(value, notes))
  }
  if (args.json) printJson({ [kind]: value, notes })
  else if (out === undefined) printText(recipeText(value, notes))
  else printText([`The ${kind} is in ${out}`, ...notes.map(printable)].join('\n'))
  return 0
}

/** mergekit itself needs one of these and tells which is missing. */
const looksLikeMergekit = (value: unknown): boolean =>
  isMapping(value) && ['merge_method', 'models', 'slices', 'modules'].some((key) => key in value)

/** What the configuration is, by its keys: one of LLaMA-Factory, or else of mergekit. The result will lie in `directory`. */
async function convert(
  text: string,
  file: string,
  directory: string,
): Promise<{ kind: 'recipe' | 'run'; value: object; notes: string[] }> {
  const documents = readYaml(text, file)
  if (documents.some(({ value }) => looksLikeLlamaFactory(value))) {
    const { run, notes } = await toRun(text, file)
    return { kind: 'run', value: run, notes }
  }
  if (!documents.some(({ value }) => looksLikeMergekit(value))) {
    const keys = 'merge_method and models, or a training of LLaMA-Factory, with model_name_or_path and dataset'
    throw new BranchMergeError('ERR_RECIPE', `Expected a merge of mergekit, with ${keys}, in ${file} but found neither`)
  }
  const { recipe, notes } = toRecipe(text, file)
  return { kind: 'recipe', value: { ...recipe, models: modelsFrom(directory, recipe.models) }, notes }
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
