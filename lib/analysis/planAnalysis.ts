import { isFloat, isInteger } from '../checkpoint/dtypes.js'
import { type Checkpoint, type CheckpointTensor, openCheckpoint } from '../checkpoint/openCheckpoint.js'
import { readConfig } from '../checkpoint/readConfig.js'
import { BranchMergeError, type ErrorCode } from '../errors.js'
import { refuseInputs } from '../files/outputDirectory.js'
import { fetchPlaces } from '../hub/hub.js'
import { placeFromFile } from '../hub/hubName.js'
import { memoryOfProcess } from '../machineLimits.js'
import { settleHeads, verifyTiedHead } from '../merge/plan/tiedWeights.js'
import type { NativeAnalysisPlan, NativeStoredRange } from '../native/native.js'
import type { ResolvedAnalysis } from './analyseOptions.js'

/** A checkpoint that is compared. */
export interface AnalysedModel {
  role: 'base' | 'expert' | 'merged' | 'gradient'
  name: string
  checkpoint: Checkpoint
}

/** What is read, and what is left out. */
export interface AnalysisPlan {
  request: ResolvedAnalysis
  models: AnalysedModel[]
  native: NativeAnalysisPlan
  /** Tensors that are not compared, with why. */
  leftOut: { name: string; reason: string }[]
  bytesToRead: number
  /** Upper estimate of the memory for tensors and counters. */
  memoryBytes: number
}

const maxListed = 20
/** Beside the largest tensor: the ring of the reader holds that much, and half of that tensor. */
const readAheadBytes = 256 * 2 ** 20
/** Of each worker and expert: 64-bit counters of 16 bits for each of four thresholds. */
const counterBytes = 4 * 2 ** 16 * 8
/** Of each worker and version: a block of 2^16 elements, widened at most. */
const blockBytes = 2 ** 16 * 8

/**
 * Opens the checkpoints, of which those on the Hub are fetched, and matches their tensors. Reads headers only, and stored heads that
 * must equal their embeddings.
 *
 * @throws what openCheckpoint throws; ERR_TENSOR_MISSING, ERR_SHAPE_MISMATCH, ERR_DTYPE_UNSUPPORTED, ERR_TIED_WEIGHTS,
 *   ERR_OUTPUT_IS_INPUT, ERR_HUB_*
 */
export async function planAnalysis(request: ResolvedAnalysis): Promise<AnalysisPlan> {
  const { signal, out, onDownload } = request
  const roles = rolesOf(request)
  const found = await fetchPlaces(
    roles.map(({ path }) => ({ place: placeFromFile(path, '.', 'model'), wanted: 'model' })),
    { signal, onProgress: onDownload },
  )
  const models: AnalysedModel[] = []
  for (const [i, { role, name }] of roles.entries()) {
    const { paths, origin } = found[i] as (typeof found)[number]
    const checkpoint = await openCheckpoint(paths[0] as string, { signal })
    // What is recorded is the name with its commit: a place in the cache says nothing to others.
    models.push({ role, name, checkpoint: { ...checkpoint, path: origin?.name ?? checkpoint.path } })
  }
  const checkpoints = models.map(({ checkpoint }) => checkpoint)
  if (out !== undefined) await refuseInputs(out, checkpoints)

  const tied = await tiedHeads(models, signal)
  const { matched, leftOut } = matchAll(models, tied)
  const native = nativePlan(request, models, matched)
  const bytes = native.tensors.map((tensor) => rangesOf(tensor).reduce((sum, { begin, end }) => sum + end - begin, 0))
  const bytesToRead = bytes.reduce((sum, each) => sum + each, 0)
  const largest = bytes.reduce((most, each) => (each <= native.memory ? Math.max(most, each) : most), 0)
  const ring = Math.min(bytesToRead, largest + Math.max(readAheadBytes, largest / 2), native.memory)
  const worker = request.experts.length * counterBytes + models.length * 2 * blockBytes
  return {
    request,
    models,
    native,
    leftOut,
    bytesToRead,
    memoryBytes: Math.ceil(Math.max(ring, largest) + request.threads * worker),
  }
}

function rolesOf({ base, experts, merged, gradients }: ResolvedAnalysis) {
  const as = (role: AnalysedModel['role']) => (named: { name: string; path: string }) => ({ role, ...named })
  return [
    { role: 'base' as const, name: 'base', path: base },
    ...experts.map(as('expert')),
    ...(merged === undefined ? [] : [{ role: 'merged' as const, name: 'merged', path: merged }]),
    ...gradients.map(as('gradient')),
  ]
}

/** What messages call a model. */
const labelOf = ({ role, name }: AnalysedModel): string =>
  role === 'base' || role === 'merged' ? `the ${role === 'base' ? 'base' : 'merged model'}` : `${role} ${name}`

/** Names of heads that are stored although they are the embedding, by model; they are checked. */
async function tiedHeads(models: readonly AnalysedModel[], signal: AbortSignal | undefined) {
  const headed = await Promise.all(
    models
      .filter(({ role }) => role !== 'gradient')
      .map(async (model) => {
        const { directory } = model.checkpoint
        const config = directory === undefined ? undefined : await readConfig(directory)
        return { label: labelOf(model), checkpoint: model.checkpoint, config, model }
      }),
  )
  const found = new Map<AnalysedModel, string>()
  for (const { model, tiedHead } of settleHeads(headed, 'equal').models) {
    if (!tiedHead) continue
    await verifyTiedHead(tiedHead, signal)
    found.set(model, tiedHead.head.name)
  }
  return found
}

interface Matched {
  name: string
  elements: number
  /** In the order of the models. */
  tensors: CheckpointTensor[]
}

interface Problem {
  code: ErrorCode
  text: string
}

function matchAll(models: readonly AnalysedModel[], tied: ReadonlyMap<AnalysedModel, string>) {
  const byName = models.map(
    (model) =>
      new Map(model.checkpoint.tensors.filter(({ name }) => name !== tied.get(model)).map((each) => [each.name, each])),
  )
  const problems: Problem[] = []
  const leftOut = [...new Set(tied.values())].map((name) => ({ name, reason: 'tied to the embedding' }))
  const matched: Matched[] = []
  const [ofBase] = byName as [Map<string, CheckpointTensor>]
  for (const [name, tensor] of ofBase) {
    const isCompared = isFloat(tensor.dtype)
    if (isInteger(tensor.dtype)) leftOut.push({ name, reason: `of dtype ${tensor.dtype}` })
    else if (!isCompared) problems.push(unsupported(models[0] as AnalysedModel, tensor))
    // Trained are floats alone, so that gradients have no others.
    const found = byName.map((tensors, i) => {
      const other = tensors.get(name)
      const model = models[i] as AnalysedModel
      if (other === undefined && (isCompared || model.role !== 'gradient')) problems.push(missing(name, model))
      else if (other && isCompared) problems.push(...differences(tensor, other, model))
      return other
    })
    if (isCompared) matched.push({ name, elements: tensor.elements, tensors: found as CheckpointTensor[] })
  }
  for (const [i, tensors] of byName.entries()) {
    const extra = [...tensors.keys()].filter((name) => !ofBase.has(name))
    problems.push(...extra.map((name) => extraIn(name, models[i] as AnalysedModel)))
  }
  if (problems.length > 0) throw refusal(problems)
  if (matched.length === 0) {
    throw new BranchMergeError('ERR_TENSOR_MISSING', `There is no tensor to compare in ${models[0]?.checkpoint.path}`)
  }
  return { matched, leftOut }
}

function differences(tensor: CheckpointTensor, other: CheckpointTensor, model: AnalysedModel): Problem[] {
  const problems: Problem[] = []
  if (!isFloat(other.dtype)) problems.push(unsupported(model, other))
  if (tensor.shape.join() !== other.shape.join()) {
    const shapes = `[${tensor.shape.join(', ')}] in the base and [${other.shape.join(', ')}] in ${labelOf(model)}`
    problems.push({ code: 'ERR_SHAPE_MISMATCH', text: `"${tensor.name}" is ${shapes}` })
  }
  return problems
}

const missing = (name: string, model: AnalysedModel): Problem => ({
  code: 'ERR_TENSOR_MISSING',
  text: `"${name}" is in the base but not in ${labelOf(model)}, ${model.checkpoint.path}`,
})

const extraIn = (name: string, model: AnalysedModel): Problem => ({
  code: 'ERR_TENSOR_MISSING',
  text: `"${name}" is in ${labelOf(model)}, ${model.checkpoint.path}, but not in the base`,
})

const unsupported = (model: AnalysedModel, { name, dtype }: CheckpointTensor): Problem => ({
  code: 'ERR_DTYPE_UNSUPPORTED',
  text: `"${name}" is ${dtype} in ${labelOf(model)}`,
})

function refusal(problems: readonly Problem[]): BranchMergeError {
  const lines = problems.slice(0, maxListed).map(({ text }) => `  ${text}`)
  if (problems.length > maxListed) lines.push(`  and ${problems.length - maxListed} more`)
  return new BranchMergeError(
    (problems[0] as Problem).code,
    'The checkpoints cannot be compared: an analysis needs experts, a merged model and gradients of one base, ' +
      `with the same tensors in BF16, F16, F32 or F64.\n${lines.join('\n')}`,
  )
}

function nativePlan(
  { threads, memoryBytes }: ResolvedAnalysis,
  models: readonly AnalysedModel[],
  matched: readonly Matched[],
): NativeAnalysisPlan {
  const firsts = models.map(() => 0)
  const inputs = models.flatMap(({ checkpoint }, i) => {
    if (i > 0) firsts[i] = (firsts[i - 1] as number) + (models[i - 1] as AnalysedModel).checkpoint.files.length
    return checkpoint.files.map(({ path, bytes }) => ({ path, bytes }))
  })
  const hasExperts = models.some(({ role }) => role === 'expert')
  const ranges = ({ tensors }: Matched, role: AnalysedModel['role']): NativeStoredRange[] =>
    models.flatMap((model, i) => {
      if (model.role !== role) return []
      const { file, begin, end, dtype } = tensors[i] as CheckpointTensor
      return [{ input: (firsts[i] as number) + file, begin, end, dtype }]
    })
  return {
    inputs,
    tensors: matched.map((tensor) => ({
      name: tensor.name,
      elements: tensor.elements,
      base: hasExperts ? ranges(tensor, 'base') : [],
      experts: ranges(tensor, 'expert'),
      merged: ranges(tensor, 'merged'),
      gradients: ranges(tensor, 'gradient'),
    })),
    memory: memoryBytes ?? Math.floor(memoryOfProcess() / 4),
    threads,
  }
}

const rangesOf = ({ base, experts, merged, gradients }: NativeAnalysisPlan['tensors'][number]): NativeStoredRange[] => [
  ...base,
  ...experts,
  ...merged,
  ...gradients,
]
