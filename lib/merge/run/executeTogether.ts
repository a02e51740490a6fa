import { BranchMergeError } from '../../errors.js'
import { requestedInstructionSet } from '../../native/instructionSet.js'
import { native } from '../../native/native.js'
import type { MergeOutcome } from '../output/mergeOutcome.js'
import type { MergePlan } from '../plan/mergePlan.js'
import { MergeRun } from './executeMerge.js'
import { MergePass } from './mergePass.js'

/** How one of the plans ended. */
export type PlanResult = { outcome: MergeOutcome } | { error: BranchMergeError }

/** Takes note of the end of a run. */
type Settle = (run: MergeRun, result: PlanResult) => void

/**
 * Carries out plans that read the same inputs in one pass over them, with the bytes that each has on its own. Where a plan
 * fails, the others go on without it from what they have on the disk. `onResult` hears of each plan, by its position.
 *
 * @throws the signal's reason after an abort, and what is no BranchMergeError; then no output is left but what `resume` keeps
 */
export async function executeTogether(
  plans: readonly MergePlan[],
  onResult: (position: number, result: PlanResult) => void,
): Promise<void> {
  const instructionSet = requestedInstructionSet(native)
  const open = new Map<MergeRun, number>()
  const settle: Settle = (run, result) => {
    const position = open.get(run) as number
    open.delete(run)
    onResult(position, result)
  }
  try {
    for (const [position, plan] of plans.entries()) {
      const opened = await attempt(() => MergeRun.open(plan), plan)
      if ('error' in opened) onResult(position, opened)
      else open.set(opened.value, position)
    }
    while (open.size > 0) await passOver([...open.keys()], instructionSet, settle)
  } catch (error) {
    // Last opened, first gone: an earlier one may have made a directory around the others'.
    for (const run of [...open.keys()].reverse()) await run.giveUp()
    throw error
  }
}

/** One pass. Afterwards at least one of the runs is settled. */
async function passOver(runs: readonly MergeRun[], instructionSet: string | undefined, settle: Settle): Promise<void> {
  const pass = new MergePass(runs)
  const [first] = runs as [MergeRun, ...MergeRun[]]
  const merged = await attempt(() => pass.run(instructionSet), first.plan)
  if ('value' in merged) {
    for (const [i, run] of runs.entries()) await publish(run, merged.value[i] as MergeOutcome, settle)
    return
  }
  // Of inputs that changed under the pass nothing can be used.
  const failed = runs.length === 1 || merged.error.code === 'ERR_FILE_CHANGED' ? runs : []
  for (const run of failed) await fail(run, merged, settle)
  if (failed.length > 0) return
  const left: MergeRun[] = []
  for (const run of runs) {
    const ready = await attempt(() => run.goOn(), run.plan)
    if ('value' in ready) left.push(run)
    else await fail(run, ready, settle)
  }
  // The run at whose tensor the pass ended is either the one to blame, and fails, or done.
  const suspect = runs[pass.suspect] as MergeRun
  if (left.includes(suspect)) await passOver([suspect], instructionSet, settle)
}

async function fail(run: MergeRun, result: PlanResult, settle: Settle): Promise<void> {
  await run.giveUp()
  settle(run, result)
}

async function publish(run: MergeRun, outcome: MergeOutcome, settle: Settle): Promise<void> {
  const published = await attempt(() => run.publish(outcome), run.plan)
  if ('error' in published) await fail(run, published, settle)
  else settle(run, { outcome })
}

/** A failure of the merge's own is a result; an abort, or what nobody expects, is not. */
async function attempt<T>(
  step: () => Promise<T>,
  { run }: MergePlan,
): Promise<{ value: T } | { error: BranchMergeError }> {
  try {
    return { value: await step() }
  } catch (error) {
    run.signal?.throwIfAborted()
    if (error instanceof BranchMergeError) return { error }
    throw error
  }
}
