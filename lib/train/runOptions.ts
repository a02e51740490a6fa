import type { DataOptions } from '../data/options.js'
import type { PresetName } from './presets.js'

/** One supervised fine-tuning: recipes/run.schema.json in types; docs/sft.md explains each. */
export interface RunOptions {
  /** Published hyperparameters; what the run says itself comes before. */
  preset?: PresetName
  /** Directory of the checkpoint to start from. Relative paths start from the run's file. */
  model: string
  /** Directory of the expert: a checkpoint, and `training/` beside it. */
  output: string
  data: DataOptions
  training?: TrainingOptions
  export?: ExportOptions
  launcher?: LauncherOptions
}

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

export interface ExportOptions {
  /** Default: what the model's config.json says. */
  dtype?: 'BF16' | 'F16' | 'F32' | 'bfloat16' | 'float16' | 'float32'
  /** Bytes, or a text as '5GB', which is the default. */
  maxShardSize?: number | string
}

/** Where a training runs, and what it may take there. */
export interface LauncherOptions {
  /** Default: 1. */
  processes?: number
  /** For mpirun, NAME or NAME:PROCESSES. Default: this host. */
  hosts?: string[]
  /** Of each process. Default: the host's cores shared among its processes. */
  threads?: number
  /** Of each process: bytes, or a text as '32GB'. Default: four fifths of the host's, shared. */
  memory?: number | string
  /** Seconds without a sign of life after which a process is given up. Default: 120. */
  heartbeatTimeout?: number
  slurm?: SlurmOptions
}

export interface SlurmOptions {
  partition?: string
  /** As sbatch takes it. At its end the job is requeued and goes on. */
  time?: string
  nodes?: number
  cpusPerTask?: number
  /** Of a node, as sbatch takes it. */
  memory?: string
  /** How long before the time limit the run is told to save. Default: 300. */
  signalSeconds?: number
  /** As srun --mpi takes it. Default: pmix. */
  mpi?: string
  sbatchArguments?: string[]
}
