import type { FloatDtype } from '../../checkpoint/dtypes.js'
import type { Checkpoint } from '../../checkpoint/openCheckpoint.js'
import type { ModelConfig } from '../../checkpoint/readConfig.js'
import type { SideFileDifference } from '../../checkpoint/sideFiles.js'
import type { HubOrigin } from '../../hub/hubName.js'
import type { NativeStep } from '../../native/native.js'
import type { MergeRequest } from './mergeRequest.js'
import type { OutputFile } from './planOutput.js'
import type { TiedHead } from './tiedWeights.js'

/** A model of a merge with everything about it that its headers and its configuration tell. */
export interface OpenedModel {
  /** In the recipe. */
  name: string
  /** In messages. */
  label: string
  checkpoint: Checkpoint
  config: ModelConfig | undefined
  /** What it was fetched from, where it is of the Hub. */
  origin: HubOrigin | undefined
  /** Float tensors are converted to this as they are read. */
  readAs: FloatDtype | undefined
}

/** The same, its tensors under the names of the output. */
export interface PlannedModel extends OpenedModel {
  tiedHead: TiedHead | undefined
}

/** How another model's side file differs from the one that comes along. */
export interface ModelDifference extends SideFileDifference {
  /** The other model's label. */
  model: string
}

/** Everything about a merge that is known before a tensor is read. */
export interface MergePlan extends Pick<MergeRequest, 'recipe' | 'record' | 'run'> {
  models: PlannedModel[]
  files: OutputFile[]
  programs: NativeStep[][]
  /** Position of each tensor's program. */
  programOf: Map<string, number>
  /** The model that configuration and tokenizer come from. */
  source: PlannedModel
  sideFiles: string[]
  sideFileBytes: number
  differences: ModelDifference[]
  /** Text of config.json where it differs from the source's. */
  config: string | undefined
  parameters: number
  bytesToRead: number
  /** Of tensors, without headers and side files. */
  bytesToWrite: number
  /** What the engine may take: all models' tensors of the largest name within the limit, and the fixed part. */
  memoryBytes: number
  /** Bytes for tensors in memory; what needs more is read again in every pass. */
  memoryLimit: number
  /** SHA-256 of each file of a model, by the model's name, where they were asked for. */
  sha256: Map<string, string[]>
  /** Names of buffers that some models store, left out. */
  buffers: string[]
  /** What users should know, in words. */
  notes: string[]
}

/** Room the whole output takes, headers and side files included, rounded up generously. */
export function outputBytes(plan: MergePlan): number {
  // Header entry, index entry, and in the manifest hashes and figures of each merge.
  const perTensor = 512 + 24 * plan.models.length + 384 * plan.recipe.merges.length
  const perFile = 16 * 2 ** 10
  const tensors = plan.files.reduce((total, file) => total + file.tensors.length, 0)
  const files = plan.files.length + plan.sideFiles.length
  return plan.bytesToWrite + plan.sideFileBytes + tensors * perTensor + files * perFile
}
