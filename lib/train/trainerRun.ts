import { memoryOfProcess, threadsOfProcess } from '../machineLimits.js'
import { processesPerHost } from './launchCommand.js'
import type { ResolvedRun } from './resolveRun.js'

/** The file that the trainer reads: docs/sft-trainer.md. */
export interface TrainerRun {
  format: 1
  model: string
  data: string
  validationData: string | null
  output: string
  epochs: number
  maxSteps: number | null
  seed: number
  microBatchPacks: number
  gradientAccumulation: number
  lossNormalization: 'micro_mean' | 'global_token_mean'
  learningRate: number
  schedule: 'constant' | 'constant_with_warmup' | 'cosine' | 'linear'
  warmupRatio: number
  warmupSteps: number | null
  adam: { beta1: number; beta2: number; epsilon: number; weightDecay: number; decay: 'matrices' | 'all' }
  maxGradientNorm: number | null
  recompute: 'none' | 'selective' | 'full'
  lossChunkTokens: number
  zeroStage: 0 | 1 | 2 | 3
  checkpoint: { everySteps: number | null; keep: number }
  validation: { everySteps: number | null }
  export: { dtype: 'BF16' | 'F16' | 'F32'; maxShardBytes: number }
  maxSkippedSteps: number
  threads: number
  memoryBytes: number
  resume: boolean
}

/** Directories of prepared data. */
export interface PreparedDirectories {
  data: string
  validationData: string | undefined
}

/** Cores and memory that the processes of one host share. */
export interface HostResources {
  processes: number
  cores: number
  memoryBytes: number
}

/** The rest is the operating system's, the launcher's and the page cache's. */
const memoryShare = 0.8

/** What this machine has, or what Slurm gave us of it. */
export function hostResources(run: ResolvedRun, inAllocation: boolean): HostResources {
  const machine = { cores: threadsOfProcess(), memoryBytes: memoryOfProcess() }
  if (!inAllocation) return { processes: processesPerHost(run.launcher), ...machine }
  const number = (name: string) => Number(process.env[name] ?? Number.NaN)
  const processes = Math.ceil(run.launcher.processes / (number('SLURM_NNODES') || 1))
  const cores = run.launcher.slurm.cpusPerTask ?? (number('SLURM_CPUS_PER_TASK') || undefined)
  const perNode = number('SLURM_MEM_PER_NODE') * 2 ** 20
  return {
    processes,
    cores: cores === undefined ? Math.max(machine.cores, processes) : cores * processes,
    memoryBytes: perNode > 0 ? perNode : machine.memoryBytes,
  }
}

/** Every field of the trainer's file, by what the run says and the host has. */
export function trainerRun(
  run: ResolvedRun,
  { data, validationData }: PreparedDirectories,
  host: HostResources,
  { exportDtype, resume }: { exportDtype: 'BF16' | 'F16' | 'F32'; resume: boolean },
): TrainerRun {
  const { model, output, training, launcher } = run
  return {
    format: 1,
    model,
    data,
    validationData: validationData ?? null,
    output,
    epochs: training.numTrainEpochs,
    maxSteps: training.maxSteps,
    seed: training.seed,
    microBatchPacks: training.perDeviceTrainBatchSize,
    gradientAccumulation: training.gradientAccumulationSteps,
    lossNormalization: training.lossNormalization,
    learningRate: training.learningRate,
    schedule: training.lrSchedulerType,
    warmupRatio: training.warmupRatio,
    warmupSteps: training.warmupSteps,
    adam: {
      beta1: training.adamBeta1,
      beta2: training.adamBeta2,
      epsilon: training.adamEpsilon,
      weightDecay: training.weightDecay,
      decay: training.weightDecayOn,
    },
    maxGradientNorm: training.maxGradNorm,
    recompute: training.recompute,
    lossChunkTokens: training.lossChunkTokens,
    zeroStage: training.zeroStage,
    checkpoint: { everySteps: training.saveSteps, keep: training.saveTotalLimit },
    validation: { everySteps: validationData === undefined ? null : training.evalSteps },
    export: { dtype: exportDtype, maxShardBytes: run.maxShardBytes },
    maxSkippedSteps: training.maxSkippedSteps,
    threads: launcher.threads ?? Math.max(1, Math.floor(host.cores / host.processes)),
    memoryBytes: launcher.memoryBytes ?? Math.floor((memoryShare * host.memoryBytes) / host.processes),
    resume,
  }
}
