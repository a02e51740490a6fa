import { rename, rm } from 'node:fs/promises'
import { BranchMergeError } from '../../errors.js'
import { claimDirectory } from '../../files/claimDirectory.js'
import { makeSharedDirectory, sync, write } from '../../files/durableFiles.js'
import { firstOf, listIfPresent } from '../../files/outputDirectory.js'
import { partialSuffix, removeAbandoned } from '../../files/owners.js'
import { canonicalJson } from '../../text/canonicalJson.js'
import { kinds } from '../kinds/kinds.js'
import type { StepKind } from '../kinds/stepKind.js'
import type { StepKindName } from '../pipelineKeys.js'
import { chosenSteps, type StepChoice } from './chooseSteps.js'
import { type ExaminedStep, examineStep } from './examineStep.js'
import { hashInputs, listInputs } from './inputFiles.js'
import type { PipelineProgress, PipelineSummary, StepOutcome } from './pipelineOutcome.js'
import { changesOf, listOutputs } from './reasons.js'
import type { ResolvedPipeline, ResolvedStep } from './resolvePipeline.js'
import { readState, type StepKey, type StepRecord, type StepRecords, stateName, writeState } from './stateFile.js'

export interface ExecuteOptions extends StepChoice {
  resume: boolean
  signal: AbortSignal
  onProgress: (progress: PipelineProgress) => void
}

const claimName = 'pipeline'

/**
 * Carries out the steps of a pipeline that are not done, one after another.
 *
 * @throws ERR_OUTPUT_EXISTS, ERR_INVALID_ARGUMENT, what readState throws, ERR_OUTPUT_WRITE; the signal's reason after an abort. What
 *   fails in a step is in its outcome.
 */
export async function executePipeline(pipeline: ResolvedPipeline, options: ExecuteOptions): Promise<PipelineSummary> {
  const { out, steps } = pipeline
  const chosen = chosenSteps(steps, options)
  await refuseOthers(out, options.resume)
  await makeSharedDirectory(out)
  const release = await claimDirectory(out, claimName, 'ERR_OUTPUT_EXISTS')
  try {
    await removeAbandoned(out, `${stateName}.`)
    const records = await readState(out)
    // Another process may have been there in between.
    if (records && !options.resume) throw begun(out)
    const run = new PipelineRun(pipeline, records ?? {}, options)
    const outcomes = new Map<string, StepOutcome>()
    for (const [i, step] of steps.entries()) {
      options.signal.throwIfAborted()
      const outcome = await run.step(step, chosen.has(step.name), outcomes, i + 1)
      outcomes.set(step.name, outcome)
      options.onProgress({ phase: 'end', step: step.name, outcome })
    }
    const all = [...outcomes.values()]
    const complete = all.every(({ name, status }) => !chosen.has(name) || status === 'done' || status === 'kept')
    return { out, steps: all, complete }
  } finally {
    await release()
  }
}

/** A directory of something else, or without `resume` of a pipeline. */
async function refuseOthers(out: string, resume: boolean): Promise<void> {
  const names = (await listIfPresent(out))?.filter((name) => !name.endsWith(partialSuffix)) ?? []
  if (names.includes(stateName)) {
    if (!resume) throw begun(out)
  } else if (names.length > 0) {
    throw new BranchMergeError(
      'ERR_OUTPUT_EXISTS',
      `Expected a new or empty directory for out but ${out} holds ${firstOf(names)}. Choose another.`,
    )
  }
}

const begun = (out: string): BranchMergeError =>
  new BranchMergeError(
    'ERR_OUTPUT_EXISTS',
    `Expected a new or empty directory for out but ${out} holds the steps of a pipeline. Go on with it (--resume, resume: true): ` +
      'what is done is kept, and what has changed runs again and is replaced. Or choose another.',
  )

class PipelineRun {
  private records: StepRecords

  constructor(
    private readonly pipeline: ResolvedPipeline,
    records: StepRecords,
    private readonly options: ExecuteOptions,
  ) {
    this.records = records
  }

  async step(
    step: ResolvedStep,
    isChosen: boolean,
    outcomes: ReadonlyMap<string, StepOutcome>,
    number: number,
  ): Promise<StepOutcome> {
    const { name, kindName: kind, needs, output } = step
    const common = { name, kind, output, seconds: null, summary: null, error: null }
    const missing = needs.filter((each) => !['done', 'kept'].includes(outcomes.get(each)?.status as string))
    if (missing.length > 0) {
      const reasons = missing.map((each) => `step ${each} ${whyMissing(outcomes.get(each))}`)
      return { ...common, status: isChosen ? 'blocked' : 'left', reasons }
    }
    let found: ExaminedStep
    try {
      found = await this.examine(step)
    } catch (error) {
      const failure = this.failureOf(error)
      if (!isChosen) return { ...common, status: 'left', reasons: [failure.message] }
      return { ...common, status: 'failed', reasons: [], error: failure }
    }
    const { reasons } = found
    if (reasons.length === 0) {
      await this.recordInputs(name, found)
      return { ...common, status: 'kept', reasons }
    }
    if (!isChosen) return { ...common, status: 'left', reasons }
    const of = this.pipeline.steps.length
    this.options.onProgress({ phase: 'begin', step: name, kind, reasons, number, of })
    const started = performance.now()
    const seconds = () => (performance.now() - started) / 1000
    try {
      const summary = await this.work(step, found, seconds)
      return { ...common, status: 'done', reasons, seconds: seconds(), summary }
    } catch (error) {
      const failure = this.failureOf(error)
      await this.recordFailure(step, failure)
      return { ...common, status: 'failed', reasons, seconds: seconds(), error: failure }
    }
  }

  private examine(step: ResolvedStep): Promise<ExaminedStep> {
    const { out, directory } = this.pipeline
    const { signal, onProgress } = this.options
    const needs = Object.fromEntries(step.needs.map((name) => [name, this.records[name]?.run ?? 0]))
    const onBytes = (bytesDone: number, bytesTotal: number) =>
      onProgress({ phase: 'hash', step: step.name, bytesDone, bytesTotal })
    return examineStep(step, this.records[step.name], { out, directory, needs, signal, onBytes })
  }

  /** Files that were written a moment before they were read, or have only been touched, need not be read next time. */
  private async recordInputs(name: string, { key: { inputs } }: ExaminedStep): Promise<void> {
    const record = this.records[name] as StepRecord
    if (canonicalJson(inputs) !== canonicalJson(record.inputs)) await this.write(name, { ...record, inputs })
  }

  /** What is no failure of the step is thrown: an abort, a state that cannot be written, a fault of ours. */
  private failureOf(error: unknown): { code: string; message: string } {
    this.options.signal.throwIfAborted()
    if (!(error instanceof BranchMergeError) || error instanceof StateError) throw error
    return { code: error.code, message: error.message }
  }

  private async work(step: ResolvedStep, { key, isBegun }: ExaminedStep, seconds: () => number): Promise<unknown> {
    const { name, directory, kind, open, output } = step
    const before = this.records[name]
    const run = isBegun ? (before?.run as number) : (before?.run ?? 0) + 1
    const record = { ...key, run }
    if (before === undefined) await refuseContent(directory)
    else if (!isBegun && !isOfUse(before, key, kind)) {
      await this.write(name, { ...before, status: 'clearing' })
      await clear(directory, before)
      await sync(this.pipeline.out)
    }
    await this.write(name, { ...record, status: 'started' })
    if (output !== directory) await makeSharedDirectory(directory)
    const { signal, onProgress } = this.options
    const summary = await open.run({ signal, onProgress: (work) => onProgress({ phase: 'work', step: name, work }) })
    await this.checkUnchanged(step, record)
    await this.write(name, { ...record, status: 'done', outputs: await listOutputs(directory), seconds: seconds() })
    return summary
  }

  /** What was made of files that changed meanwhile would be taken for what the new ones give. */
  private async checkUnchanged({ name, open }: ResolvedStep, record: StepRecordKey): Promise<void> {
    const { out, directory } = this.pipeline
    const before = record.inputs
    const paths = await listInputs(open.inputs, out)
    const inputs = await hashInputs(paths, { directory, before, signal: this.options.signal })
    const [change] = changesOf(record, { ...record, inputs })
    if (change === undefined) return
    throw new BranchMergeError('ERR_FILE_CHANGED', `While the step ${name} ran: ${change}. Run it again (--resume).`)
  }

  private async recordFailure({ name }: ResolvedStep, error: { code: string; message: string }): Promise<void> {
    const record = this.records[name]
    // It failed before anything was written.
    if (record?.status !== 'started') return
    await this.write(name, { ...record, status: 'failed', error })
  }

  private async write(name: string, record: StepRecord): Promise<void> {
    this.records = { ...this.records, [name]: record }
    try {
      await writeState(this.pipeline.out, this.records)
    } catch (error) {
      if (!(error instanceof BranchMergeError)) throw error
      throw new StateError(error.code, error.message, { cause: error })
    }
  }
}

type StepRecordKey = Omit<StepRecord, 'status'>

/** What is known of the steps cannot be written: nothing more can be done. */
class StateError extends BranchMergeError {}

function whyMissing(outcome: StepOutcome | undefined): string {
  if (outcome?.status === 'failed') return 'failed'
  return outcome?.status === 'left' ? 'is not done, and was not chosen' : 'is not done'
}

/** Whether the step can begin with what its last run, with other options or inputs, has left. */
function isOfUse(before: StepRecord, now: StepKey, { earlierWork }: StepKind): boolean {
  if (before.kind !== now.kind || before.status === 'clearing' || earlierWork === 'none') return false
  if (earlierWork === 'always') return true
  return Object.entries(before.inputs).every(([path, { sha256 }]) => (now.inputs[path]?.sha256 ?? sha256) === sha256)
}

/** Answers may have taken days or money: their directory is set aside, under the number of its run. */
async function clear(directory: string, { kind, run }: StepRecord): Promise<void> {
  if (kinds[kind as StepKindName]?.earlierWork === 'none') {
    await write(directory, () => rm(directory, { recursive: true, force: true }))
  } else if ((await listIfPresent(directory)) !== undefined) {
    await write(directory, () => rename(directory, `${directory}.${run}`))
  }
}

/** A directory that no step of this pipeline has made is somebody's. */
async function refuseContent(directory: string): Promise<void> {
  const names = (await listIfPresent(directory)) ?? []
  if (names.length === 0) return
  throw new BranchMergeError(
    'ERR_OUTPUT_EXISTS',
    `Expected nothing in ${directory}, where a step writes, but it holds ${firstOf(names)}. Move it, or name the step otherwise.`,
  )
}
