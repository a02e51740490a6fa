import type { Checkpoint, CheckpointTensor } from '../../checkpoint/openCheckpoint.js'
import { BranchMergeError } from '../../errors.js'
import type { MatchedTensor } from './matchedTensor.js'

/** Tensors with a row for each token: embeddings and output heads, as architectures name them. */
const vocabularyNames =
  /(^|\.)(embed_tokens|embed_in|tok_embeddings|word_embeddings|wte|lm_head|embed_out)\.(weight|bias)$/

export const isVocabularyTensor = (name: string): boolean => vocabularyNames.test(name)

/** The rows that all have: each tensor's first ones, which are its first bytes. As given where they do not fit at all. */
export function commonRows(tensors: CheckpointTensor[]): CheckpointTensor[] {
  const [first] = tensors
  const alike = ({ shape }: CheckpointTensor) =>
    shape.length > 0 && shape.slice(1).join() === first?.shape.slice(1).join()
  if (!first || !isVocabularyTensor(first.name) || !tensors.every(alike)) return tensors
  const rows = Math.min(...tensors.map(({ shape }) => shape[0] as number))
  return tensors.map((tensor) => (tensor.shape[0] === rows ? tensor : crop(tensor, rows)))
}

/** The match with the rows that the model at position `model` has beyond it, of the tensors as they are stored. */
export function withRowsBeyond(match: MatchedTensor, stored: CheckpointTensor[], model: number): MatchedTensor {
  const own = stored[model] as CheckpointTensor
  const rows = (own.shape[0] ?? 0) - (match.shape[0] ?? 0)
  if (rows === 0) return match
  return {
    ...match,
    shape: own.shape,
    elements: own.elements,
    models: match.models.with(model, own),
    copied: { model, rows },
  }
}

/**
 * The rows that embeddings and output heads of the output have, or undefined where all models have the same.
 *
 * @throws ERR_SHAPE_MISMATCH when embeddings and heads come to different numbers of rows
 */
export function vocabularyRows(matched: MatchedTensor[], models: { checkpoint: Checkpoint }[]): number | undefined {
  const vocabulary = matched.filter(({ name }) => isVocabularyTensor(name))
  const sizeIn = (checkpoint: Checkpoint, name: string) =>
    checkpoint.tensors.find((tensor) => tensor.name === name)?.elements
  const differs = ({ name, elements }: MatchedTensor) =>
    models.some(({ checkpoint }) => sizeIn(checkpoint, name) !== elements)
  if (!vocabulary.some(differs)) return undefined
  const rows = new Set(vocabulary.map(({ shape }) => shape[0] as number))
  if (rows.size === 1) return [...rows][0]
  const found = vocabulary.map(({ name, shape }) => `  "${name}" has ${shape[0]}`)
  throw new BranchMergeError(
    'ERR_SHAPE_MISMATCH',
    `Expected embeddings and output heads to keep one number of rows. Resize the models first.\n${found.join('\n')}`,
  )
}

/** The first tensor's rows, or undefined for a checkpoint without an embedding. */
export const rowsOf = ({ tensors }: Checkpoint): number | undefined =>
  tensors.find(({ name }) => isVocabularyTensor(name))?.shape[0]

function crop(tensor: CheckpointTensor, rows: number): CheckpointTensor {
  const [before, ...rest] = tensor.shape as [number, ...number[]]
  const [elements, bytes] = [(tensor.elements / before) * rows, (tensor.bytes / before) * rows]
  return { ...tensor, shape: [rows, ...rest], elements, bytes, end: tensor.begin + bytes }
}
