// Written from runKeys.ts by `npx vitest run test/options.test.ts -u`: see CONTRIBUTING.md.
import type { DataOptions } from '../data/options.js'
import type { TrainingOptions } from './trainingOptions.js'

/** One supervised fine-tuning with its model, data, hyperparameters and launcher: docs/sft.md. */
export interface RunOptions {
  /** Published hyperparameters. Keys of the run override them. */
  preset?: 'tinyr1-math' | 'tinyr1-math-paper' | 'tinyr1-science' | 'tinyr1-coding' | 'tinyr1-coding-paper' | undefined
  /** Directory of the checkpoint to start from. Relative paths start from the file. */
  model: string
  /** Directory of the expert. Its subdirectory training/ has snapshots and logs. */
  output: string
  /** What the expert learns from: docs/data.md. */
  data: DataOptions
  /** Hyperparameters by the names of Transformers, in camelCase. */
  training?: TrainingOptions | undefined
  /** How the expert is stored. */
  export?: ExportOptions | undefined
  /** Where it runs. */
  launcher?: LauncherOptions | undefined
}

/** How the expert is stored. */
export interface ExportOptions {
  /** Dtype of the expert's weights. Default: what the model's config.json says. */
  dtype?: 'BF16' | 'F16' | 'F32' | 'bfloat16' | 'float16' | 'float32' | undefined
  /** Largest size of a file. A number of bytes or a size as '5GB', '500MB' or '2GiB'. Default: 5GB. */
  maxShardSize?: number | string | undefined
  /** Write a model card, README.md. Default: true. */
  card?: boolean | undefined
}

/** Where it runs. */
export interface LauncherOptions {
  /** Number of processes on all hosts together. An integer from 1 to 65536. Default: 1. */
  processes?: number | undefined
  /** Hosts for mpirun. Default: this one. */
  hosts?: readonly string[] | undefined
  /** Threads of each process. An integer from 1 to 1024. Default: the host's cores, divided by its processes. */
  threads?: number | undefined
  /**
   * Memory limit of each process. A run that would need more is refused, with the numbers. A number of bytes or a size
   * as '5GB', '500MB' or '2GiB'. Default: four fifths of the host's memory, divided by its processes.
   */
  memory?: number | string | undefined
  /**
   * A process that gives no sign of life for this many seconds counts as failed. A number from 1 to 1000000. Default:
   * 120.
   */
  heartbeatTimeout?: number | undefined
  /** What --slurm asks for. */
  slurm?: SlurmOptions | undefined
}

/** What --slurm asks for. */
export interface SlurmOptions {
  /** Partition. Default: the cluster's. */
  partition?: string | undefined
  /** Time limit, as sbatch takes it. At its end the job is requeued and continues. */
  time?: string | undefined
  /** Number of nodes. An integer from 1 to 65536. Default: Slurm decides. */
  nodes?: number | undefined
  /** Cores of each process. An integer from 1 to 1024. */
  cpusPerTask?: number | undefined
  /** Memory of a node, as sbatch takes it. */
  memory?: string | undefined
  /** Seconds before the time limit at which the run saves. An integer from 1 to 65535. Default: 300. */
  signalSeconds?: number | undefined
  /** The value for srun --mpi. Default: pmix. */
  mpi?: string | undefined
  /** Further arguments of sbatch. Default: none. */
  sbatchArguments?: readonly string[] | undefined
}
