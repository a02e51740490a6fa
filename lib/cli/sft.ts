import { sftPlanRecord } from '../plan.js'
import { type Override, parseOverride } from '../recipe/overrides.js'
import type { RecipeDocument } from '../recipe/recipe.js'
import { sftReporter } from '../report/sftProgress.js'
import { changeNotes, trainingPlanText, trainingText } from '../report/trainingText.js'
import { printable } from '../text/format.js'
import { resolveRun } from '../train/resolveRun.js'
import { executeSft, planSft, recordFailure, type SftPlan, type SftRunning } from '../train/runTraining.js'
import { runDocument } from '../train/sft.js'
import { requeueExitCode } from '../train/superviseTrainer.js'
import { checkPath } from '../validate.js'
import { Interrupted } from './interrupt.js'
import { printJson, printText } from './print.js'
import { UsageError } from './usageError.js'

/** `branchmerge sft run.yaml` */
export async function runSft(args: Record<string, unknown>): Promise<number> {
  if (args.srun === true && process.env.SLURM_JOB_ID === undefined) {
    throw new UsageError(
      'Expected --srun inside an allocation of Slurm (SLURM_JOB_ID is not set): --slurm submits a job',
    )
  }
  const document = await runDocument(checkPath(args.file, 'file'))
  return await withTrainingSignals(async (signals) => {
    const progress = sftReporter(process.stderr)
    const running: SftRunning = {
      resume: args.resume === true,
      place: args.srun === true ? 'allocation' : 'here',
      // Before it trains there is nothing to save.
      signal: AbortSignal.any([signals.interrupt, signals.requeue]),
      onProgress: progress.update,
    }
    if (running.place === 'allocation') noteRestarts(progress.print)
    const plan = await planned(document, overridesOf(args), running, signals.requeue).finally(progress.end)
    if (plan === undefined) return requeueExitCode
    if (args.plan) {
      printPlan(plan, args.json === true)
      return 0
    }
    printNotes(plan, progress.print)
    progress.setTotal(plan.plan.totalSteps)
    const training = { ...plan, running: { ...running, signal: signals.interrupt } }
    const summary = await executeSft(training, signals).finally(progress.end)
    if (args.json) printJson(summary)
    else printText(trainingText(summary, plan.run.output))
    return summary.reason === 'requeue' ? requeueExitCode : 0
  })
}

/**
 * The plan, or nothing when the run is to be started again. A job says in its output what kept it from training: who follows it
 * reads that there.
 */
async function planned(
  document: RecipeDocument,
  overrides: Override[],
  running: SftRunning,
  requeue: AbortSignal,
): Promise<SftPlan | undefined> {
  const run = resolveRun(document, overrides)
  try {
    return await planSft(run, running)
  } catch (error) {
    if (requeue.aborted) return undefined
    if (running.place === 'allocation') await recordFailure(run.output, error)
    throw error
  }
}

export function printNotes({ run, data, changed }: SftPlan, print: (line: string) => void): void {
  for (const note of [...run.notes, ...changeNotes(changed), ...data.prepared.notices])
    print(`Note: ${printable(note)}`)
}

function noteRestarts(print: (line: string) => void): void {
  const { SLURM_JOB_ID, SLURM_RESTART_COUNT } = process.env
  if (SLURM_RESTART_COUNT) print(`Job ${SLURM_JOB_ID} was requeued ${SLURM_RESTART_COUNT} times`)
}

/** --set, and the options that are short for one. */
export function overridesOf({ set, processes, card }: Record<string, unknown>): Override[] {
  const texts = set === undefined ? [] : Array.isArray(set) ? set : [set]
  const more =
    processes === undefined ? [] : [{ path: ['launcher', 'processes'], value: processes, text: '--processes' }]
  const cards = card === undefined ? [] : [{ path: ['export', 'card'], value: card, text: '--card' }]
  return [...texts.map((text) => parseOverride(String(text))), ...more, ...cards]
}

function printPlan(plan: SftPlan, json: boolean): void {
  if (!json) {
    printText(`${trainingPlanText(plan)}\n\nNothing was trained (--plan).`)
    return
  }
  printJson(sftPlanRecord(plan))
}

export interface TrainingSignals {
  interrupt: AbortSignal
  requeue: AbortSignal
  kill: AbortSignal
}

/**
 * The first Ctrl-C lets the trainer save and end, the second ends it at once. SIGTERM and SIGUSR1, of a cluster that wants its
 * machine back, let it save and ask for another start.
 */
export async function withTrainingSignals(work: (signals: TrainingSignals) => Promise<number>): Promise<number> {
  const [interrupt, requeue, kill] = [new AbortController(), new AbortController(), new AbortController()]
  const onInterrupt = () => {
    if (interrupt.signal.aborted) kill.abort()
    else {
      process.stderr.write('\nbranchmerge: Saving what has been trained, then stopping; Ctrl-C again stops at once\n')
      interrupt.abort(new Interrupted('SIGINT', 'kept'))
    }
  }
  const onRequeue = () => requeue.abort(new Interrupted('SIGTERM', 'kept'))
  process.on('SIGINT', onInterrupt)
  process.on('SIGTERM', onRequeue)
  process.on('SIGUSR1', onRequeue)
  try {
    return await work({ interrupt: interrupt.signal, requeue: requeue.signal, kill: kill.signal })
  } catch (error) {
    // Whatever it was that the trainer died of: the user asked for its end.
    throw interrupt.signal.aborted ? interrupt.signal.reason : error
  } finally {
    process.off('SIGINT', onInterrupt)
    process.off('SIGTERM', onRequeue)
    process.off('SIGUSR1', onRequeue)
  }
}
