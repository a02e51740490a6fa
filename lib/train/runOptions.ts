import type { DataOptions } from '../data/options.js'
import type { PresetName } from './presets.js'
import type { TrainingOptions } from './trainingOptions.js'

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
