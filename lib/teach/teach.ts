import { openCheckpoint } from '../checkpoint/openCheckpoint.js'
import { isServerSpec } from '../engines/open/engineSpec.js'
import { BranchMergeError } from '../errors.js'
import type { DownloadOptions, DownloadProgress } from '../hub/download.js'
import { readRecipe } from '../recipe/readRecipe.js'
import { RecipeDocument, recipeObject } from '../recipe/recipe.js'
import { openSandbox } from '../sandbox/openSandbox.js'
import { checkBoolean, checkFunction, checkObject, checkOptionNames, checkPath, checkSignal } from '../validate.js'
import { AnswerChecks } from './answerChecks.js'
import { fetchTeaching } from './fetchTeaching.js'
import { outputPaths } from './outputPaths.js'
import { type BatchRead, readBatch } from './readBatch.js'
import type { TeachingManifest } from './records.js'
import { type ResolvedTeaching, resolveTeaching } from './resolveTeaching.js'
import { type Taught, type TeachingProgress, TeachingRun } from './runTeaching.js'
import type { TeachingOptions } from './teachingOptions.js'
import { readTeachingQuestions, type TeachingQuestions } from './teachingQuestions.js'
import { TeachingStore } from './teachingStore.js'
import { type BatchWritten, writeBatch } from './writeBatch.js'

/** How a teaching is carried out; who is asked what is the teaching's. */
export interface TeachOptions {
  /** Go on with a teaching that was cut off, or extend one: what has an answer is not asked again. Default: false. */
  resume?: boolean | undefined
  /** Ask nobody, and write what is missing as files of requests for a batch API into this new or empty directory. */
  writeBatch?: string | undefined
  /** Ask nobody, and read the answers of a batch API from these files. */
  readBatch?: readonly string[] | undefined
  /** After an abort the answers that came are kept, and the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined
  onProgress?: ((progress: TeachingProgress) => void) | undefined
  /** Called now and then while what is named on the Hub is fetched, before anything is asked. */
  onDownload?: ((progress: DownloadProgress) => void) | undefined
}

export interface TeachingSummary extends Pick<TeachingManifest, 'counts' | 'tokens' | 'cost' | 'complete'> {
  /** The file of trajectories. */
  out: string
  /** Requests of this run that failed; they are asked again with `resume`. */
  failed: number
  /** Why the last of them did. */
  failure: string | undefined
  /** True when it was stopped before all were asked. */
  stopped: boolean
  /** With `readBatch`: what became of the lines. */
  batch: BatchRead | undefined
}

/**
 * Lets a teacher answer questions, keeps the answers that are right and whole, and writes them as training data.
 *
 * @param teaching - the path of a teaching.yaml, a document that `readRecipe` read, or an object; relative paths in an object
 *   start from the working directory
 * @returns with `writeBatch` what was written, otherwise what became of the answers
 * @throws BranchMergeError: ERR_RECIPE with everything that is wrong with the teaching; ERR_DATA where questions or batch files
 *   cannot be used; ERR_OUTPUT_EXISTS; ERR_TEACHING; ERR_ENGINE and ERR_ENGINE_MISSING where the teacher does not answer at all;
 *   ERR_SANDBOX; ERR_BUDGET. Single requests that fail are counted in `failed`. After an abort, the signal's reason.
 */
export async function teach(
  teaching: string | RecipeDocument | TeachingOptions,
  options: TeachOptions & { writeBatch: string },
): Promise<BatchWritten>
export async function teach(
  teaching: string | RecipeDocument | TeachingOptions,
  options?: TeachOptions & { writeBatch?: undefined },
): Promise<TeachingSummary>
export async function teach(
  teaching: string | RecipeDocument | TeachingOptions,
  options: TeachOptions = {},
): Promise<TeachingSummary | BatchWritten> {
  checkObject(options, 'options')
  const { onProgress = () => {}, onDownload, ...rest } = options
  checkOptionNames(rest, ['resume', 'writeBatch', 'readBatch', 'signal'])
  checkFunction(onProgress, 'onProgress')
  checkFunction(onDownload, 'onDownload')
  const signal = checkSignal(options.signal) ?? new AbortController().signal
  const resume = options.resume === undefined ? false : checkBoolean(options.resume, 'resume')
  const work = workOf(options)
  const resolved = resolveTeaching(await teachingDocument(teaching))
  const stop = new AbortController().signal
  const planned = await planTeaching(resolved, { signal, onProgress: onDownload })
  return await executeTeaching(planned, { resume, work, signal, stop, onProgress })
}

/** What is done: the teacher is asked, or batch files are written or read. */
export type TeachingWork =
  | { kind: 'ask' }
  | { kind: 'writeBatch'; directory: string }
  | { kind: 'readBatch'; files: readonly string[] }

/** @throws ERR_INVALID_ARGUMENT */
export function workOf({ writeBatch: directory, readBatch: files }: Pick<TeachOptions, 'writeBatch' | 'readBatch'>) {
  if (directory !== undefined && files !== undefined) {
    throw new BranchMergeError('ERR_INVALID_ARGUMENT', 'Expected writeBatch or readBatch, not both')
  }
  if (directory !== undefined) {
    return { kind: 'writeBatch', directory: checkPath(directory, 'writeBatch') } satisfies TeachingWork
  }
  if (files === undefined) return { kind: 'ask' } satisfies TeachingWork
  if (!Array.isArray(files) || files.length === 0) {
    throw new BranchMergeError('ERR_INVALID_ARGUMENT', 'Expected one file or more for readBatch')
  }
  return { kind: 'readBatch', files: files.map((file) => checkPath(file, 'readBatch')) } satisfies TeachingWork
}

/** A teaching from a file, or as it is. */
export async function teachingDocument(teaching: unknown): Promise<RecipeDocument> {
  const document = typeof teaching === 'string' ? await readRecipe(teaching) : teaching
  if (document instanceof RecipeDocument) return document
  checkObject(document, 'teaching')
  return recipeObject(document)
}

/** A teaching whose questions are read and whose teacher is not opened. */
export interface PlannedTeaching {
  resolved: ResolvedTeaching
  questions: TeachingQuestions
  checks: AnswerChecks
}

export async function planTeaching(
  given: ResolvedTeaching,
  options: DownloadOptions & { signal: AbortSignal },
): Promise<PlannedTeaching> {
  const { signal } = options
  const { resolved, questions } = await fetchTeaching(given, options)
  const { teacher, grader, limit } = resolved
  // Before anything is written: a teacher that is not there is told at once.
  if (teacher.spec && !isServerSpec(teacher.spec)) await openCheckpoint(teacher.spec.path, { signal })
  const checks = await AnswerChecks.open(resolved)
  return { resolved, checks, questions: await readTeachingQuestions(questions, { grader, limit }, signal) }
}

export interface ExecuteTeaching {
  resume: boolean
  work: TeachingWork
  signal: AbortSignal
  stop: AbortSignal
  onProgress: (progress: TeachingProgress) => void
}

export async function executeTeaching(
  { resolved, questions, checks }: PlannedTeaching,
  { resume, work, signal, stop, onProgress }: ExecuteTeaching,
): Promise<TeachingSummary | BatchWritten> {
  const { level, workers, python } = resolved.sandbox
  const runsPrograms = questions.needsPrograms && work.kind !== 'writeBatch'
  // Before anything is asked: a sandbox that cannot be had is known then.
  const programs = runsPrograms ? await openSandbox({ minimumLevel: level, workers, python, signal }) : undefined
  try {
    // Batch files go to and fro: what was read before is there.
    const store = await TeachingStore.open(outputPaths(resolved.out), resume || work.kind !== 'ask', signal)
    try {
      for (const { file, lines } of store.damage) {
        const count = lines === 1 ? '1 line' : `${lines} lines`
        onProgress({ phase: 'note', text: `${count} of ${file} cannot be read; what was there is done again` })
      }
      const run = new TeachingRun(resolved, questions, checks, { store, programs, signal, stop, onProgress })
      if (work.kind === 'writeBatch') return await writeBatch(run, work.directory)
      if (work.kind === 'ask') return summaryOf(resolved.out, await run.ask(), undefined)
      const { taught, batch } = await readBatch(run, work.files)
      return summaryOf(resolved.out, taught, batch)
    } finally {
      await store.close()
    }
  } finally {
    await programs?.close()
  }
}

function summaryOf(
  out: string,
  { manifest, failed, failure, stopped }: Taught,
  batch: BatchRead | undefined,
): TeachingSummary {
  const { counts, tokens, cost, complete } = manifest
  return { out, complete, counts, tokens, cost, failed, failure, stopped, batch }
}
