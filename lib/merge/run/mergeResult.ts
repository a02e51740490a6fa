import type { MergedTensorStats, StepStats } from '../../fusion/tensorStats.js'
import { type DeviceUse, deviceUse, noDevices } from '../../native/devices.js'
import type { Manifest, ManifestStep, MergeIdentity } from '../output/manifest.js'
import { mergeIdentity } from '../output/manifestText.js'
import type { MergedTensor, MergeOutcome } from '../output/mergeOutcome.js'
import type { MergePlan } from '../plan/mergePlan.js'

/** What `merge` resolves to, and what `--json` prints. */
export interface MergeSummary extends DeviceUse {
  tensors: number
  /** Elements of all tensors of the output. */
  parameters: number
  /** Names of the models. */
  models: string[]
  /** Every merge of the recipe, its inputs before it; the last one is the result. */
  merges: MergeFigures[]
  bytesRead: number
  bytesWritten: number
  /** From the call to the published checkpoint. */
  seconds: number
  /** The output was there, complete, from the same recipe and inputs: nothing was done. */
  alreadyDone: boolean
  /** What was left out, not copied, or read in another way than it is stored, in words; empty when nothing was done. */
  notes: string[]
}

/** What one merge of a recipe did to all tensors. */
export interface MergeFigures {
  /** The step's name, or the text of the expression. */
  id: string
  method: string
  /** Elements that the gate took from Right; 0 for other methods than fuse. */
  kept: number
  keptFraction: number
  /** Names of the tensors whose threshold is 0 although they changed. */
  degenerate: string[]
  /** Tensors that hold the same bits in all inputs. */
  identical: number
}

/** What a merge came to, now or in an earlier run. */
export interface MergeResult {
  summary: MergeSummary
  /** In the order of the output. */
  tensors: MergedTensorStats[]
  /** Every merge of the recipe, its inputs before it. */
  merges: MergeIdentity[]
  /** Of a merge that was carried out now. */
  merged: { plan: MergePlan; outcome: MergeOutcome } | undefined
}

/** Of a merge that was carried out. `started` is when the call began, by performance.now(). */
export function resultOf(plan: MergePlan, outcome: MergeOutcome, started: number): MergeResult {
  const merges = plan.recipe.merges.map(mergeIdentity)
  return {
    summary: summariseMerge(plan, outcome, started),
    tensors: outcome.tensors,
    merges,
    merged: { plan, outcome },
  }
}

/** Of a merge that an earlier run has done, as its manifest tells. */
export function earlierResult(manifest: Manifest, started: number): MergeResult {
  const { merges } = manifest
  return { summary: finishedSummary(manifest, started), tensors: finishedTensors(manifest), merges, merged: undefined }
}

/** `started` is when the call began, by performance.now(). */
export function summariseMerge(plan: MergePlan, { tensors, totals }: MergeOutcome, started: number): MergeSummary {
  return {
    tensors: tensors.length,
    parameters: plan.parameters,
    models: plan.models.map(({ name }) => name),
    merges: plan.recipe.merges.map(({ id, method }, i) => ({ id, method, ...figures(plan, tensors, i) })),
    bytesRead: totals.bytesRead,
    bytesWritten: totals.bytesWritten,
    seconds: (performance.now() - started) / 1000,
    ...deviceUse(totals),
    alreadyDone: false,
    notes: plan.notes,
  }
}

function figures(
  { parameters }: MergePlan,
  tensors: MergedTensor[],
  merge: number,
): Omit<MergeFigures, 'id' | 'method'> {
  const all = tensors.map(({ name, steps }) => ({ name, stats: steps[merge] as StepStats }))
  const kept = all.reduce((total, { stats }) => total + stats.kept, 0)
  return {
    kept,
    keptFraction: parameters > 0 ? kept / parameters : 0,
    degenerate: all.filter(({ stats }) => stats.degenerate).map(({ name }) => name),
    identical: all.filter(({ stats }) => stats.identical).length,
  }
}

/** What the merge would have told. `started` is when the call began, by performance.now(). */
function finishedSummary(manifest: Manifest, started: number): MergeSummary {
  const { models, merges, output } = manifest
  return {
    tensors: output.tensors,
    parameters: output.parameters,
    models: Object.keys(models),
    merges: merges.map(({ id, method }, i) => ({ id, method, ...finishedFigures(manifest, i) })),
    bytesRead: 0,
    bytesWritten: 0,
    seconds: (performance.now() - started) / 1000,
    ...deviceUse(noDevices('it was merged before')),
    alreadyDone: true,
    notes: [],
  }
}

function finishedFigures({ merges, tensors, output }: Manifest, position: number): Omit<MergeFigures, 'id' | 'method'> {
  const { kept, identical } = merges[position] as Manifest['merges'][number]
  const degenerate = Object.entries(tensors).filter(([, { steps }]) => steps[position]?.degenerate)
  return {
    kept,
    keptFraction: output.parameters > 0 ? kept / output.parameters : 0,
    degenerate: degenerate.map(([name]) => name),
    identical,
  }
}

/** Statistics of the tensors, in the order of the output. */
function finishedTensors({ tensors }: Manifest): MergedTensorStats[] {
  return Object.entries(tensors).map(([name, { shape, dtype, steps }]) => ({
    name,
    shape,
    dtype,
    elements: shape.reduce((product, size) => product * size, 1),
    steps: steps.map(statsOf),
  }))
}

const statsOf = ({ identical = false, degenerate = false, nonFinite, ...figures }: ManifestStep): StepStats => {
  return { ...figures, identical, degenerate, nonFinite }
}
