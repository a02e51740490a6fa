import { surveyAnalysis } from './analyse.js'
import { type AnalyseOptions, resolveAnalysis } from './analysis/analyseOptions.js'
import { resolveFuseCheckpointsOptions } from './fusion/fuseOptions.js'
import type { FuseCheckpointsOptions } from './fusion/fuseOptionTypes.js'
import { fusionRequest } from './merge/fuseCheckpoints.js'
import { type MergeOptions, resolveMergeRequest } from './merge/plan/mergeRequest.js'
import { survey } from './merge/run/session.js'
import { readSource } from './recipe/readRecipe.js'
import type { RecipeDocument, RecipeSource } from './recipe/recipe.js'
import { type AnalysisPlanRecord, analysisPlanRecord } from './report/analysis/analysisText.js'
import { type FusionPlan, fusionPlanRecord, type MergePlanRecord, mergePlanRecord } from './report/plan.js'
import type { RunOptions } from './train/runOptions.js'
import { planSft, type SftPlan } from './train/runTraining.js'
import { resolveSft, type SftOptions } from './train/sft.js'
import type { PlanEvent } from './train/trainerEvents.js'
import type { TrainerRun } from './train/trainerRun.js'

/** What a training would do and need, and how its processes are started. */
export interface SftPlanRecord {
  /** The run with presets and defaults worked in, paths absolute. */
  run: RunOptions
  /** What is other than in the run that is gone on with. */
  changed: SftPlan['changed']
  /** What to know, in words. */
  notes: string[]
  /** Steps and memory, as the trainer says them. */
  plan: PlanEvent
  /** What the trainer reads. */
  trainerRun: TrainerRun
  command: readonly string[]
  /** Environment variables of the command, beside those of this process. */
  env: Readonly<Record<string, string>>
}

/**
 * What `fuse` with the same arguments would read, write and need. Reads no tensor and writes nothing.
 *
 * @throws BranchMergeError as `fuse` does for its inputs and its output, but for lack of space
 */
async function planFuse(left: string, right: string, options: FuseCheckpointsOptions): Promise<FusionPlan> {
  return fusionPlanRecord(await survey(fusionRequest(left, right, resolveFuseCheckpointsOptions(options))))
}

/**
 * What `merge` with the same arguments would read, write and need. Reads no tensor and writes nothing.
 *
 * @throws BranchMergeError as `merge` does for its recipe, inputs and output, but for lack of space
 */
async function planMerge(recipe: RecipeSource, options: MergeOptions = {}): Promise<MergePlanRecord> {
  return mergePlanRecord(await survey(resolveMergeRequest(await readSource(recipe), options)))
}

/**
 * What `sft` with the same arguments would do and need. Prepares the data in its cache, and writes nothing else.
 *
 * @throws BranchMergeError as `sft` does before it trains; that it does not fit into memory is no error
 */
async function planTraining(
  run: string | RecipeDocument | RunOptions,
  options: Omit<SftOptions, 'slurm'> = {},
): Promise<SftPlanRecord> {
  const { resolved, running } = await resolveSft(run, options, ['resume', 'signal'])
  return sftPlanRecord(await planSft(resolved, { ...running, place: 'here' }))
}

/**
 * What `analyse` with the same options would read and need. Reads no tensor, but heads that must equal their embeddings, and
 * writes nothing.
 *
 * @throws BranchMergeError as `analyse` does before it reads tensors
 */
async function planAnalyse(options: AnalyseOptions): Promise<AnalysisPlanRecord> {
  return analysisPlanRecord(await surveyAnalysis(resolveAnalysis(options)))
}

export function sftPlanRecord({ run, trainerRun, launch, data, plan, changed }: SftPlan): SftPlanRecord {
  return {
    run: run.options,
    changed,
    notes: [...run.notes, ...data.prepared.notices],
    plan,
    trainerRun,
    command: launch.command,
    env: launch.env,
  }
}

/** What the functions of these names would do: the command's `--plan`. */
export const plan = { fuse: planFuse, merge: planMerge, analyse: planAnalyse, sft: planTraining } as const
