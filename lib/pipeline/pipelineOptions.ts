import type { EvaluationOptions } from '../evaluate/evaluationOptions.js'
import type { FuseCheckpointsOptions } from '../fusion/fuseOptionTypes.js'
import type { DeviceOption } from '../native/deviceOption.js'
import type { Recipe } from '../recipe/recipe.js'
import type { Selection } from '../select/run/selection.js'
import type { TeachingOptions } from '../teach/teachingOptions.js'
import type { RunOptions } from '../train/runOptions.js'

/** A graph of steps, each of which a command can do alone: recipes/pipeline.schema.json in types; docs/pipeline.md explains it. */
export interface PipelineOptions {
  /** Directory of the pipeline: a directory for the output of each step, and what is known of them. */
  out: string
  /** By name. `${name}` at the beginning of a text in a step stands for the output of the step of that name. */
  steps: Readonly<Record<string, PipelineStep>>
}

/**
 * One of the kinds, and how it is carried out. What a step writes has its place from the pipeline, so that no step says where. A
 * text is the path of a file as the command takes it.
 */
export interface PipelineStep {
  select?: string | Selection | undefined
  teach?: string | Omit<TeachingOptions, 'out'> | undefined
  sft?: string | Omit<RunOptions, 'output'> | undefined
  merge?: string | Recipe | undefined
  fuse?: PipelineFusion | undefined
  evaluate?: string | Omit<EvaluationOptions, 'out'> | undefined
  compare?: PipelineComparison | undefined
  /** Of `select`: read only the first so many rows of each source. */
  limit?: number | undefined
  /** Of `select`, `merge` and `fuse`. */
  threads?: number | undefined
  /** Of `merge` and `fuse`: memory limit for tensors. */
  memory?: number | string | undefined
  /** Of `merge` and `fuse`: what computes. */
  device?: DeviceOption | undefined
}

type HowFused = 'out' | 'overwrite' | 'resume' | 'memory' | 'threads' | 'device' | 'signal'
type Callbacks = 'onProgress' | 'onTensor' | 'onDownload'

/** As `fuse` takes it. */
export interface PipelineFusion extends Omit<FuseCheckpointsOptions, HowFused | Callbacks> {
  left: string
  right: string
}

/** As `compare` takes it. */
export interface PipelineComparison {
  /** Directories of evaluations, whose models have different names. */
  evaluations: readonly string[]
  baseline?: string | undefined
  merged?: string | undefined
  experts?: readonly string[] | undefined
  samples?: number | undefined
  seed?: number | undefined
}
