import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openCheckpoint } from '../checkpoint/openCheckpoint.js'
import { fetchData } from '../data/fetchData.js'
import type { DataProgress } from '../data/options.js'
import { BranchMergeError, type ErrorCode } from '../errors.js'
import { examineOutput, refuseInputs } from '../files/outputDirectory.js'
import { writeWhole } from '../files/writeWhole.js'
import type { RecipeDocument } from '../recipe/recipe.js'
import { checkFunction, checkInteger, checkOptionNames, checkPath, checkSignal } from '../validate.js'
import { version } from '../version.js'
import { findTrainer } from './findTrainer.js'
import { type ResolvedRun, resolveRun, withLocalData } from './resolveRun.js'
import { prepareRunData } from './runData.js'
import type { RunOptions } from './runOptions.js'
import { runDocument } from './sft.js'
import { type ErrorEvent, LineReader, parseEvent } from './trainerEvents.js'
import { hostResources, type TrainerRun, trainerRun } from './trainerRun.js'

/** How far the gradient is. */
export type GradientProgress =
  | { phase: 'data'; data: DataProgress }
  | { phase: 'gradient'; packsDone: number; packsTotal: number }

/** Where the gradient goes, and of how much data it is. */
export interface GradientOptions {
  /** Directory to write: new or empty. */
  out: string
  /** Packs of the run's data, in the order in which its first epoch has them; all where there are fewer. Default: 32. */
  packs?: number | undefined
  signal?: AbortSignal | undefined
  onProgress?: ((progress: GradientProgress) => void) | undefined
}

/** What `writeGradient` resolves to. */
export interface GradientSummary {
  /** As it was given. */
  out: string
  /** Whose gradient it is. */
  model: string
  /** Of the batch. */
  packs: number
  tokens: number
  trainedTokens: number
  /** Mean loss of a trained token, and the norm of the gradient of that. */
  loss: number
  norm: number
  /** Of computing and writing. */
  seconds: number
}

/** Beside the weights, and what an interrupted trainer leaves. */
const gradientFileName = 'gradient.json'
const unfinishedName = 'unfinished'

/**
 * Writes the gradient of a run's model, before it is trained, on a batch of the run's data: F32 tensors with the model's names, in a
 * directory that `analyse` compares. The loss is the mean over the trained tokens of the batch. One process computes it.
 *
 * @param run - as of `sft`; its output is not touched
 * @throws BranchMergeError: ERR_RECIPE, ERR_DATA and others of the run's data, ERR_TRAINER_MISSING, ERR_OUT_OF_MEMORY, ERR_OUTPUT_EXISTS,
 *   ERR_OUTPUT_IS_INPUT, ERR_NON_FINITE, ERR_TRAINING_FAILED. After an abort, the signal's reason, and nothing is left.
 */
export async function writeGradient(
  run: string | RecipeDocument | RunOptions,
  options: GradientOptions,
): Promise<GradientSummary> {
  checkOptionNames(options, ['out', 'packs', 'signal', 'onProgress'] satisfies (keyof GradientOptions)[])
  const checked = {
    out: checkPath(options.out, 'out'),
    packs: checkInteger(options.packs ?? 32, 'packs', 1, 1e9),
    signal: checkSignal(options.signal),
    onProgress: checkFunction(options.onProgress, 'onProgress'),
  }
  return await gradientOf(resolveRun(await runDocument(run)), checked)
}

/** The same for a run whose overrides are worked in. */
export async function gradientOf(
  given: ResolvedRun,
  { out, packs = 32, signal, onProgress = () => {} }: GradientOptions,
): Promise<GradientSummary> {
  signal?.throwIfAborted()
  await examineOutput(out, undefined, [unfinishedName])
  const onData = (data: DataProgress) => onProgress({ phase: 'data', data })
  const run = withLocalData(given, await fetchData(given.model, given.data, 'model', { signal, onProgress: onData }))
  await refuseInputs(out, [await openCheckpoint(run.model, { signal })])
  const trainer = await findTrainer()
  const data = await prepareRunData(run, { signal, onProgress: onData })
  const host = { ...hostResources(run, false), processes: 1 }
  const file = trainerRun(run, { data: data.data, validationData: undefined }, host, {
    exportDtype: 'F32',
    resume: false,
  })
  const started = performance.now()
  const found = await runTrainer(trainer, { ...file, output: out }, packs, signal, ({ packs: packsDone, of }) =>
    onProgress({ phase: 'gradient', packsDone, packsTotal: of }),
  )
  const { event: _, ...facts } = found
  const summary = { out, model: given.model, ...facts, seconds: (performance.now() - started) / 1000 }
  const { seconds: __, out: ___, ...record } = summary
  const text = {
    format: 'branchmerge gradient',
    version: 1,
    branchmerge: version,
    ...record,
    dataKey: data.prepared.key,
  }
  await writeWhole(join(out, gradientFileName), `${JSON.stringify(text, undefined, 2)}\n`)
  return summary
}

interface ProgressEvent {
  event: 'progress'
  packs: number
  of: number
}

interface GradientEvent {
  event: 'gradient'
  packs: number
  tokens: number
  trainedTokens: number
  loss: number
  norm: number
}

/** The event of a line; undefined for a line that is none. */
function gradientEvent(line: string): ProgressEvent | GradientEvent | undefined {
  try {
    const event = JSON.parse(line) as ProgressEvent | GradientEvent
    return event?.event === 'progress' || event?.event === 'gradient' ? event : undefined
  } catch {
    return undefined
  }
}

/** Runs the trainer to its end; an abort is SIGTERM, after which it writes nothing. */
async function runTrainer(
  trainer: string,
  file: TrainerRun,
  packs: number,
  signal: AbortSignal | undefined,
  onPacks: (event: ProgressEvent) => void,
): Promise<GradientEvent> {
  const directory = await mkdtemp(join(tmpdir(), 'branchmerge-gradient-'))
  try {
    const path = join(directory, 'run.json')
    await writeWhole(path, `${JSON.stringify(file)}\n`)
    const child = spawn(trainer, [path, `--gradient=${packs}`], { stdio: ['ignore', 'pipe', 'pipe'] })
    let found: GradientEvent | undefined
    let said: ErrorEvent | undefined
    let thrown: { error: unknown } | undefined
    let log = ''
    const stop = () => child.kill('SIGTERM')
    const events = new LineReader((line) => {
      const event = gradientEvent(line)
      if (event?.event === 'gradient') found = event
      else if (event === undefined) log = `${log}${line}\n`.slice(-4000)
      else if (!thrown) {
        try {
          onPacks(event)
        } catch (error) {
          thrown = { error }
          stop()
        }
      }
    })
    const errors = new LineReader((line) => {
      const event = parseEvent(line)
      if (event?.event === 'error') said = event as ErrorEvent
      else log = `${log}${line}\n`.slice(-4000)
    })
    child.stdout.setEncoding('utf8').on('data', (text: string) => events.push(text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => errors.push(text))
    signal?.addEventListener('abort', stop, { once: true })
    if (signal?.aborted) stop()
    const ended = await new Promise<string>((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (code, by) => resolve(by === null ? `exit code ${code}` : `signal ${by}`))
    }).finally(() => signal?.removeEventListener('abort', stop))
    errors.end()
    if (found) return found
    if (thrown) throw thrown.error
    signal?.throwIfAborted()
    if (said) throw new BranchMergeError(said.code as ErrorCode, said.message)
    throw new BranchMergeError('ERR_TRAINING_FAILED', `The trainer ended with ${ended} and no gradient.\n${log.trim()}`)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}
