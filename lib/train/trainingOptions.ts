/** Hyperparameters by the names of Transformers, in camelCase. */
export interface TrainingOptions {
  /** Default: 3. */
  numTrainEpochs?: number
  /** Default: null, the epochs decide. */
  maxSteps?: number | null
  /** Of the order of packs. Default: 42. */
  seed?: number
  /** Packs that a process takes at once. Default: 1. */
  perDeviceTrainBatchSize?: number
  /** Default: 1. */
  gradientAccumulationSteps?: number
  /** Mean over all tokens of the step (default), or of each micro-batch and then over those. */
  lossNormalization?: 'global_token_mean' | 'micro_mean'
  /** Default: 1e-5. */
  learningRate?: number
  /** Default: cosine. */
  lrSchedulerType?: 'constant' | 'constant_with_warmup' | 'cosine' | 'linear'
  /** Of all steps, 0 to 1. Default: 0. */
  warmupRatio?: number
  /** Comes before the ratio. */
  warmupSteps?: number | null
  /** Default: 0.9. */
  adamBeta1?: number
  /** Default: 0.999. */
  adamBeta2?: number
  /** Default: 1e-8. */
  adamEpsilon?: number
  /** Default: 0. */
  weightDecay?: number
  /** Default: matrices. */
  weightDecayOn?: 'matrices' | 'all'
  /** null: never clipped. Default: 1. */
  maxGradNorm?: number | null
  /** Default: selective. */
  recompute?: 'none' | 'selective' | 'full'
  /** Default: 512. */
  lossChunkTokens?: number
  /** Default: 1 for several processes, 0 for one. */
  zeroStage?: 0 | 1 | 2 | 3
  /** null: only when asked to stop. Default: 200. */
  saveSteps?: number | null
  /** Default: 2. */
  saveTotalLimit?: number
  /** Default: 100 where there is validation data. */
  evalSteps?: number | null
  /** Default: 5. */
  maxSkippedSteps?: number
}
