import { paperSampling } from '../asking/paperSampling.js'
import type { ResolvedModel } from '../asking/resolveModel.js'
import { openCheckpoint } from '../checkpoint/openCheckpoint.js'
import { isServerSpec } from '../engines/open/engineSpec.js'
import { openEngine } from '../engines/open/openEngine.js'
import type { DownloadProgress } from '../hub/download.js'
import { readRecipe } from '../recipe/readRecipe.js'
import { RecipeDocument, recipeObject } from '../recipe/recipe.js'
import { openSandbox } from '../sandbox/openSandbox.js'
import { checkBoolean, checkFunction, checkObject, checkOptionNames, checkSignal } from '../validate.js'
import type { EvaluationResults } from './analysis/results.js'
import { openBenchmark } from './benchmarks/openBenchmark.js'
import { compareEvaluations } from './compare.js'
import type { EvaluationOptions } from './evaluationOptions.js'
import { fetchEvaluation } from './fetchEvaluation.js'
import { type ResolvedEvaluation, resolveEvaluation } from './resolveEvaluation.js'
import {
  type Answered,
  type Contestant,
  type EvaluationProgress,
  type Examination,
  runEvaluation,
} from './runEvaluation.js'
import { EvaluationStore } from './store/evaluationStore.js'

/** How an evaluation is carried out; what is asked of whom is the evaluation's. */
export interface EvaluateOptions {
  /** Go on with an evaluation that was cut off, or extend one: what has an answer is not asked again. Default: false. */
  resume?: boolean | undefined
  /** After an abort the answers that came are kept, and the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined
  onProgress?: ((progress: EvaluationProgress) => void) | undefined
  /** Called now and then while models and benchmarks of the Hub are fetched, before anything is asked. */
  onDownload?: ((progress: DownloadProgress) => void) | undefined
}

export interface EvaluationSummary extends Answered {
  out: string
  /** Tokens of all answers that are stored, where they are known. */
  tokens: { prompt: number; completion: number }
  /** By the prices of the models; null where one has none. */
  cost: number | null
  results: EvaluationResults
}

/**
 * Asks models the questions of benchmarks, several times each, grades the answers, and says how good the models are. Answers
 * and grades are in the directory `out`, for `regrade` and `compare`.
 *
 * @param evaluation - the path of an evaluation.yaml, a document that `readRecipe` read, or an object; relative paths in an
 *   object start from the working directory
 * @throws BranchMergeError: ERR_RECIPE with everything that is wrong with the evaluation; ERR_BENCHMARK; ERR_OUTPUT_EXISTS;
 *   ERR_ENGINE and ERR_ENGINE_MISSING where a model does not answer at all; ERR_SANDBOX; ERR_BUDGET. Single requests that fail
 *   are counted in `failed`. After an abort, the signal's reason.
 */
export async function evaluate(
  evaluation: string | RecipeDocument | EvaluationOptions,
  options: EvaluateOptions = {},
): Promise<EvaluationSummary> {
  checkObject(options, 'options')
  const { onProgress = () => {}, onDownload, ...rest } = options
  checkOptionNames(rest, ['resume', 'signal'])
  checkFunction(onProgress, 'onProgress')
  checkFunction(onDownload, 'onDownload')
  const signal = checkSignal(options.signal) ?? new AbortController().signal
  const resume = options.resume === undefined ? false : checkBoolean(options.resume, 'resume')
  const resolved = resolveEvaluation(await evaluationDocument(evaluation))
  const stop = new AbortController().signal
  const planned = await planEvaluation(resolved, { signal, onProgress, onDownload })
  return await executeEvaluation(planned, { resume, signal, stop, onProgress })
}

/** An evaluation from a file, or as it is. */
export async function evaluationDocument(evaluation: unknown): Promise<RecipeDocument> {
  const document = typeof evaluation === 'string' ? await readRecipe(evaluation) : evaluation
  if (document instanceof RecipeDocument) return document
  checkObject(document, 'evaluation')
  return recipeObject(document)
}

/** An evaluation whose benchmarks are open and whose models are not. */
export interface PlannedEvaluation {
  resolved: ResolvedEvaluation
  examinations: readonly Examination[]
}

export async function planEvaluation(
  given: ResolvedEvaluation,
  {
    signal,
    onProgress,
    onDownload,
  }: Pick<ExecuteOptions, 'signal' | 'onProgress'> & Pick<EvaluateOptions, 'onDownload'>,
): Promise<PlannedEvaluation> {
  const resolved = await fetchEvaluation(given, { signal, onProgress: onDownload })
  // Before anything is asked: one model that is not there would end the evaluation after hours of the others.
  for (const { spec } of resolved.models) if (!isServerSpec(spec)) await openCheckpoint(spec.path, { signal })
  const examinations: Examination[] = []
  for (const { spec, trials, limit, sampling } of resolved.benchmarks) {
    const benchmark = await openBenchmark(spec, { signal, onProgress })
    examinations.push({
      benchmark,
      sampling: { ...paperSampling, ...benchmark.sampling, ...sampling },
      spec: { ...spec },
      trials: trials ?? benchmark.trials,
      limit: limit !== undefined && limit < benchmark.questions.length ? limit : null,
    })
  }
  return { resolved, examinations }
}

export interface ExecuteOptions {
  resume: boolean
  signal: AbortSignal
  stop: AbortSignal
  onProgress: (progress: EvaluationProgress) => void
}

export async function executeEvaluation(
  { resolved, examinations }: PlannedEvaluation,
  { resume, signal, stop, onProgress }: ExecuteOptions,
): Promise<EvaluationSummary> {
  const { out, models, seed, limits, sandbox } = resolved
  const needsPrograms = examinations.some(({ benchmark }) => benchmark.needsPrograms)
  // Before anything is asked: a sandbox that cannot be had is known then.
  const programs = needsPrograms ? await openSandbox({ ...sandboxOptions(sandbox), signal }) : undefined
  try {
    const store = await EvaluationStore.open(out, resume, signal)
    let answered: Answered
    try {
      for (const { file, lines } of store.damage) {
        const count = lines === 1 ? '1 line' : `${lines} lines`
        const text = `${count} of ${file} cannot be read; what was there is done again`
        onProgress({ phase: 'note', text })
      }
      const contestants = models.map((model) => contestantOf(model, onProgress))
      const plan = { contestants, examinations, seed, limits }
      answered = await runEvaluation(plan, { store, programs, signal, stop, onProgress })
    } finally {
      await store.close()
    }
    const { results, evaluations } = await compareEvaluations([out], { signal })
    const record = evaluations[0]?.record
    const used = { tokens: record?.tokens ?? { prompt: 0, completion: 0 }, cost: record?.cost ?? null }
    return { out, ...answered, ...used, results }
  } finally {
    await programs?.close()
  }
}

const sandboxOptions = ({ level, workers, python }: ResolvedEvaluation['sandbox']) => ({
  minimumLevel: level,
  workers,
  python,
})

function contestantOf(
  { name, place, spec, price }: ResolvedModel,
  onProgress: (progress: EvaluationProgress) => void,
): Contestant {
  return {
    name,
    place,
    local: !isServerSpec(spec),
    price,
    open: (signal) =>
      openEngine(spec, {
        signal,
        onProgress: ({ stage, done, total }) => onProgress({ phase: 'open', model: name, stage, done, total }),
      }),
  }
}
