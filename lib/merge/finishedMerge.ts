import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Checkpoint, openCheckpoint } from '../checkpoint/openCheckpoint.js'
import { version } from '../version.js'
import { deviceUse, noDevices } from './devices.js'
import type { Manifest, ManifestStep } from './manifest.js'
import type { MergeFigures, MergeSummary } from './merge.js'
import type { MergeRequest } from './mergeOptions.js'
import { isComplete } from './outputDirectory.js'
import type { MergedTensorStats, StepStats } from './tensorStats.js'
import { manifestOf } from './verify.js'

/** A merge that an earlier run has done. */
export interface FinishedMerge {
  manifest: Manifest
  /** The inputs, in the order of the recipe's models. */
  checkpoints: Checkpoint[]
}

/**
 * What the output directory holds, when it is what the request would make: the same recipe and version, inputs of the same
 * sizes and headers, all files there in their sizes. Undefined otherwise.
 */
export async function finishedMerge({ recipe, record, run }: MergeRequest): Promise<FinishedMerge | undefined> {
  const manifest = await completeManifest(run.out)
  if (manifest?.branchmerge !== version || JSON.stringify(manifest.recipe) !== JSON.stringify(record)) return undefined
  const checkpoints: Checkpoint[] = []
  for (const { name, path } of recipe.models) {
    const checkpoint = await openCheckpoint(path, { signal: run.signal })
    const recorded = manifest.models[name]?.files ?? []
    const same = checkpoint.files.every(({ bytes, headerHash }, i) => {
      return bytes === recorded[i]?.bytes && headerHash === recorded[i]?.headerHash
    })
    if (checkpoint.files.length !== recorded.length || !same) return undefined
    checkpoints.push(checkpoint)
  }
  return { manifest, checkpoints }
}

/** The manifest of a directory that looks complete and has all files that it lists, in their sizes; undefined otherwise. */
export async function completeManifest(out: string): Promise<Manifest | undefined> {
  const manifest = await manifestOf(out).catch(() => undefined)
  if (!manifest || !(await isComplete(out))) return undefined
  const { files, sideFiles } = manifest.output
  for (const { name, bytes } of [...files, ...sideFiles]) {
    const found = await stat(join(out, name)).catch(() => undefined)
    if (found?.size !== bytes) return undefined
  }
  return manifest
}

/** What the merge would have told. `started` is when the call began, by performance.now(). */
export function finishedSummary(manifest: Manifest, started: number): MergeSummary {
  const { models, merges, output } = manifest
  return {
    tensors: output.tensors,
    parameters: output.parameters,
    models: Object.keys(models),
    merges: merges.map(({ id, method }, i) => ({ id, method, ...figures(manifest, i) })),
    bytesRead: 0,
    bytesWritten: 0,
    seconds: (performance.now() - started) / 1000,
    ...deviceUse(noDevices('it was merged before')),
    alreadyDone: true,
  }
}

function figures({ merges, tensors, output }: Manifest, position: number): Omit<MergeFigures, 'id' | 'method'> {
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
export function finishedTensors({ tensors }: Manifest): MergedTensorStats[] {
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
