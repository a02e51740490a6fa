/** Stable codes of {@link BranchMergeError}; docs/errors.md explains each one. */
export type ErrorCode =
  | 'ERR_INVALID_ARGUMENT'
  | 'ERR_RECIPE'
  | 'ERR_CANCELLED'
  | 'ERR_CHECKPOINT_NOT_FOUND'
  | 'ERR_HUB_NOT_FOUND'
  | 'ERR_HUB_ACCESS'
  | 'ERR_HUB_UNAVAILABLE'
  | 'ERR_HUB_PROTOCOL'
  | 'ERR_FILE_READ'
  | 'ERR_FILE_CHANGED'
  | 'ERR_FILE_LENGTH'
  | 'ERR_HEADER_TOO_SMALL'
  | 'ERR_HEADER_TOO_LARGE'
  | 'ERR_HEADER_LENGTH'
  | 'ERR_HEADER_UTF8'
  | 'ERR_HEADER_JSON'
  | 'ERR_HEADER_DUPLICATE'
  | 'ERR_HEADER_METADATA'
  | 'ERR_HEADER_TENSOR_COUNT'
  | 'ERR_TENSOR_ENTRY'
  | 'ERR_TENSOR_NAME'
  | 'ERR_TENSOR_DTYPE'
  | 'ERR_TENSOR_OVERFLOW'
  | 'ERR_TENSOR_SIZE'
  | 'ERR_TENSOR_OFFSETS'
  | 'ERR_INDEX_JSON'
  | 'ERR_INDEX_SHARD_NAME'
  | 'ERR_INDEX_SHARD_MISSING'
  | 'ERR_INDEX_MISMATCH'
  | 'ERR_ARCHITECTURE_MISMATCH'
  | 'ERR_TENSOR_MISSING'
  | 'ERR_DTYPE_MISMATCH'
  | 'ERR_DTYPE_UNSUPPORTED'
  | 'ERR_SHAPE_MISMATCH'
  | 'ERR_INTEGER_MISMATCH'
  | 'ERR_TIED_WEIGHTS'
  | 'ERR_NON_FINITE'
  | 'ERR_CONFIG_JSON'
  | 'ERR_DATA'
  | 'ERR_TOKENIZER'
  | 'ERR_CHAT_TEMPLATE'
  | 'ERR_STATS'
  | 'ERR_MANIFEST'
  | 'ERR_NOT_REPRODUCED'
  | 'ERR_OUTPUT_EXISTS'
  | 'ERR_OUTPUT_IS_INPUT'
  | 'ERR_OUTPUT_WRITE'
  | 'ERR_DISK_FULL'
  | 'ERR_PART_MISSING'
  | 'ERR_PART_MISMATCH'
  | 'ERR_SLURM'
  | 'ERR_MODEL_UNSUPPORTED'
  | 'ERR_TRAINER_MISSING'
  | 'ERR_TRAINING_FAILED'
  | 'ERR_MPI_MISSING'
  | 'ERR_MPI'
  | 'ERR_PREPARED_DATA'
  | 'ERR_RESUME'
  | 'ERR_TRAINING_DIVERGED'
  | 'ERR_BENCHMARK'
  | 'ERR_EVALUATION'
  | 'ERR_TEACHING'
  | 'ERR_PIPELINE'
  | 'ERR_ENGINE'
  | 'ERR_ENGINE_MISSING'
  | 'ERR_BUDGET'
  | 'ERR_SANDBOX'
  | 'ERR_OUT_OF_MEMORY'
  | 'ERR_THREADS'
  | 'ERR_DEVICE_UNAVAILABLE'
  | 'ERR_DEVICE_MEMORY'
  | 'ERR_DEVICE_FAILED'
  | 'ERR_UNAVAILABLE'
  | 'ERR_NATIVE_MISSING'
  | 'ERR_INTERNAL'

/** Every failure of this package. `code` is stable; the message is for people. */
export class BranchMergeError extends Error {
  override readonly name = 'BranchMergeError'
  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/** An error from the addon as a BranchMergeError whose stack starts at the caller. */
export function fromNative(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const { code } = error as NodeJS.ErrnoException
  return code?.startsWith('ERR_') ? new BranchMergeError(code as ErrorCode, error.message, { cause: error }) : error
}
