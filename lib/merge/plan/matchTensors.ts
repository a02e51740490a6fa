import { type FloatDtype, isFloat, isInteger } from '../../checkpoint/dtypes.js'
import type { Checkpoint, CheckpointTensor } from '../../checkpoint/openCheckpoint.js'
import { BranchMergeError, type ErrorCode } from '../../errors.js'
import type { MatchedTensor } from './matchedTensor.js'
import { prefixedNames } from './tensorNames.js'
import { commonRows, withRowsBeyond } from './vocabulary.js'

/** A checkpoint that takes part in a merge. */
export interface MatchedModel {
  /** As messages call it: Left, or the model's name in the recipe. */
  label: string
  checkpoint: Checkpoint
  /** Names of tensors that it stores but that do not take part: a tied head, buffers. */
  leftOut?: readonly string[] | undefined
  /** Float tensors are converted to this as they are read. */
  readAs?: FloatDtype | undefined
}

/** Of embeddings and output heads of different numbers of rows, those that all models have, and the rest of one model. */
export interface RowChoice {
  /** Position of the model whose further rows are kept. */
  beyond?: number | undefined
}

export interface MatchOptions {
  /** Embeddings and output heads may have different numbers of rows. */
  rows?: RowChoice | undefined
  /** What models store in different float dtypes is read in this one. */
  mixedAs?: FloatDtype | undefined
}

interface Problem {
  code: ErrorCode
  /** Of the tensor. */
  name: string
  text: string
  /** Problems of one kind are told together: what the tensor is. */
  is?: string
}

const maxListed = 20

/**
 * Matches the tensors of checkpoints by name, in the order of the one at position `reference`.
 *
 * @throws ERR_TENSOR_MISSING, ERR_DTYPE_MISMATCH, ERR_SHAPE_MISMATCH or ERR_DTYPE_UNSUPPORTED: the first problem's code,
 *   with all of them in the message.
 */
export function matchTensors(
  models: readonly MatchedModel[],
  reference = 0,
  { rows, mixedAs }: MatchOptions = {},
): MatchedTensor[] {
  const byName = models.map(({ checkpoint, leftOut }) => {
    const without = new Set(leftOut)
    return new Map(checkpoint.tensors.flatMap((tensor) => (without.has(tensor.name) ? [] : [[tensor.name, tensor]])))
  })
  const first = models[reference] as MatchedModel
  const problems: Problem[] = []
  const matched: MatchedTensor[] = []
  for (const name of (byName[reference] as Map<string, CheckpointTensor>).keys()) {
    const stored = byName.map((tensors) => tensors.get(name))
    const found = rows && isInEveryModel(stored) ? commonRows(stored) : stored
    const tensor = found[reference] as CheckpointTensor
    const dtypes = readDtypes(found, models, mixedAs)
    const faults = found.flatMap(
      (other, i) => difference({ tensor, other, dtypes, positions: [reference, i] }, models) ?? [],
    )
    const unsupported = unsupportedDtype(tensor)
    if (faults.length === 0 && unsupported) faults.push(unsupported)
    if (faults.length > 0) problems.push(...faults)
    else {
      const match = matchOf(tensor, dtypes[reference] as string, found as CheckpointTensor[])
      matched.push(
        rows?.beyond === undefined ? match : withRowsBeyond(match, stored as CheckpointTensor[], rows.beyond),
      )
    }
  }
  for (const [i, tensors] of byName.entries()) {
    const extra = [...tensors.values()].filter(({ name }) => !byName[reference]?.has(name))
    problems.push(...extra.map((tensor) => missing(tensor, models[i] as MatchedModel, first)))
  }
  if (problems.length > 0) throw refusal(problems, models, reference)
  if (matched.length === 0) {
    throw new BranchMergeError('ERR_TENSOR_MISSING', `There is no tensor to merge in ${first.checkpoint.path}`)
  }
  return matched
}

const isInEveryModel = (found: (CheckpointTensor | undefined)[]): found is CheckpointTensor[] =>
  found.every((tensor) => tensor !== undefined)

function matchOf(
  { name, shape, elements }: CheckpointTensor,
  dtype: string,
  models: CheckpointTensor[],
): MatchedTensor {
  return { name, dtype, shape, elements, models }
}

interface Pairing {
  tensor: CheckpointTensor
  other: CheckpointTensor | undefined
  /** In the order of the models. */
  dtypes: readonly (string | undefined)[]
  /** Of the reference and of the other model. */
  positions: [reference: number, other: number]
}

function difference(
  { tensor, other, dtypes, positions: [reference, position] }: Pairing,
  models: readonly MatchedModel[],
): Problem | undefined {
  const [first, model] = [models[reference], models[position]] as [MatchedModel, MatchedModel]
  if (!other) return missing(tensor, first, model)
  const { name } = tensor
  const [dtype, otherDtype] = [dtypes[reference], dtypes[position]]
  if (dtype !== otherDtype) {
    const is = `${dtype} in ${first.label} and ${otherDtype} in ${model.label}`
    return { code: 'ERR_DTYPE_MISMATCH', name, text: `"${name}" is ${is}`, is }
  }
  if (tensor.shape.join() === other.shape.join()) return undefined
  const shapes = `[${tensor.shape.join(', ')}] in ${first.label} and [${other.shape.join(', ')}] in ${model.label}`
  return { code: 'ERR_SHAPE_MISMATCH', name, text: `"${name}" is ${shapes}` }
}

/** The dtype in which each model's tensor is read: the model's own choice, then, where they differ, the one for all. */
function readDtypes(
  found: readonly (CheckpointTensor | undefined)[],
  models: readonly MatchedModel[],
  mixedAs: FloatDtype | undefined,
): (string | undefined)[] {
  const own = found.map((tensor, i) => tensor && readDtype(tensor, models[i] as MatchedModel))
  if (!mixedAs || new Set(own).size === 1 || !own.every((dtype) => dtype === undefined || isFloat(dtype))) return own
  return own.map((dtype, i) => (dtype === undefined || models[i]?.readAs ? dtype : mixedAs))
}

const readDtype = ({ dtype }: CheckpointTensor, { readAs }: MatchedModel): string =>
  readAs && isFloat(dtype) ? readAs : dtype

function unsupportedDtype({ name, dtype }: CheckpointTensor): Problem | undefined {
  if (isFloat(dtype) || isInteger(dtype)) return undefined
  return { code: 'ERR_DTYPE_UNSUPPORTED', name, text: `"${name}" is ${dtype}` }
}

function missing(tensor: CheckpointTensor, owner: MatchedModel, other: MatchedModel): Problem {
  const head = /(^|\.)(lm_head|embed_out)\.weight$/.test(tensor.name)
  const hint = head ? ' (--heads embedding takes the embedding as the head, see docs/merge.md)' : ''
  return {
    code: 'ERR_TENSOR_MISSING',
    name: tensor.name,
    text: `"${tensor.name}" is in ${owner.label} but not in ${other.label}, ${other.checkpoint.path}${hint}`,
  }
}

const advice: Partial<Record<ErrorCode, string>> = {
  ERR_TENSOR_MISSING: 'A merge needs fine-tunes of one architecture.',
  ERR_DTYPE_MISMATCH:
    'Choose a dtype to read them in: --dtype DTYPE (output.dtype of a recipe) for all models, ' +
    '--dtype NAME=DTYPE (models.NAME.dtype) for one.',
  ERR_SHAPE_MISMATCH:
    'A merge needs equal shapes; for embeddings, resize all models to one vocabulary, ' +
    'or choose the rows to keep with embeddings in a recipe (--embeddings): common, left or right.',
  ERR_DTYPE_UNSUPPORTED:
    'Supported are BF16, F16, F32, F64, and equal integers and booleans: merge models before they are quantised.',
}

/** Its own tensors alone do not make a model, under whatever name the file comes. */
const isAdapter = ({ checkpoint }: MatchedModel): boolean =>
  checkpoint.tensors.some(({ name }) => /\.lora_(embedding_)?[AB]\b/.test(name))

function refusal(found: Problem[], models: readonly MatchedModel[], reference: number): BranchMergeError {
  const { hints, names } = prefixHints(models, reference)
  const problems = found.filter(({ code, name }) => code !== 'ERR_TENSOR_MISSING' || !names.has(name))
  const codes = [...new Set(problems.map((problem) => problem.code))]
  const texts = gathered(problems)
  const lines = [...hints, ...texts.slice(0, maxListed)].map((text) => `  ${text}`)
  if (texts.length > maxListed) lines.push(`  and ${texts.length - maxListed} more`)
  const adapters = models
    .filter(isAdapter)
    .map(({ label, checkpoint }) => `${label}, ${checkpoint.path}, holds an adapter: merge that into its base first.`)
  const renaming =
    hints.length > 0 ? ['To match names that differ only by a prefix, set names: prefixes (--names prefixes).'] : []
  const advices = [...renaming, ...codes.map((each) => advice[each]), ...adapters].join(' ')
  const subject = models.length === 1 ? 'The checkpoint' : 'The checkpoints'
  return new BranchMergeError(
    (found[0] as Problem).code,
    `${subject} cannot be merged. ${advices}\n${lines.join('\n')}`,
  )
}

/** The texts of the problems, those of one kind in one. */
function gathered(problems: readonly Problem[]): string[] {
  const alike = new Map<string, number>()
  for (const { is } of problems) if (is !== undefined) alike.set(is, (alike.get(is) ?? 0) + 1)
  const told = new Set<string>()
  return problems.flatMap(({ text, name, is }) => {
    const count = is === undefined ? 1 : (alike.get(is) as number)
    if (is === undefined || count === 1) return [text]
    if (told.has(is)) return []
    told.add(is)
    return [`${count} tensors are ${is}: "${name}" and ${count - 1} more`]
  })
}

/** Of models whose names agree with the reference's but for prefixes, and which names these are. */
function prefixHints(models: readonly MatchedModel[], reference: number): { hints: string[]; names: Set<string> } {
  const first = models[reference] as MatchedModel
  const pairs = models.map(({ checkpoint }) => prefixedNames(first.checkpoint, checkpoint))
  const hints = pairs.flatMap((names, i) => {
    const [pair] = names
    if (!pair) return []
    const [theirs, ours] = pair
    return [
      `${names.size} names agree but for prefixes: "${ours}" of ${first.label} is "${theirs}" in ${models[i]?.label}`,
    ]
  })
  return { hints, names: new Set(pairs.flatMap((names) => [...names].flat())) }
}
