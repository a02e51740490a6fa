import { BranchMergeError } from '../errors.js'
import { readRecipe } from '../recipe/readRecipe.js'
import { RecipeDocument, recipeObject } from '../recipe/recipe.js'
import { checkBoolean, checkFunction, checkObject, checkOptionNames, checkSignal } from '../validate.js'
import { resolveRun } from './resolveRun.js'
import type { RunOptions } from './runOptions.js'
import { executeSft, planSft, type SftProgress } from './runTraining.js'
import { followJob, planJob, submitTraining } from './slurmTraining.js'
import type { SftSummary } from './trainingSummary.js'

/** How a run is carried out; what is trained on what is the run's. */
export interface SftOptions {
  /** Go on with a run that was cut off; where there is none, begin. Default: false. */
  resume?: boolean | undefined
  /** Submit a job to Slurm, as `launcher.slurm` says, and follow it to its end. Default: false. */
  slurm?: boolean | undefined
  /** After an abort the trainer saves, and the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined
  onProgress?: ((progress: SftProgress) => void) | undefined
}

/**
 * Fine-tunes a checkpoint: prepares the data, plans, trains in processes of their own, and leaves the expert in the output
 * directory, a checkpoint that `merge` takes.
 *
 * @param run - the path of a run.yaml, a document that `readRecipe` read, or an object; relative paths in an object start
 *   from the working directory
 * @throws BranchMergeError: ERR_RECIPE with everything that is wrong with the run; ERR_DATA and others of its data;
 *   ERR_TRAINER_MISSING, ERR_MPI_MISSING, ERR_OUT_OF_MEMORY, ERR_OUTPUT_EXISTS before anything is written;
 *   ERR_TRAINING_FAILED naming the process that failed first; ERR_SLURM. After an abort, the signal's reason.
 */
export async function sft(run: string | RecipeDocument | RunOptions, options: SftOptions = {}): Promise<SftSummary> {
  const { resolved, running, slurm } = await resolveSft(run, options, ['resume', 'slurm', 'signal'])
  if (!slurm) return await executeSft(await planSft(resolved, { ...running, place: 'here' }))
  const planned = await planJob(resolved, running)
  return await followJob(planned, await submitTraining(planned))
}

/** Checks the options, of which `known` may be given beside onProgress, then the run. */
export async function resolveSft(
  run: string | RecipeDocument | RunOptions,
  options: SftOptions,
  known: readonly (keyof SftOptions)[],
) {
  checkObject(options, 'options')
  const { onProgress = () => {}, ...rest } = options
  checkOptionNames(rest, known)
  checkFunction(onProgress, 'onProgress')
  const flag = (name: 'resume' | 'slurm') => (options[name] === undefined ? false : checkBoolean(options[name], name))
  const running = { resume: flag('resume'), signal: checkSignal(options.signal), onProgress }
  return { resolved: resolveRun(await runDocument(run)), running, slurm: flag('slurm') }
}

/** A run from a file, or as it is. */
export async function runDocument(run: unknown): Promise<RecipeDocument> {
  const document = typeof run === 'string' ? await readRecipe(run) : run
  if (!(document instanceof RecipeDocument)) return recipeObject(document)
  if (document.mergekitNotes) {
    const name = typeof run === 'string' ? run : 'it'
    throw new BranchMergeError(
      'ERR_RECIPE',
      `Expected a run but ${name} is a configuration of mergekit: merge takes it`,
    )
  }
  return document
}
