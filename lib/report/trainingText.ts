import { formatCount, formatCountOf, formatPercent, formatTable, printable } from '../text/format.js'
import { formatBytes, formatDuration } from '../text/formatUnits.js'
import { fits, type SftPlan } from '../train/runTraining.js'
import type { PlanEvent } from '../train/trainerEvents.js'
import { describeChanges, type OriginChange } from '../train/trainingOrigin.js'
import type { SftSummary } from '../train/trainingSummary.js'
import { figures, formatFlops } from './trainingProgress.js'

/** What a run would do, for people. */
export function trainingPlanText({ run, data, plan, launch, trainerRun, changed }: SftPlan): string {
  const { training, launcher } = run
  const { prepared } = data
  const { packs, tokens, trainedTokens, efficiency } = prepared.train
  const steps = plan.totalSteps
  const perStep = training.perDeviceTrainBatchSize * training.gradientAccumulationSteps * launcher.processes
  const rows = [
    ['model', printable(run.model)],
    ['output', `${printable(run.output)}, ${trainerRun.export.dtype}`],
    [
      'data',
      `${formatCountOf(packs, 'pack')}, ${formatCountOf(tokens, 'token')}, ${formatCount(trainedTokens)} of them trained`,
    ],
    ['packing', `${run.data.packing}, ${run.data.cutoffLength} tokens, ${formatPercent(efficiency)} full`],
    [
      'steps',
      `${steps ?? '?'} of ${formatCountOf(perStep, 'pack')}, ${formatCountOf(training.numTrainEpochs, 'epoch')}`,
    ],
    ['learning rate', `${training.learningRate}, ${training.lrSchedulerType}`],
    ['processes', `${launcher.processes} of ${formatCountOf(trainerRun.threads, 'thread')}`],
  ]
  return [
    formatTable(rows, []),
    '',
    'Memory of a process:',
    formatTable(memoryRows(plan), [1]),
    '',
    ...(fits(plan) ? [] : ['It does NOT fit.', '']),
    ...run.notes,
    ...changeNotes(changed),
    ...prepared.notices.map(printable),
    `Command: ${commandText(launch.command, launch.env)}`,
  ].join('\n')
}

/** What a run that goes on has not as it was. */
export const changeNotes = (changed: readonly OriginChange[]): string[] =>
  changed.length === 0 ? [] : [`Changed since the run began: ${printable(describeChanges(changed))}`]

function memoryRows({ memory, memoryBytes }: PlanEvent): string[][] {
  const words = (name: string) => name.replace(/[A-Z]/g, (c) => ` ${c.toLowerCase()}`)
  const parts = Object.entries({ ...memory, allowed: memoryBytes ?? 0 }).filter(([, bytes]) => bytes > 0)
  return parts.map(([name, bytes]) => [`  ${words(name)}`, formatBytes(bytes)])
}

/** A command as a shell takes it. */
export function commandText(command: readonly string[], env: Readonly<Record<string, string>>): string {
  const word = (text: string) => (/^[\w./:=,@%+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`)
  return [...Object.entries(env).map(([name, value]) => `${name}=${word(value)}`), ...command.map(word)].join(' ')
}

/** What a training did, for people. `output` is as the user wrote it. */
export function trainingText(summary: SftSummary, output: string): string {
  const { loss, firstLoss, validationLoss, firstValidationLoss, tokensPerSecond, skippedSteps, changed } = summary
  const before = firstValidationLoss === null ? '' : `${figures(firstValidationLoss)} → `
  const rows = [
    [
      'steps',
      `${summary.steps}${summary.totalSteps === undefined ? '' : ` of ${summary.totalSteps}`}, ${round(summary.epochs)} epochs`,
    ],
    ['loss', `${figures(firstLoss)} → ${figures(loss)}, both smoothed over steps`],
    ...(validationLoss === null ? [] : [['validation loss', before + figures(validationLoss)]]),
    ['tokens', `${formatCount(summary.tokens)}, ${formatCount(summary.trainedTokens)} of them trained`],
    ['time', `${formatDuration(summary.seconds)}, ${formatCount(Math.round(tokensPerSecond))} tokens/s`],
    ['arithmetic', `${formatFlops(summary.flops)} a process`],
    ['memory', `${formatBytes(summary.peakBytes)} at most in a process`],
    ...(changed.length > 0 ? [['changed', `on the way: ${changed.join(', ')}`]] : []),
    ...(skippedSteps > 0 ? [['skipped', `${skippedSteps} steps`]] : []),
  ]
  const end =
    summary.reason === 'done'
      ? `The expert is in ${output}`
      : `Saved; the run is not finished. Continue with the same command and --resume`
  return [formatTable(rows, []), '', `Loss curve: ${summary.lossCurve}`, end].join('\n')
}

const round = (epochs: number): string => String(Math.round(epochs * 100) / 100)
