import type { FuseCheckpointsOptions, FuseOptions } from '../fusion/fuseOptionTypes.js'
import { type FusedTensor, fuseTensors, type Tensor } from '../fusion/fuseTensors.js'
import { invalidArgument } from '../validate.js'
import { type FuseSummary, fuseCheckpoints } from './fuseCheckpoints.js'

/**
 * Fuses two tensors in memory.
 *
 * @throws BranchMergeError ERR_INVALID_ARGUMENT, ERR_DTYPE_MISMATCH, ERR_DTYPE_UNSUPPORTED, ERR_SHAPE_MISMATCH,
 *   ERR_INTEGER_MISMATCH, ERR_NON_FINITE or ERR_OUT_OF_MEMORY; the signal's reason after an abort.
 */
export function fuse<D extends ArrayBufferView>(
  left: Tensor<D>,
  right: Tensor,
  options?: FuseOptions,
): Promise<FusedTensor<D>>
/**
 * Fuses two checkpoints, each a directory as Hugging Face lays it out or one .safetensors file, into the directory `out`.
 * Nothing that looks complete is there before the call succeeds.
 *
 * @throws BranchMergeError with any of the codes in docs/errors.md; the signal's reason after an abort.
 */
export function fuse(left: string, right: string, options: FuseCheckpointsOptions): Promise<FuseSummary>
export async function fuse(
  left: string | Tensor,
  right: string | Tensor,
  options: FuseOptions | FuseCheckpointsOptions = {},
): Promise<FuseSummary | FusedTensor> {
  if (typeof left === 'string' && typeof right === 'string') {
    return await fuseCheckpoints(left, right, options as FuseCheckpointsOptions)
  }
  if (typeof left === 'string') throw invalidArgument('a path, as for left,', 'right', right)
  if (typeof right === 'string') throw invalidArgument('a tensor, as for left,', 'right', right)
  return await fuseTensors(left, right, options)
}
