import type { Option } from '../options/option.js'
import type { TrainingOptions } from './trainingOptions.js'

const count = (most: number) => ({ type: 'integer', least: 1, most }) as const
const beta = { type: 'number', least: 0, most: 1, below: true } as const

/** The hyperparameters of a run. */
export const trainingKeys = {
  numTrainEpochs: { ...count(1_000_000), default: 3, meaning: 'passes over all packs' },
  maxSteps: {
    type: 'integer',
    least: 1,
    orNull: true,
    default: null,
    meaning: 'stop after this number of steps, whatever `numTrainEpochs` says',
  },
  seed: {
    type: 'integer',
    least: 0,
    most: Number.MAX_SAFE_INTEGER,
    default: 42,
    meaning: 'seed of the order of the packs',
  },
  perDeviceTrainBatchSize: {
    ...count(2 ** 20),
    default: 1,
    meaning: 'packs (with packing `none`: examples) in a micro-batch of one process',
  },
  gradientAccumulationSteps: {
    ...count(2 ** 20),
    default: 1,
    meaning: 'micro-batches of a process before each update',
    more: 'A step has perDeviceTrainBatchSize × gradientAccumulationSteps × processes packs',
  },
  lossNormalization: {
    type: 'choice',
    choices: ['global_token_mean', 'micro_mean'],
    default: 'global_token_mean',
    meaning:
      '`global_token_mean`: the mean over all trained tokens of the step, as in Transformers since 4.46. `micro_mean`: the mean of each micro-batch, then the mean of those, as in earlier versions',
  },
  learningRate: { type: 'number', least: 0, most: 10, default: 1e-5, meaning: 'peak learning rate' },
  lrSchedulerType: {
    type: 'choice',
    choices: ['constant', 'constant_with_warmup', 'cosine', 'linear'],
    default: 'cosine',
    meaning: 'course of the learning rate, as Transformers defines it. `constant` has no warmup',
  },
  warmupRatio: {
    type: 'number',
    least: 0,
    most: 1,
    default: 0,
    meaning: 'warmup, in which the learning rate rises from 0, as a fraction of all steps',
  },
  warmupSteps: {
    type: 'integer',
    least: 0,
    orNull: true,
    default: null,
    meaning: 'warmup in steps. It wins over `warmupRatio`',
  },
  adamBeta1: { ...beta, default: 0.9, meaning: "Adam's decay of the mean of gradients" },
  adamBeta2: { ...beta, default: 0.999, meaning: "Adam's decay of the mean of squared gradients" },
  adamEpsilon: {
    type: 'number',
    least: 0,
    above: true,
    most: 1,
    default: 1e-8,
    meaning: 'added to the denominator of an update',
  },
  weightDecay: { type: 'number', least: 0, most: 1000, default: 0, meaning: 'decoupled weight decay, as in AdamW' },
  weightDecayOn: {
    type: 'choice',
    choices: ['matrices', 'all'],
    default: 'matrices',
    meaning: '`matrices`: no decay of norms and biases. `all`: every weight decays',
  },
  maxGradNorm: {
    type: 'number',
    least: 0,
    above: true,
    orNull: true,
    default: 1,
    meaning: 'gradient clipping: the largest norm over all weights. null: no clipping',
  },
  recompute: {
    type: 'choice',
    choices: ['none', 'selective', 'full'],
    default: 'selective',
    meaning: 'activations that the backward pass recomputes to save memory. `full` is gradient checkpointing',
  },
  lossChunkTokens: { ...count(2 ** 20), default: 512, meaning: 'number of tokens whose logits are in memory at once' },
  zeroStage: {
    type: 'choice',
    choices: [0, 1, 2, 3],
    defaultText: '1, for one process 0',
    meaning:
      'what is divided between the processes: 1 the optimizer state, 2 also the gradients, 3 also the weights ([sft-parallel.md](sft-parallel.md))',
  },
  saveSteps: {
    type: 'integer',
    least: 1,
    orNull: true,
    default: 200,
    meaning: 'steps between snapshots. null: only when stopped',
  },
  saveTotalLimit: { ...count(1000), default: 2, meaning: 'number of snapshots that are kept' },
  evalSteps: {
    type: 'integer',
    least: 1,
    orNull: true,
    default: 100,
    meaning: 'steps between validations. They need `data.validation`',
    more: 'The validation loss is computed before the first step and at the end, too',
  },
  maxSkippedSteps: {
    ...count(1_000_000),
    default: 5,
    meaning:
      'a step with a loss or gradient that is not finite is skipped. After this many in a row the run fails and names the samples',
  },
} as const satisfies Record<keyof TrainingOptions, Option>
