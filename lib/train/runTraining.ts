import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { cardName } from '../card/cardMark.js'
import { cardPlace } from '../card/modelCard.js'
import { openCheckpoint } from '../checkpoint/openCheckpoint.js'
import { readConfig } from '../checkpoint/readConfig.js'
import { fetchData } from '../data/fetchData.js'
import type { DataProgress } from '../data/options.js'
import { BranchMergeError } from '../errors.js'
import { refuseInputs } from '../files/outputDirectory.js'
import { writeWhole } from '../files/writeWhole.js'
import { formatBytes } from '../text/formatUnits.js'
import { version } from '../version.js'
import { dataProvenance } from './dataProvenance.js'
import { findTrainer } from './findTrainer.js'
import { clearHeartbeats, refuseRunning } from './heartbeats.js'
import { type Launch, launchCommand } from './launchCommand.js'
import { lossCurveSvg } from './lossCurve.js'
import { planTraining } from './planTraining.js'
import { type ResolvedRun, withLocalData } from './resolveRun.js'
import { prepareRunData, type RunData } from './runData.js'
import { SupervisedTrainer } from './superviseTrainer.js'
import type { PlanEvent, TrainingEvent } from './trainerEvents.js'
import { type HostResources, hostResources, type TrainerRun, trainerRun } from './trainerRun.js'
import { trainingCard } from './trainingCard.js'
import { readMetrics } from './trainingMetrics.js'
import { compareOrigin, type OriginChange, type OriginInputs, writeOrigin } from './trainingOrigin.js'
import {
  examineTraining,
  failureFileName,
  hasSnapshot,
  makeTrainingDirectory,
  type OutputState,
  provenanceFileName,
  trainingDirectoryName,
  writeExpertFiles,
} from './trainingOutput.js'
import { type SftSummary, summariseTraining } from './trainingSummary.js'

/** How far a run is: data is prepared, then the trainer tells of its steps. */
export type SftProgress =
  | { phase: 'data'; data: DataProgress }
  | { phase: 'training'; event: TrainingEvent }
  /** A job of Slurm was submitted, or its state is another: PENDING, RUNNING, ... */
  | { phase: 'job'; job: string; state: string }
  /** A line that the trainer, mpirun or srun wrote. */
  | { phase: 'log'; line: string }

/** What running needs beside the run. */
export interface SftRunning {
  resume: boolean
  /** Here; with srun, inside an allocation of Slurm; or in a job that is still to be submitted. */
  place: 'here' | 'allocation' | 'job'
  signal: AbortSignal | undefined
  onProgress: (progress: SftProgress) => void
}

/** A run of which everything is known before its first step. */
export interface SftPlan {
  run: ResolvedRun
  state: OutputState
  data: RunData
  trainerRun: TrainerRun
  /** Options of a run that goes on which are not as they were. */
  changed: OriginChange[]
  /** As the trainer says it. */
  plan: PlanEvent
  launch: Launch
  running: SftRunning
}

/**
 * Prepares the data of a run in the cache and asks the trainer for its plan. Writes nothing else.
 *
 * @param host - of where it will run
 */
export async function planSft(
  given: ResolvedRun,
  running: SftRunning,
  host: HostResources = hostResources(given, running.place === 'allocation'),
): Promise<SftPlan> {
  const { resume, signal, onProgress, place } = running
  signal?.throwIfAborted()
  const state = await examineTraining(given.output, resume)
  const onData = (data: DataProgress) => onProgress({ phase: 'data', data })
  const run = withLocalData(given, await fetchData(given.model, given.data, 'model', { signal, onProgress: onData }))
  await refuseInputs(run.output, [await openCheckpoint(run.model, { signal })])
  const trainer = await findTrainer()
  const launch = await launchCommand(trainer, runFileOf(run), run.launcher, place !== 'here')
  const data = await prepareRunData(run, {
    signal,
    onProgress: onData,
  })
  const goesOn = state !== 'new' && (await hasSnapshot(join(run.output, trainingDirectoryName)))
  const file = trainerRun(run, data, host, { exportDtype: await exportDtype(run), resume: goesOn })
  const isCompared = state === 'finished' || (state === 'begun' && goesOn)
  const changed = isCompared ? await compareOrigin(originInputs(run, data, file, signal), state) : []
  const plan = await planFrom(trainer, file, run.launcher.processes, signal)
  return { run, state, data, trainerRun: file, changed, plan, launch, running }
}

function originInputs(
  { output, model, launcher }: ResolvedRun,
  { prepared }: RunData,
  file: TrainerRun,
  signal: AbortSignal | undefined,
): OriginInputs {
  return { output, model, dataKey: prepared.key, processes: launcher.processes, file, signal }
}

const runFileOf = ({ output }: ResolvedRun): string => join(output, trainingDirectoryName, 'run.json')

/** The dtype of the run, or the model's own. */
async function exportDtype({ exportDtype: asked, model }: ResolvedRun): Promise<'BF16' | 'F16' | 'F32'> {
  if (asked) return asked
  const [, name] = /"(?:torch_)?dtype"\s*:\s*"(\w+)"/.exec((await readConfig(model))?.text ?? '') ?? []
  return name === 'float16' ? 'F16' : name === 'float32' ? 'F32' : 'BF16'
}

/** The plan of a run file that is only there for it: nothing is written into the output before the plan is known. */
async function planFrom(
  trainer: string,
  file: TrainerRun,
  processes: number,
  signal: AbortSignal | undefined,
): Promise<PlanEvent> {
  const directory = await mkdtemp(join(tmpdir(), 'branchmerge-plan-'))
  try {
    const path = join(directory, 'run.json')
    await writeWhole(path, `${JSON.stringify(file)}\n`)
    return await planTraining(trainer, path, processes, signal)
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** Signals beside the one that interrupts. */
export interface SftSignals {
  /** Save, end, and be started again. */
  requeue?: AbortSignal
  /** End at once. */
  kill?: AbortSignal
}

/** Trains as planned. Resolves when the expert is complete, or when the trainer has saved and asks to be started again. */
export async function executeSft(plan: SftPlan, signals: SftSignals = {}): Promise<SftSummary> {
  const { run, state, running } = plan
  const directory = join(run.output, trainingDirectoryName)
  if (state === 'finished') return await summarise(plan, 'done')
  if (!fits(plan.plan)) {
    const error = doesNotFit(plan.plan)
    await recordFailure(run.output, error)
    throw error
  }
  await begin(plan)
  try {
    const outcome = await train(plan, directory, signals)
    if (outcome === 'interrupted') {
      running.signal?.throwIfAborted()
      throw new BranchMergeError('ERR_CANCELLED', 'The trainer was interrupted; it has saved. Continue with --resume.')
    }
    if (outcome === 'done') await openCheckpoint(run.output)
    return await summarise(plan, outcome)
  } catch (error) {
    await recordFailure(run.output, error)
    throw error
  }
}

/** Whether a process has room for what the trainer plans. */
export const fits = ({ memory, memoryBytes }: PlanEvent): boolean =>
  memory === undefined || memoryBytes === undefined || memory.total <= memoryBytes

function doesNotFit({ memory, memoryBytes }: PlanEvent): BranchMergeError {
  const parts = Object.entries(memory ?? {}).filter(([name, bytes]) => name !== 'total' && bytes > 0)
  return new BranchMergeError(
    'ERR_OUT_OF_MEMORY',
    `Expected a run that fits the ${formatBytes(memoryBytes ?? 0)} of a process (launcher.memory) but it needs ${formatBytes(memory?.total ?? 0)}: ` +
      `${parts.map(([name, bytes]) => `${name} ${formatBytes(bytes)}`).join(', ')}. Use more processes with a higher ` +
      'training.zeroStage, training.recompute full, a smaller training.perDeviceTrainBatchSize or data.cutoffLength, or allow more.',
  )
}

/** Writes down why a run failed, where it has begun. */
export async function recordFailure(output: string, error: unknown): Promise<void> {
  if (!(error instanceof BranchMergeError)) return
  const { code, message } = error
  const path = join(output, trainingDirectoryName, failureFileName)
  await writeWhole(path, `${JSON.stringify({ code, message })}\n`).catch(() => {}) // the error at hand says more
}

/** Writes what must be there before the first process starts. */
async function begin({ run, data, trainerRun: file, running }: SftPlan): Promise<void> {
  const directory = await makeTrainingDirectory(run.output)
  await refuseRunning(directory)
  await clearHeartbeats(directory)
  await rm(join(directory, failureFileName), { force: true })
  await writeOrigin(originInputs(run, data, file, running.signal))
  await writeProvenance(directory, run, data, running)
  const { model, data: asked } = run
  const { chatTemplate } = data
  await writeExpertFiles(run.output, { model, tokenizer: asked.tokenizer, chatTemplate, dtype: file.export.dtype })
  await writeWhole(runFileOf(run), `${JSON.stringify(file, null, 2)}\n`)
}

/** Where the data comes from, for whoever gets the expert. */
async function writeProvenance(directory: string, run: ResolvedRun, { prepared }: RunData, running: SftRunning) {
  const { signal, onProgress } = running
  const onNote = (text: string) => onProgress({ phase: 'log', line: `Note: ${text}` })
  const provenance = await dataProvenance(
    run.data,
    { model: run.model, data: prepared.key, version },
    { signal, onNote },
  )
  await writeWhole(join(directory, provenanceFileName), `${JSON.stringify(provenance, null, 2)}\n`)
}

async function train({ run, launch, running }: SftPlan, directory: string, { requeue, kill }: SftSignals) {
  const { signal, onProgress } = running
  signal?.throwIfAborted()
  if (requeue?.aborted) return 'requeue'
  const trainer = new SupervisedTrainer({
    launch,
    directory,
    heartbeatTimeout: run.launcher.heartbeatTimeout,
    onEvent: (event) => onProgress({ phase: 'training', event }),
    onLog: (line) => onProgress({ phase: 'log', line }),
  })
  const actions: [AbortSignal | undefined, () => void][] = [
    [signal, () => trainer.stop('interrupt')],
    [requeue, () => trainer.stop('requeue')],
    [kill, () => trainer.kill()],
  ]
  for (const [on, action] of actions) on?.addEventListener('abort', action, { once: true })
  try {
    return await trainer.outcome
  } finally {
    for (const [on, action] of actions) on?.removeEventListener('abort', action)
  }
}

async function summarise(plan: SftPlan, reason: 'done' | 'requeue'): Promise<SftSummary> {
  const summary = await finishTraining(plan.run.output, reason)
  if (reason === 'done' && plan.run.card) await writeCard(plan, summary)
  return summary
}

async function writeCard({ run, data, running }: SftPlan, summary: SftSummary): Promise<void> {
  const name = await cardPlace(run.output)
  if (name !== cardName) {
    const line = `Note: ${cardName} in ${run.output} was written by people and stays; the card is ${name}`
    running.onProgress({ phase: 'log', line })
  }
  await writeWhole(join(run.output, name), await trainingCard(run, data, summary))
}

/** Draws the loss curve and adds up what was done. */
export async function finishTraining(output: string, reason: 'done' | 'requeue'): Promise<SftSummary> {
  const directory = join(output, trainingDirectoryName)
  const metrics = await readMetrics(directory)
  const lossCurve = join(directory, 'loss.svg')
  await writeWhole(lossCurve, lossCurveSvg(metrics, `Loss of ${basename(output)}`))
  return summariseTraining(metrics, { output, reason, lossCurve })
}
