import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { openCheckpoint } from '../checkpoint/openCheckpoint.js'
import { version } from '../version.js'
import { noDevices } from './devices.js'
import type { Manifest, ManifestStep } from './manifest.js'
import type { MergeRequest } from './mergeOptions.js'
import type { MergedTensor, MergeOutcome } from './mergePass.js'
import { type MergePlan, planSplitMerge } from './planMerge.js'
import type { StepStats } from './tensorStats.js'
import { manifestOf } from './verify.js'

/** A merge that an earlier run has done, as its manifest tells. */
export interface FinishedMerge {
  plan: MergePlan
  outcome: MergeOutcome
}

/**
 * What the output directory holds, when it is what the request would make: the same recipe and version, inputs of the same
 * sizes and headers, all files there in their sizes. Undefined otherwise.
 */
export async function finishedMerge(request: MergeRequest): Promise<FinishedMerge | undefined> {
  const manifest = await matchingManifest(request)
  if (!manifest) return undefined
  return { plan: await planSplitMerge(request), outcome: outcomeOf(manifest) }
}

/** Whether the output directory holds what the request would make, see {@link finishedMerge}. */
export async function isFinished(request: MergeRequest): Promise<boolean> {
  return (await matchingManifest(request)) !== undefined
}

async function matchingManifest({ recipe, record, run }: MergeRequest): Promise<Manifest | undefined> {
  const manifest = await manifestOf(run.out).catch(() => undefined)
  if (manifest?.branchmerge !== version || JSON.stringify(manifest.recipe) !== JSON.stringify(record)) return undefined
  for (const { name, path } of recipe.models) {
    const { files } = await openCheckpoint(path, { signal: run.signal })
    const recorded = manifest.models[name]?.files ?? []
    const same = files.every(({ bytes, headerHash }, i) => {
      return bytes === recorded[i]?.bytes && headerHash === recorded[i]?.headerHash
    })
    if (files.length !== recorded.length || !same) return undefined
  }
  const { files, sideFiles } = manifest.output
  for (const { name, bytes } of [...files, ...sideFiles]) {
    const found = await stat(join(run.out, name)).catch(() => undefined)
    if (found?.size !== bytes) return undefined
  }
  return manifest
}

/** Nothing was read or written. */
function outcomeOf({ tensors }: Manifest): MergeOutcome {
  const merged = Object.entries(tensors).map(([name, { shape, dtype, models, hash, steps }]): MergedTensor => {
    const elements = shape.reduce((product, size) => product * size, 1)
    return { name, shape, dtype, elements, steps: steps.map(statsOf), modelHashes: models, hash }
  })
  const figures = { bytesRead: 0, bytesWritten: 0, seconds: 0, inputAccess: 'none', outputAccess: 'none' }
  const totals = { ...figures, ...noDevices('the output was there already') }
  return { tensors: merged, totals }
}

const statsOf = ({ identical = false, degenerate = false, nonFinite, ...figures }: ManifestStep): StepStats => {
  return { ...figures, identical, degenerate, nonFinite }
}
