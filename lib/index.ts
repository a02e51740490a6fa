export type { Dtype, FloatDtype } from './checkpoint/dtypes.js'
export {
  type Checkpoint,
  type CheckpointFile,
  type CheckpointTensor,
  openCheckpoint,
} from './checkpoint/openCheckpoint.js'
export { BranchMergeError, type ErrorCode } from './errors.js'
export { fuse } from './merge/fuse.js'
export type { FuseSummary } from './merge/fuseCheckpoints.js'
export type { FuseCheckpointsOptions, FuseOptions, Progress } from './merge/fuseOptions.js'
export type { FusedTensor, Tensor } from './merge/fuseTensors.js'
export { type FusionChoices, type PresetName, presets } from './merge/presets.js'
export type { FusionStats, TensorStats } from './merge/tensorStats.js'
export { version } from './version.js'
