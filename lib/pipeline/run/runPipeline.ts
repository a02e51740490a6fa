import { readRecipe } from '../../recipe/readRecipe.js'
import { RecipeDocument, recipeObject } from '../../recipe/recipe.js'
import {
  checkBoolean,
  checkFunction,
  checkObject,
  checkOptionNames,
  checkSignal,
  invalidArgument,
} from '../../validate.js'
import type { PipelineOptions } from '../pipelineOptions.js'
import type { StepChoice } from './chooseSteps.js'
import { executePipeline } from './executePipeline.js'
import type { PipelinePlan, PipelineProgress, PipelineSummary } from './pipelineOutcome.js'
import { planResolved } from './planPipeline.js'
import { resolvePipeline } from './resolvePipeline.js'

/** Which steps of a pipeline are looked at. */
export interface PlanPipelineOptions {
  /** These steps alone. */
  only?: string | readonly string[] | undefined
  /** These steps, and what hangs on them. */
  from?: string | readonly string[] | undefined
  /** These steps, and what they hang on. */
  until?: string | readonly string[] | undefined
  signal?: AbortSignal | undefined
}

/** How a pipeline is carried out; what its steps do is the pipeline's. */
export interface RunPipelineOptions extends PlanPipelineOptions {
  /** Go on with a pipeline: keep what is done, and run again what has changed. Default: false. */
  resume?: boolean | undefined
  /** After an abort the work that was done is kept, and the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined
  onProgress?: ((progress: PipelineProgress) => void) | undefined
}

/**
 * Carries out a graph of steps, one after another, and keeps in the directory `out` what is done: only what has changed, and what
 * hangs on it, runs again. A step that fails stops what hangs on it, and nothing else.
 *
 * @param pipeline - the path of a pipeline.yaml, a document that `readRecipe` read, or an object; relative paths in an object start
 *   from the working directory
 * @throws BranchMergeError: ERR_RECIPE with everything that is wrong with the pipeline and its steps; ERR_OUTPUT_EXISTS;
 *   ERR_PIPELINE where it cannot be read what is done; ERR_OUTPUT_WRITE and ERR_DISK_FULL where it cannot be written. What fails in
 *   a step is in its outcome. After an abort, the signal's reason.
 */
export async function runPipeline(
  pipeline: string | RecipeDocument | PipelineOptions,
  options: RunPipelineOptions = {},
): Promise<PipelineSummary> {
  checkObject(options, 'options')
  const { onProgress = () => {}, ...rest } = options
  checkOptionNames(rest, ['resume', 'only', 'from', 'until', 'signal'])
  checkFunction(onProgress, 'onProgress')
  const resume = options.resume === undefined ? false : checkBoolean(options.resume, 'resume')
  const signal = checkSignal(options.signal) ?? new AbortController().signal
  const choice = choiceOf(options)
  const resolved = await resolvePipeline(await pipelineDocument(pipeline))
  return await executePipeline(resolved, { ...choice, resume, signal, onProgress })
}

/**
 * What `runPipeline` with `resume` and the same arguments would do: which steps are done, which run and why. Reads the files that
 * changed since their last run, and headers of models; writes nothing.
 *
 * @throws BranchMergeError as `runPipeline` does before it begins
 */
export async function planPipeline(
  pipeline: string | RecipeDocument | PipelineOptions,
  options: PlanPipelineOptions = {},
): Promise<PipelinePlan> {
  checkObject(options, 'options')
  const given: PlanPipelineOptions = options
  checkOptionNames(given, ['only', 'from', 'until', 'signal'])
  const signal = checkSignal(options.signal) ?? new AbortController().signal
  const choice = choiceOf(options)
  return await planResolved(await resolvePipeline(await pipelineDocument(pipeline)), choice, signal)
}

/** A pipeline from a file, or as it is. */
export async function pipelineDocument(pipeline: unknown): Promise<RecipeDocument> {
  const document = typeof pipeline === 'string' ? await readRecipe(pipeline) : pipeline
  if (document instanceof RecipeDocument) return document
  checkObject(document, 'pipeline')
  return recipeObject(document)
}

/** @throws ERR_INVALID_ARGUMENT */
export function choiceOf({ only, from, until }: PlanPipelineOptions): StepChoice {
  return { only: namesOf(only, 'only'), from: namesOf(from, 'from'), until: namesOf(until, 'until') }
}

function namesOf(given: unknown, option: string): string[] | undefined {
  if (given === undefined) return undefined
  const names = typeof given === 'string' ? [given] : given
  if (Array.isArray(names) && names.length > 0 && names.every((name) => typeof name === 'string')) return names
  throw invalidArgument('the name of a step, or a list of them,', option, given)
}
