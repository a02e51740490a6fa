import type { DataOptions } from '../data/options.js'
import type { TrainingOptions } from './trainingOptions.js'

/** Hyperparameters as somebody published them. */
export interface Preset {
  data: Partial<DataOptions>
  training: TrainingOptions
  /** Packs of a step, over all processes. */
  batch: number
}

/**
 * What the three commands of TinyR1's authors have in common (train/run.sh of Qihoo360/TinyR1-32B-Preview), DeepSpeed's
 * stage 3 and the loss of Transformers before 4.46 among it.
 */
const script = {
  learningRate: 1e-5,
  warmupRatio: 0.1,
  adamBeta1: 0.9,
  adamBeta2: 0.95,
  adamEpsilon: 1e-8,
  weightDecay: 0.01,
  maxGradNorm: 1,
  seed: 42,
  perDeviceTrainBatchSize: 1,
  lossNormalization: 'micro_mean',
  recompute: 'full',
  zeroStage: 3,
  saveSteps: 200,
} as const satisfies TrainingOptions

const data = (packing: 'pack' | 'neat'): Partial<DataOptions> => ({ cutoffLength: 16_384, packing })

const math: Preset = {
  data: data('pack'),
  training: { ...script, numTrainEpochs: 5, gradientAccumulationSteps: 3, lrSchedulerType: 'constant_with_warmup' },
  batch: 96,
}

const coding: Preset = {
  data: data('neat'),
  training: { ...script, numTrainEpochs: 15, gradientAccumulationSteps: 3, lrSchedulerType: 'constant_with_warmup' },
  batch: 96,
}

/** The paper says that the learning rate is constant; the released script warms up first. */
const asInPaper = ({ training, ...preset }: Preset): Preset => ({
  ...preset,
  training: { ...training, lrSchedulerType: 'constant', warmupRatio: 0 },
})

/** docs/sft.md has them as a table with their sources. */
export const trainingPresets = {
  'tinyr1-math': math,
  'tinyr1-math-paper': asInPaper(math),
  'tinyr1-science': {
    data: data('neat'),
    training: { ...script, numTrainEpochs: 5, gradientAccumulationSteps: 1, lrSchedulerType: 'cosine' },
    batch: 32,
  },
  'tinyr1-coding': coding,
  'tinyr1-coding-paper': asInPaper(coding),
} as const satisfies Record<string, Preset>

export type TrainingPresetName = keyof typeof trainingPresets
