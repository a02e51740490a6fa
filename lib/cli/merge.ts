import { type MergeOptions, resolveMergeRequest } from '../merge/plan/mergeRequest.js'
import { recipeText } from '../recipe/mergekit.js'
import { readRecipe } from '../recipe/readRecipe.js'
import type { Recipe, RecipeDocument } from '../recipe/recipe.js'
import { mergePlanRecord } from '../report/plan.js'
import { mergeStatsLine } from '../report/statsFile.js'
import { mergeText } from '../report/summary.js'
import { printable } from '../text/format.js'
import { checkPath } from '../validate.js'
import { carryOut } from './carryOut.js'
import { modelPaths, recipeArgument, unlikeModels } from './modelArguments.js'
import { UsageError } from './usageError.js'

/** `branchmerge merge EXPRESSION|FILE --model NAME=DIR … --out DIR` */
export async function runMerge(args: Record<string, unknown>): Promise<number> {
  const recipe = await recipeOf(args)
  return await carryOut(args, (running) => resolveMergeRequest(recipe, { ...givenOptions(args), ...running }), {
    planRecord: mergePlanRecord,
    summary: ({ summary }) => summary,
    text: mergeText,
    statsLine: mergeStatsLine,
  })
}

/** What is to be merged. */
export async function recipeOf({ source, recipe, json }: Record<string, unknown>): Promise<string | RecipeDocument> {
  if (recipe !== undefined && source !== undefined) {
    throw new UsageError('Expected either an expression or --recipe, not both')
  }
  if (recipe === undefined && typeof source !== 'string') {
    throw new UsageError('Expected an expression or the file of a recipe')
  }
  const read = await (recipe === undefined ? recipeArgument(source as string) : readRecipe(checkPath(recipe, 'recipe')))
  if (typeof read !== 'string' && read.mergekitNotes) tellUnderstood(read, `${recipe ?? source}`, json === true)
  return read
}

/** What a configuration of mergekit was taken for. The summary that people read has the notes, too. */
function tellUnderstood({ value, mergekitNotes }: RecipeDocument, file: string, json: boolean): void {
  const recipe = recipeText(value as Recipe, json ? mergekitNotes : [])
  process.stderr.write(`branchmerge: ${printable(file)} is a configuration of mergekit, understood as this recipe:\n\n`)
  process.stderr.write(`${recipe.split('\n').map(printable).join('\n')}\n`)
}

/** The options of the API among the arguments; resolveMergeRequest checks their values. */
export function givenOptions(args: Record<string, unknown>): MergeOptions {
  const { model, out, overwrite, card, resume, maxShardSize, preset, nonFinite, threads, memory, device, sha256 } = args
  const { scope, divergence, score, gate, lambda, epsilon, quantile, population } = args
  const choices = { preset, scope, divergence, score, gate, lambda, epsilon, quantile, population, nonFinite }
  const rest = { out, overwrite, card, resume, maxShardSize, threads, memory, device, sha256, ...unlikeModels(args) }
  return { models: modelPaths(model), ...choices, ...rest } as MergeOptions
}
