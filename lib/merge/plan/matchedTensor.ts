import type { CheckpointTensor } from '../../checkpoint/openCheckpoint.js'

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

/** Rows of one model alone, behind the merged ones. */
export interface CopiedRows {
  /** Position of the model; what is read of it holds them, too. */
  model: number
  rows: number
}
