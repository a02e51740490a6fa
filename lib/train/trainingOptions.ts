// Written from trainingKeys.ts by `npx vitest run test/options.test.ts -u`: see CONTRIBUTING.md.

/** Hyperparameters by the names of Transformers, in camelCase. */
export interface TrainingOptions {
  /** Passes over all packs. An integer from 1 to 1000000. Default: 3. */
  numTrainEpochs?: number | undefined
  /** Stop after this number of steps, whatever numTrainEpochs says. An integer from 1, or null. Default: null. */
  maxSteps?: number | null | undefined
  /** Seed of the order of the packs. An integer from 0 to 2^53 - 1. Default: 42. */
  seed?: number | undefined
  /** Packs (with packing none: examples) in a micro-batch of one process. An integer from 1 to 1048576. Default: 1. */
  perDeviceTrainBatchSize?: number | undefined
  /** Micro-batches of a process before each update. An integer from 1 to 1048576. Default: 1. */
  gradientAccumulationSteps?: number | undefined
  /**
   * global_token_mean: the mean over all trained tokens of the step, as in Transformers since 4.46. micro_mean: the
   * mean of each micro-batch, then the mean of those, as in earlier versions. Default: global_token_mean.
   */
  lossNormalization?: 'global_token_mean' | 'micro_mean' | undefined
  /** Peak learning rate. A number from 0 to 10. Default: 1e-5. */
  learningRate?: number | undefined
  /** Course of the learning rate, as Transformers defines it. constant has no warmup. Default: cosine. */
  lrSchedulerType?: 'constant' | 'constant_with_warmup' | 'cosine' | 'linear' | undefined
  /** Warmup, in which the learning rate rises from 0, as a fraction of all steps. A number from 0 to 1. Default: 0. */
  warmupRatio?: number | undefined
  /** Warmup in steps. It wins over warmupRatio. An integer from 0, or null. Default: null. */
  warmupSteps?: number | null | undefined
  /** Adam's decay of the mean of gradients. A number from 0 to below 1. Default: 0.9. */
  adamBeta1?: number | undefined
  /** Adam's decay of the mean of squared gradients. A number from 0 to below 1. Default: 0.999. */
  adamBeta2?: number | undefined
  /** Added to the denominator of an update. A number above 0 and up to 1. Default: 1e-8. */
  adamEpsilon?: number | undefined
  /** Decoupled weight decay, as in AdamW. A number from 0 to 1000. Default: 0. */
  weightDecay?: number | undefined
  /** matrices: no decay of norms and biases. all: every weight decays. Default: matrices. */
  weightDecayOn?: 'matrices' | 'all' | undefined
  /** Gradient clipping: the largest norm over all weights. null: no clipping. A number above 0, or null. Default: 1. */
  maxGradNorm?: number | null | undefined
  /**
   * Activations that the backward pass recomputes to save memory. full is gradient checkpointing. Default: selective.
   */
  recompute?: 'none' | 'selective' | 'full' | undefined
  /** Number of tokens whose logits are in memory at once. An integer from 1 to 1048576. Default: 512. */
  lossChunkTokens?: number | undefined
  /**
   * What is divided between the processes: 1 the optimizer state, 2 also the gradients, 3 also the weights
   * (docs/sft-parallel.md). Default: 1, for one process 0.
   */
  zeroStage?: 0 | 1 | 2 | 3 | undefined
  /** Steps between snapshots. null: only when stopped. An integer from 1, or null. Default: 200. */
  saveSteps?: number | null | undefined
  /** Number of snapshots that are kept. An integer from 1 to 1000. Default: 2. */
  saveTotalLimit?: number | undefined
  /** Steps between validations. They need data.validation. An integer from 1, or null. Default: 100. */
  evalSteps?: number | null | undefined
  /**
   * A step with a loss or gradient that is not finite is skipped. After this many in a row the run fails and names the
   * samples. An integer from 1 to 1000000. Default: 5.
   */
  maxSkippedSteps?: number | undefined
}
