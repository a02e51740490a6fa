import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type PlanEvent, parseEvent, type StepEvent, type TrainingEvent } from './trainerEvents.js'

export const metricsFileName = 'metrics.jsonl'

/** What metrics.jsonl tells of a whole training, over all its starts. */
export interface TrainingMetrics {
  steps: StepEvent[]
  validations: { step: number; loss: number }[]
  snapshots: number
  skipped: number
  /** Options that were others at a later start. */
  changed: string[]
  /** Of the last plan. */
  totalSteps: number | undefined
}

/**
 * Reads the metrics of a training. A step that was done again after a resume counts as it was done last.
 *
 * @param directory - `training/`
 */
export async function readMetrics(directory: string): Promise<TrainingMetrics> {
  const steps = new Map<number, StepEvent>()
  const validations = new Map<number, { step: number; loss: number }>()
  const snapshots = new Set<number>()
  const changed = new Set<string>()
  let totalSteps: number | undefined
  const take = (event: TrainingEvent) => {
    if (event.event === 'step') steps.set(event.step as number, event as StepEvent)
    else if (event.event === 'validation')
      validations.set(event.step as number, event as { step: number; loss: number })
    else if (event.event === 'checkpoint') snapshots.add(event.step as number)
    else if (event.event === 'start') for (const name of event.changed ?? []) changed.add(name)
    else if (event.event === 'plan') totalSteps = (event as PlanEvent).totalSteps
  }
  for await (const line of lines(join(directory, metricsFileName))) {
    const event = parseEvent(line)
    if (event && event.event !== 'error') take(event as TrainingEvent)
  }
  const inOrder = <T extends { step: number }>(map: Map<number, T>) => [...map.values()].sort((a, b) => a.step - b.step)
  const ordered = inOrder(steps)
  return {
    steps: ordered,
    validations: inOrder(validations),
    snapshots: snapshots.size,
    skipped: ordered.filter(({ skipped }) => skipped).length,
    changed: [...changed],
    totalSteps,
  }
}

async function* lines(path: string): AsyncIterable<string> {
  try {
    yield* createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
