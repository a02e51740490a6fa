import { type FloatDtype, isFloat, isInteger } from '../checkpoint/dtypes.js'
import type { Checkpoint, CheckpointTensor } from '../checkpoint/openCheckpoint.js'
import { BranchMergeError, type ErrorCode } from '../errors.js'
import { type CopiedRows, commonRows, withRowsBeyond } from './vocabulary.js'

/** A checkpoint that takes part in a merge. */
export interface MatchedModel {
  /** As messages call it: Left, or the model's name in the recipe. */
  label: string
  checkpoint: Checkpoint
  /** Name of a tensor that it stores but that does not take part (a tied head). */
  leftOut?: string | undefined
  /** Float tensors are converted to this as they are read. */
  readAs?: FloatDtype | undefined
}

/** The tensors of one name, one from each model. */
export interface MatchedTensor {
  name: string
  /** As the models are read. */
  dtype: string
  /** Of the output. */
  shape: number[]
  elements: number
  /** In the order of the models, as they are stored; of an embedding the rows that are read. */
  models: CheckpointTensor[]
  copied?: CopiedRows
}

/** Of embeddings and output heads of different numbers of rows, those that all models have, and the rest of one model. */
export interface RowChoice {
  /** Position of the model whose further rows are kept. */
  beyond?: number | undefined
}

interface Problem {
  code: ErrorCode
  text: string
}

const maxListed = 20

/**
 * Matches the tensors of checkpoints by name, in the order of the one at position `reference`. `rows`: embeddings and output heads
 * may have different numbers of rows.
 *
 * @throws ERR_TENSOR_MISSING, ERR_DTYPE_MISMATCH, ERR_SHAPE_MISMATCH or ERR_DTYPE_UNSUPPORTED: the first problem's code,
 *   with all of them in the message.
 */
export function matchTensors(
  models: readonly MatchedModel[],
  reference = 0,
  { rows }: { rows?: RowChoice | undefined } = {},
): MatchedTensor[] {
  const byName = models.map(
    ({ checkpoint, leftOut }) =>
      new Map(checkpoint.tensors.flatMap((tensor) => (tensor.name === leftOut ? [] : [[tensor.name, tensor]]))),
  )
  const first = models[reference] as MatchedModel
  const problems: Problem[] = []
  const matched: MatchedTensor[] = []
  for (const name of (byName[reference] as Map<string, CheckpointTensor>).keys()) {
    const stored = byName.map((tensors) => tensors.get(name))
    const found = rows && isComplete(stored) ? commonRows(stored) : stored
    const tensor = found[reference] as CheckpointTensor
    const faults = found.flatMap((other, i) => difference(tensor, first, other, models[i] as MatchedModel) ?? [])
    const unsupported = unsupportedDtype(tensor)
    if (faults.length === 0 && unsupported) faults.push(unsupported)
    if (faults.length > 0) problems.push(...faults)
    else {
      const match = matchOf(tensor, readDtype(tensor, first), found as CheckpointTensor[])
      matched.push(
        rows?.beyond === undefined ? match : withRowsBeyond(match, stored as CheckpointTensor[], rows.beyond),
      )
    }
  }
  for (const [i, tensors] of byName.entries()) {
    const extra = [...tensors.values()].filter(({ name }) => !byName[reference]?.has(name))
    problems.push(...extra.map((tensor) => missing(tensor, models[i] as MatchedModel, first)))
  }
  if (problems.length > 0) throw refusal(problems, models)
  if (matched.length === 0) {
    throw new BranchMergeError('ERR_TENSOR_MISSING', `There is no tensor to merge in ${first.checkpoint.path}`)
  }
  return matched
}

const isComplete = (found: (CheckpointTensor | undefined)[]): found is CheckpointTensor[] =>
  found.every((tensor) => tensor !== undefined)

function matchOf(
  { name, shape, elements }: CheckpointTensor,
  dtype: string,
  models: CheckpointTensor[],
): MatchedTensor {
  return { name, dtype, shape, elements, models }
}

function difference(
  tensor: CheckpointTensor,
  first: MatchedModel,
  other: CheckpointTensor | undefined,
  model: MatchedModel,
): Problem | undefined {
  if (!other) return missing(tensor, first, model)
  const { name } = tensor
  const [dtype, otherDtype] = [readDtype(tensor, first), readDtype(other, model)]
  if (dtype !== otherDtype) {
    const text = `"${name}" is ${dtype} in ${first.label} and ${otherDtype} in ${model.label}`
    return { code: 'ERR_DTYPE_MISMATCH', text }
  }
  if (tensor.shape.join() === other.shape.join()) return undefined
  const shapes = `[${tensor.shape.join(', ')}] in ${first.label} and [${other.shape.join(', ')}] in ${model.label}`
  return { code: 'ERR_SHAPE_MISMATCH', text: `"${name}" is ${shapes}` }
}

const readDtype = ({ dtype }: CheckpointTensor, { readAs }: MatchedModel): string =>
  readAs && isFloat(dtype) ? readAs : dtype

function unsupportedDtype({ name, dtype }: CheckpointTensor): Problem | undefined {
  if (isFloat(dtype) || isInteger(dtype)) return undefined
  return { code: 'ERR_DTYPE_UNSUPPORTED', text: `"${name}" is ${dtype}` }
}

function missing(tensor: CheckpointTensor, owner: MatchedModel, other: MatchedModel): Problem {
  const head = /(^|\.)(lm_head|embed_out)\.weight$/.test(tensor.name)
  const hint = head ? ` (is the head of one model tied to its embedding?)` : ''
  return {
    code: 'ERR_TENSOR_MISSING',
    text: `"${tensor.name}" is in ${owner.label} but not in ${other.label}, ${other.checkpoint.path}${hint}`,
  }
}

const advice: Partial<Record<ErrorCode, string>> = {
  ERR_TENSOR_MISSING: 'A merge needs fine-tunes of one architecture.',
  ERR_DTYPE_MISMATCH:
    'Name a dtype to read them in, models.NAME.dtype of a recipe, or save all models in one dtype first.',
  ERR_SHAPE_MISMATCH:
    'A merge needs equal shapes; for embeddings, resize all models to one vocabulary, ' +
    'or choose the rows to keep with embeddings in a recipe (--embeddings): common, left or right.',
  ERR_DTYPE_UNSUPPORTED:
    'Supported are BF16, F16, F32, F64, and equal integers and booleans: merge quantised models before they are quantised.',
}

/** Its own tensors alone do not make a model, under whatever name the file comes. */
const isAdapter = ({ checkpoint }: MatchedModel): boolean =>
  checkpoint.tensors.some(({ name }) => /\.lora_(embedding_)?[AB]\b/.test(name))

function refusal(problems: Problem[], models: readonly MatchedModel[]): BranchMergeError {
  const { code } = problems[0] as Problem
  const codes = [...new Set(problems.map((problem) => problem.code))]
  const lines = problems.slice(0, maxListed).map(({ text }) => `  ${text}`)
  if (problems.length > maxListed) lines.push(`  and ${problems.length - maxListed} more`)
  const adapters = models
    .filter(isAdapter)
    .map(({ label, checkpoint }) => `${label}, ${checkpoint.path}, holds an adapter: merge that into its base first.`)
  const advices = [...codes.map((each) => advice[each]), ...adapters].join(' ')
  const subject = models.length === 1 ? 'The checkpoint' : 'The checkpoints'
  return new BranchMergeError(code, `${subject} cannot be merged. ${advices}\n${lines.join('\n')}`)
}
