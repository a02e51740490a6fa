import { type ResolvedFuseCheckpointsOptions, resolveFuseCheckpointsOptions } from '../fusion/fuseOptions.js'
import type { FuseCheckpointsOptions } from '../fusion/fuseOptionTypes.js'
import type { PresetName } from '../fusion/presets.js'
import type { MergedTensorStats, StepStats, TensorStats } from '../fusion/tensorStats.js'
import type { DeviceUse } from '../native/devices.js'
import { type RecipeOptions, recipeObject } from '../recipe/recipe.js'
import { resolveRecipe } from '../recipe/resolveRecipe.js'
import { checkPath } from '../validate.js'
import { type MergeRequest, recordOf, withModelDtypes } from './plan/mergeRequest.js'
import type { MergeSummary } from './run/mergeResult.js'
import { prepare } from './run/session.js'

/** What `fuse` of two checkpoints resolves to, and what `--json` prints. */
export interface FuseSummary extends DeviceUse {
  tensors: number
  /** Elements of all tensors. */
  parameters: number
  /** Elements that the gate took from Right. */
  kept: number
  keptFraction: number
  /** Names of the tensors whose threshold is 0 although they changed. */
  degenerate: string[]
  /** Tensors that hold the same bits on both sides. */
  identical: number
  bytesRead: number
  bytesWritten: number
  /** From the call to the published checkpoint. */
  seconds: number
  /** The output was there, complete, from the same inputs and options: nothing was done. */
  alreadyDone: boolean
  /** What was left out, not copied, or read in another way than it is stored, in words; empty when nothing was done. */
  notes: string[]
  preset: PresetName
}

/** Fuses two checkpoints into a new directory, see {@link FuseCheckpointsOptions}. */
export async function fuseCheckpoints(
  left: string,
  right: string,
  options: FuseCheckpointsOptions,
): Promise<FuseSummary> {
  const started = performance.now()
  const request = fusionRequest(left, right, resolveFuseCheckpointsOptions(options))
  const session = await prepare(request, { started })
  return fusionSummary((await session.run()).summary, request)
}

/** The merge that a fusion is: `left & right`. */
export function fusionRequest(left: string, right: string, options: ResolvedFuseCheckpointsOptions): MergeRequest {
  const { preset, overrides, fusion, onTensor, onDownload, out, overwrite, card, dtype, maxShardBytes, resume } =
    options
  const { memoryBytes, threads, device, modelDtypes } = options
  const choices: RecipeOptions = { preset, ...overrides, nonFinite: fusion.nonFinite }
  const recipe = withModelDtypes(
    { models: { left: {}, right: {} }, expression: 'left & right', options: choices, ...options.choices },
    modelDtypes,
  )
  const models = { left: checkPath(left, 'left'), right: checkPath(right, 'right') }
  const resolved = resolveRecipe(recipeObject(recipe), { models })
  const run = {
    out,
    overwrite,
    card,
    dtype,
    maxShardBytes,
    resume,
    memoryBytes,
    threads,
    device,
    sha256: false,
    signal: options.signal,
    onProgress: options.onProgress,
    onTensor: onTensor && ((stats: MergedTensorStats) => onTensor(fusedTensor(stats))),
    onDownload,
  }
  return {
    recipe: resolved,
    record: recordOf(recipe, resolved, run),
    run,
    label: (model) => (model === 'left' ? 'Left' : 'Right'),
  }
}

/** What the only merge did. */
export function fusedTensor({ name, shape, dtype, elements, steps }: MergedTensorStats): TensorStats {
  return { name, shape, dtype, elements, ...(steps[0] as StepStats) }
}

/** The summary of the merge that a fusion is, of its only step. */
export function fusionSummary(summary: MergeSummary, { recipe }: Pick<MergeRequest, 'recipe'>): FuseSummary {
  const { merges, models: _, tensors, parameters, device, deviceReason, warnings, ...rest } = summary
  const [{ id: __, method: ___, ...figures }] = merges as [(typeof merges)[number]]
  const preset = recipe.root.parameters.preset as PresetName
  return { tensors, parameters, ...figures, ...rest, preset, device, deviceReason, warnings }
}
