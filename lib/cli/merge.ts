import { freeBytes } from '../files/outputDirectory.js'
import type { MergedTensorStats } from '../fusion/tensorStats.js'
import type { MergeIdentity } from '../merge/output/manifest.js'
import { mergeIdentity } from '../merge/output/manifestText.js'
import { type MergeOptions, resolveMergeRequest } from '../merge/plan/mergeOptions.js'
import { planMerge, preflightMerge } from '../merge/plan/planMerge.js'
import { executeMerge } from '../merge/run/executeMerge.js'
import { finishedMerge, finishedSummary, finishedTensors } from '../merge/run/finishedMerge.js'
import { type MergeSummary, summariseMerge } from '../merge/run/mergeSummary.js'
import { recipeText } from '../recipe/mergekit.js'
import { readRecipe } from '../recipe/readRecipe.js'
import type { Recipe, RecipeDocument } from '../recipe/recipe.js'
import { mergePlanRecord, planText } from '../report/plan.js'
import { progressReporter } from '../report/progress.js'
import { checkStatsPath, mergeStatsLine, writeStatsFile } from '../report/statsFile.js'
import { finishedText, mergeText } from '../report/summary.js'
import { printable } from '../text/format.js'
import { checkPath } from '../validate.js'
import { withInterrupt } from './interrupt.js'
import { modelPaths, recipeArgument, unlikeModels } from './modelArguments.js'
import { printJson, printText } from './print.js'
import { UsageError } from './usageError.js'

/** `branchmerge merge EXPRESSION|FILE --model NAME=DIR … --out DIR` */
export async function runMerge(args: Record<string, unknown>): Promise<number> {
  const started = performance.now()
  const stats = args.stats === undefined ? undefined : checkPath(args.stats, 'stats')
  const recipe = await recipeOf(args)
  const progress = progressReporter(process.stderr)
  return await withInterrupt(args.resume ? 'kept' : 'removed', async (signal) => {
    const request = resolveMergeRequest(recipe, { ...mergeOptions(args), signal, onProgress: progress.update })
    const { run } = request
    const finished = run.resume && !args.plan ? await finishedMerge(request).finally(progress.end) : undefined
    if (finished) {
      const { manifest, checkpoints } = finished
      if (stats !== undefined) await checkStatsPath(stats, run, checkpoints)
      const summary = finishedSummary(manifest, started)
      const tensors = finishedTensors(manifest)
      await tell(args, {
        summary,
        text: finishedText(summary, run.out),
        tensors,
        merges: manifest.merges,
        out: run.out,
      })
      return 0
    }
    const plan = await (args.plan ? planMerge : preflightMerge)(request)
    const checkpoints = plan.models.map(({ checkpoint }) => checkpoint)
    if (stats !== undefined) await checkStatsPath(stats, run, checkpoints)
    if (args.plan) {
      const free = await freeBytes(run.out)
      if (args.json) printJson(mergePlanRecord(plan, free))
      else printText(planText(plan, run.out, free))
      return 0
    }
    const outcome = await executeMerge(plan).finally(progress.end)
    const summary = summariseMerge(plan, outcome, started)
    const merges = plan.recipe.merges.map(mergeIdentity)
    const text = mergeText({ summary, plan, outcome }, run.out)
    await tell(args, { summary, text, tensors: outcome.tensors, merges, out: run.out })
    return 0
  })
}

/** What a merge has to tell, now or again. */
interface Told {
  summary: MergeSummary
  text: string
  tensors: MergedTensorStats[]
  merges: MergeIdentity[]
  out: string
}

async function tell(args: Record<string, unknown>, { summary, text, tensors, merges, out }: Told): Promise<void> {
  if (args.stats !== undefined) {
    const lines = tensors.map((tensor) => mergeStatsLine(tensor, merges))
    await writeStatsFile(args.stats as string, lines, out)
  }
  if (args.json) printJson(summary)
  else printText(text)
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
export function mergeOptions(args: Record<string, unknown>): MergeOptions {
  const { model, out, overwrite, resume, maxShardSize, preset, nonFinite, threads, memory, device, sha256 } = args
  const { scope, divergence, score, gate, lambda, epsilon, quantile, population } = args
  const choices = { preset, scope, divergence, score, gate, lambda, epsilon, quantile, population, nonFinite }
  const rest = { out, overwrite, resume, maxShardSize, threads, memory, device, sha256, ...unlikeModels(args) }
  return { models: modelPaths(model), ...choices, ...rest } as MergeOptions
}
