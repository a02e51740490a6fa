import { type WeightKind, weightKind, weightKinds } from '../checkpoint/weightKind.js'
import { type NativeTensorFindings, native } from '../native/native.js'
import { runJob } from '../native/runJob.js'
import { layerOf } from '../recipe/bindTensors.js'
import { type AnalysisNames, describeGroup } from './describeGroup.js'
import type { AnalysedModel, AnalysisPlan } from './planAnalysis.js'
import { type AnalysedFiles, type AnalysisPlace, type AnalysisResults, supportPercents } from './results.js'

/** What an analysis found, and what it took. */
export interface AnalysisOutcome {
  results: AnalysisResults
  bytesRead: number
  seconds: number
}

/** Carries out an analysis: one pass over the files. */
export async function runAnalysis(plan: AnalysisPlan): Promise<AnalysisOutcome> {
  const { signal, onProgress } = plan.request
  const found: NativeTensorFindings[] = []
  const { bytesRead, seconds } = await runJob(
    (guard) => native.analyseCheckpoints(plan.native, guard(onProgress), (each) => found.push(each)),
    signal,
  )
  return { results: resultsOf(plan, found), bytesRead, seconds }
}

interface PlacedFindings {
  place: AnalysisPlace
  found: NativeTensorFindings
}

function resultsOf({ models, leftOut }: AnalysisPlan, found: readonly NativeTensorFindings[]): AnalysisResults {
  const ofRole = (role: AnalysedModel['role']) => models.filter((model) => model.role === role)
  const [experts, merged, gradients] = [ofRole('expert'), ofRole('merged'), ofRole('gradient')]
  const names: AnalysisNames = {
    experts: experts.map(({ name }) => name),
    hasMerged: merged.length > 0,
    gradients: gradients.map(({ name }) => name),
  }
  const placed = found.map((each): PlacedFindings => ({ place: placeOf(each.name), found: each }))
  const describe = (members: readonly PlacedFindings[]) =>
    describeGroup(
      members.map((each) => each.found),
      names,
    )
  const inLayers = placed.filter(({ place }) => place.layer !== null)
  return {
    format: 'branchmerge analysis',
    version: 1,
    base: filesOf(models[0] as AnalysedModel),
    experts: experts.map(filesOf),
    merged: merged[0] ? filesOf(merged[0]) : null,
    gradients: gradients.map(filesOf),
    supports: supportPercents,
    leftOut,
    total: describe(placed),
    kinds: groupsOf(placed, ({ place }) => place.kind)
      .map(([kind, members]) => ({ kind, ...describe(members) }))
      .sort((a, b) => orderOf(a.kind) - orderOf(b.kind)),
    layers: groupsOf(inLayers, ({ place }) => `${place.layer} ${place.stack}`)
      .map(([, members]) => {
        const { stack, layer } = (members[0] as PlacedFindings).place
        return { stack: stack as string, layer: layer as number, ...describe(members) }
      })
      .sort(byPlace),
    cells: groupsOf(placed, ({ place }) => `${place.layer} ${place.kind} ${place.stack}`)
      .map(([, members]) => ({ ...(members[0] as PlacedFindings).place, ...describe(members) }))
      .sort((a, b) => byPlace(a, b) || orderOf(a.kind) - orderOf(b.kind)),
    tensors: placed.map((each) => ({ name: each.found.name, ...each.place, ...describe([each]) })),
  }
}

function placeOf(name: string): AnalysisPlace {
  const layer = layerOf(name)
  return { stack: layer?.stack ?? null, layer: layer?.index ?? null, kind: weightKind(name) }
}

const orderOf = (kind: WeightKind): number => weightKinds.indexOf(kind)

/** Outside of layers first, then by stack and layer. */
function byPlace(a: Pick<AnalysisPlace, 'stack' | 'layer'>, b: Pick<AnalysisPlace, 'stack' | 'layer'>): number {
  const [left, right] = [a.stack ?? '', b.stack ?? '']
  if (left !== right) return left < right ? -1 : 1
  return (a.layer ?? -1) - (b.layer ?? -1)
}

function groupsOf<T, K>(items: readonly T[], keyOf: (item: T) => K): [K, T[]][] {
  const groups = new Map<K, T[]>()
  for (const item of items) {
    const group = groups.get(keyOf(item))
    if (group) group.push(item)
    else groups.set(keyOf(item), [item])
  }
  return [...groups]
}

const filesOf = ({ name, checkpoint }: AnalysedModel): AnalysedFiles => ({
  name,
  path: checkpoint.path,
  files: checkpoint.files.map((file) => ({ name: file.name, bytes: file.bytes, headerHash: file.headerHash })),
})
