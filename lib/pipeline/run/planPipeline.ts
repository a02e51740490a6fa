import { BranchMergeError } from '../../errors.js'
import type { StepEstimate } from '../kinds/stepKind.js'
import { chosenSteps, type StepChoice } from './chooseSteps.js'
import { type ExaminedStep, examineStep } from './examineStep.js'
import type { PipelinePlan, PlannedStep } from './pipelineOutcome.js'
import { ranAgain } from './reasons.js'
import type { ResolvedPipeline, ResolvedStep } from './resolvePipeline.js'
import { readState, type StepRecord } from './stateFile.js'

/**
 * What a run would do. Reads the files that changed since their last run, to see whether their content did, and headers of models;
 * writes nothing.
 *
 * @throws ERR_INVALID_ARGUMENT for steps that there are not; what readState throws; the signal's reason after an abort
 */
export async function planResolved(
  { out, directory, steps }: ResolvedPipeline,
  choice: StepChoice,
  signal: AbortSignal,
): Promise<PipelinePlan> {
  const chosen = chosenSteps(steps, choice)
  const records = (await readState(out)) ?? {}
  const planned = new Map<string, PlannedStep>()
  for (const step of steps) {
    signal.throwIfAborted()
    const record = records[step.name]
    const needs = Object.fromEntries(step.needs.map((name) => [name, records[name]?.run ?? 0]))
    const found = await examined(() => examineStep(step, record, { out, directory, needs, signal }))
    planned.set(step.name, await plannedStep(step, { found, record, chosen, planned }))
  }
  return { out, steps: [...planned.values()] }
}

interface Facts {
  found: ExaminedStep | BranchMergeError
  record: StepRecord | undefined
  chosen: ReadonlySet<string>
  planned: ReadonlyMap<string, PlannedStep>
}

/** An input that is not there keeps a step from running, and no other. */
async function examined(work: () => Promise<ExaminedStep>): Promise<ExaminedStep | BranchMergeError> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof BranchMergeError) return error
    throw error
  }
}

async function plannedStep(step: ResolvedStep, { found, record, chosen, planned }: Facts): Promise<PlannedStep> {
  const { name, kindName: kind, needs, output } = step
  const common = { name, kind, needs: [...needs], output, estimate: null }
  const isChosen = chosen.has(name)
  const missing = needs.filter((each) => ['blocked', 'left'].includes(planned.get(each)?.status as string))
  if (missing.length > 0) {
    const reasons = missing.map((each) => `step ${each} is not done`)
    return { ...common, status: isChosen ? 'blocked' : 'left', reasons }
  }
  if (found instanceof BranchMergeError) {
    return { ...common, status: isChosen ? 'blocked' : 'left', reasons: [found.message] }
  }
  const again = needs.filter((each) => planned.get(each)?.status === 'run')
  const waits = record === undefined ? [] : again.map((each) => `step ${each} runs again`)
  // What ran again and does so once more is one reason.
  const reasons = [...found.reasons.filter((reason) => !again.some((each) => reason === ranAgain(each))), ...waits]
  if (reasons.length === 0) return { ...common, status: 'kept', reasons }
  if (!isChosen) return { ...common, status: 'left', reasons }
  return { ...common, status: 'run', reasons, estimate: again.length > 0 ? null : await estimateOf(step) }
}

/** What a step cannot tell, because a model is not as it must be, is told when it runs. */
async function estimateOf({ open }: ResolvedStep): Promise<StepEstimate | null> {
  try {
    return (await open.estimate?.()) ?? null
  } catch (error) {
    if (error instanceof BranchMergeError) return null
    throw error
  }
}
