import { type FusionChoices, type PresetName, presets } from '../../fusion/presets.js'
import type { StepStats } from '../../fusion/tensorStats.js'
import type { MergeNode, NodeParameters } from '../../recipe/resolvedRecipe.js'
import { version } from '../../version.js'
import type { MergePlan, PlannedModel } from '../plan/mergePlan.js'
import {
  type Manifest,
  type ManifestInput,
  type ManifestMerge,
  type ManifestModel,
  type ManifestOperand,
  type ManifestOutput,
  type ManifestSideFile,
  type ManifestStep,
  type ManifestTensor,
  type MergeIdentity,
  manifestFormat,
} from './manifest.js'
import type { MergeOutcome } from './mergeOutcome.js'

/** What is known of the output only when it is written. */
export interface WrittenOutput {
  files: ManifestOutput[]
  sideFiles: ManifestSideFile[]
}

/** Text of branchmerge.json: a function of the inputs' bytes and names on the Hub, the recipe and the version, and of nothing else. */
export function manifestText(plan: MergePlan, outcome: MergeOutcome, written: WrittenOutput): string {
  const { record, models } = plan
  const head: Omit<Manifest, 'tensors'> = {
    format: manifestFormat,
    branchmerge: version,
    recipe: record,
    merges: plan.recipe.merges.map((merge, i) => mergeRecord(merge, i, outcome)),
    models: Object.fromEntries(models.map((model) => [model.name, modelRecord(model, plan)])),
    tiedWeights: [...new Set(models.flatMap(({ tiedHead }) => tiedHead?.head.name ?? []))],
    ...(plan.buffers.length > 0 ? { buffers: plan.buffers } : {}),
    output: {
      files: written.files,
      sideFiles: written.sideFiles,
      tensors: outcome.tensors.length,
      parameters: plan.parameters,
    },
  }
  // One tensor a line: there may be a hundred thousand.
  const copies = new Map(plan.files.flatMap((file) => file.tensors).map(({ name, copied }) => [name, copied]))
  const tensors = outcome.tensors.map((tensor) => {
    const { name, shape, dtype, modelHashes, hash, steps } = tensor
    const copied = copies.get(name)
    const record: ManifestTensor = {
      shape,
      ...(copied ? { copied: { model: models[copied.model]?.name as string, rows: copied.rows } } : {}),
      dtype,
      models: modelHashes,
      hash,
      steps: steps.map(stepRecord),
    }
    return `    ${JSON.stringify(name)}: ${JSON.stringify(record)}`
  })
  return `${JSON.stringify(head, null, 2).slice(0, -2)},\n  "tensors": {\n${tensors.join(',\n')}\n  }\n}\n`
}

function mergeRecord(merge: MergeNode, position: number, { tensors }: MergeOutcome): ManifestMerge {
  const count = (value: (stats: StepStats) => number) =>
    tensors.reduce((total, { steps }) => total + value(steps[position] as StepStats), 0)
  return {
    ...mergeIdentity(merge),
    parameters: merge.parameters,
    kept: count(({ kept }) => kept),
    identical: count(({ identical }) => Number(identical)),
    degenerate: count(({ degenerate }) => Number(degenerate)),
  }
}

export function mergeIdentity({ id, step, method, base, inputs }: MergeNode): MergeIdentity {
  const operand = (node: MergeNode['inputs'][number]): ManifestOperand =>
    node.kind === 'model' ? { model: node.name } : { merge: node.id }
  return {
    id,
    ...(step === undefined ? {} : { step }),
    method,
    ...(base ? { base: operand(base) } : {}),
    inputs: inputs.map(operand),
  }
}

function modelRecord(model: PlannedModel, plan: MergePlan): ManifestModel {
  return { ...(model.origin ? { origin: model.origin } : {}), files: inputRecords(model, plan) }
}

/** Files in the checkpoint's order. */
function inputRecords(model: PlannedModel, { sha256 }: MergePlan): ManifestInput[] {
  const hashes = sha256.get(model.name)
  return model.checkpoint.files.map(({ bytes, headerHash }, i) => ({
    bytes,
    headerHash,
    ...(hashes ? { sha256: hashes[i] as string } : {}),
  }))
}

function stepRecord({ identical, degenerate, nonFinite, ...figures }: StepStats): ManifestStep {
  return {
    ...figures,
    ...(identical ? { identical } : {}),
    ...(degenerate ? { degenerate } : {}),
    ...(nonFinite ? { nonFinite } : {}),
  }
}

/** `__metadata__` of every output file: the last merge, short; like the manifest free of time and place. */
export function fileMetadata({ recipe: { root } }: MergePlan): [key: string, value: string][] {
  return [
    ['format', 'pt'],
    ['branchmerge', version],
    root.method === 'fuse' ? ['branchmerge.fusion', fusionText(root.parameters)] : ['branchmerge.method', root.method],
  ]
}

/** The preset and what was changed of it: 'arcee lambda=2'. */
function fusionText({ preset, ...parameters }: NodeParameters): string {
  const choices = presets[preset as PresetName]
  const changed = (Object.keys(choices) as (keyof FusionChoices)[]).filter((name) => parameters[name] !== choices[name])
  return [preset, ...changed.map((name) => `${name}=${parameters[name]}`)].join(' ')
}
