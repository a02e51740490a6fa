import { smoothed } from './lossCurve.js'
import type { TrainingMetrics } from './trainingMetrics.js'

/** What a training did, over all its starts. */
export interface SftSummary {
  output: string
  /** requeue: it has saved and is to be started again, with resume. */
  reason: 'done' | 'requeue'
  /** Done, and planned. */
  steps: number
  totalSteps: number | undefined
  /** Passes over the data, with fraction. */
  epochs: number
  /** At the end, smoothed as in the picture; null when no step had a finite one. */
  loss: number | null
  /** At the beginning, smoothed likewise. */
  firstLoss: number | null
  /** At the end, and of the weights that the training began with; null without validation rows. */
  validationLoss: number | null
  firstValidationLoss: number | null
  /** Of all steps and processes. */
  tokens: number
  /** Of those, the ones with a loss. */
  trainedTokens: number
  /** Inside steps. */
  seconds: number
  tokensPerSecond: number
  /** Of the model's arithmetic, a second and process, on the average. */
  flops: number
  /** Highest of a process. */
  peakBytes: number
  /** Options that were not the same from the first step to the last, since the run was resumed with others. */
  changed: string[]
  /** Steps whose loss or gradient was not finite. */
  skippedSteps: number
  /** The picture. */
  lossCurve: string
  /** Number of the job of Slurm that trained. */
  job?: string
}

export function summariseTraining(
  { steps, validations, skipped, changed, totalSteps }: TrainingMetrics,
  about: Pick<SftSummary, 'output' | 'reason' | 'lossCurve'>,
): SftSummary {
  const sum = (value: (step: (typeof steps)[number]) => number) => steps.reduce((total, step) => total + value(step), 0)
  const seconds = sum((step) => step.seconds)
  const tokens = sum((step) => step.tokens)
  const curve = smoothed(steps.flatMap(({ step, loss }) => (loss === null ? [] : [{ x: step, y: loss }])))
  const last = steps.at(-1)
  return {
    ...about,
    steps: last?.step ?? 0,
    totalSteps,
    epochs: last?.epoch ?? 0,
    loss: curve.at(-1)?.y ?? null,
    firstLoss: curve[0]?.y ?? null,
    validationLoss: validations.at(-1)?.loss ?? null,
    firstValidationLoss: validations.find(({ step }) => step === 0)?.loss ?? null,
    tokens,
    trainedTokens: sum((step) => step.trainedTokens),
    seconds,
    tokensPerSecond: seconds > 0 ? tokens / seconds : 0,
    flops: seconds > 0 ? sum((step) => step.flops * step.seconds) / seconds : 0,
    peakBytes: steps.reduce((most, { peakBytes }) => Math.max(most, peakBytes), 0),
    changed,
    skippedSteps: skipped,
  }
}
