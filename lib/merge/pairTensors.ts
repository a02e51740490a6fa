import { isFloat, isInteger } from '../checkpoint/dtypes.js'
import type { Checkpoint, CheckpointTensor } from '../checkpoint/openCheckpoint.js'
import { BranchMergeError, type ErrorCode } from '../errors.js'

export interface TensorPair {
  name: string
  dtype: string
  shape: number[]
  elements: number
  left: CheckpointTensor
  right: CheckpointTensor
}

interface Problem {
  code: ErrorCode
  text: string
}

const maxListed = 20

/**
 * Matches the tensors of two checkpoints by name, in Left's order. `leftOut` are names that a side stores but that do not
 * take part (a tied head).
 *
 * @throws ERR_TENSOR_MISSING, ERR_DTYPE_MISMATCH, ERR_SHAPE_MISMATCH or ERR_DTYPE_UNSUPPORTED: the first problem's code,
 *   with all of them in the message.
 */
export function pairTensors(
  left: Checkpoint,
  right: Checkpoint,
  leftOut: { left?: string | undefined; right?: string | undefined } = {},
): TensorPair[] {
  const inLeft = left.tensors.filter((tensor) => tensor.name !== leftOut.left)
  const inRight = new Map(right.tensors.map((tensor) => [tensor.name, tensor]))
  if (leftOut.right !== undefined) inRight.delete(leftOut.right)
  const problems: Problem[] = []
  const pairs: TensorPair[] = []
  for (const tensor of inLeft) {
    const other = inRight.get(tensor.name)
    inRight.delete(tensor.name)
    const problem = other ? mismatch(tensor, other) : missing(tensor, 'Left', right)
    if (problem) problems.push(problem)
    else if (other) pairs.push(pair(tensor, other))
  }
  for (const tensor of inRight.values()) problems.push(missing(tensor, 'Right', left))
  if (problems.length > 0) throw refusal(problems)
  if (pairs.length === 0) throw new BranchMergeError('ERR_TENSOR_MISSING', `There is no tensor to fuse in ${left.path}`)
  return pairs
}

function pair(left: CheckpointTensor, right: CheckpointTensor): TensorPair {
  const { name, dtype, shape, elements } = left
  return { name, dtype, shape, elements, left, right }
}

function mismatch(left: CheckpointTensor, right: CheckpointTensor): Problem | undefined {
  const { name, dtype } = left
  if (dtype !== right.dtype) {
    return { code: 'ERR_DTYPE_MISMATCH', text: `"${name}" is ${dtype} in Left and ${right.dtype} in Right` }
  }
  if (left.shape.join() !== right.shape.join()) {
    const shapes = `[${left.shape.join(', ')}] in Left and [${right.shape.join(', ')}] in Right`
    return { code: 'ERR_SHAPE_MISMATCH', text: `"${name}" is ${shapes}` }
  }
  if (isFloat(dtype) || isInteger(dtype)) return undefined
  return { code: 'ERR_DTYPE_UNSUPPORTED', text: `"${name}" is ${dtype}, which fusion does not support yet` }
}

function missing(tensor: CheckpointTensor, side: 'Left' | 'Right', other: Checkpoint): Problem {
  const otherSide = side === 'Left' ? 'Right' : 'Left'
  const head = /(^|\.)(lm_head|embed_out)\.weight$/.test(tensor.name)
  const hint = head ? ` (is the head of one model tied to its embedding?)` : ''
  return {
    code: 'ERR_TENSOR_MISSING',
    text: `"${tensor.name}" is in ${side} but not in ${otherSide}, ${other.path}${hint}`,
  }
}

const advice: Partial<Record<ErrorCode, string>> = {
  ERR_TENSOR_MISSING: 'Fusion needs two fine-tunes of one architecture.',
  ERR_DTYPE_MISMATCH: 'Save both models in one dtype first.',
  ERR_SHAPE_MISMATCH: 'Fusion needs equal shapes; for embeddings, resize both models to one vocabulary first.',
  ERR_DTYPE_UNSUPPORTED: 'Supported are BF16, F16, F32, F64, and equal integers and booleans.',
}

function refusal(problems: Problem[]): BranchMergeError {
  const { code } = problems[0] as Problem
  const lines = problems.slice(0, maxListed).map(({ text }) => `  ${text}`)
  if (problems.length > maxListed) lines.push(`  and ${problems.length - maxListed} more`)
  return new BranchMergeError(code, `The checkpoints cannot be fused. ${advice[code]}\n${lines.join('\n')}`)
}
