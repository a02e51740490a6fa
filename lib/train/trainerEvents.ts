/** What the trainer tells of an update. */
export interface StepEvent {
  event: 'step'
  /** From 1. */
  step: number
  /** As a number of passes over the data. */
  epoch: number
  /** What the step minimises, before its update; null where it is not finite. */
  loss: number | null
  /** Before clipping; null where it is not finite. */
  gradientNorm: number | null
  learningRate: number
  /** Of the step, over all processes. */
  tokens: number
  /** Of those, the ones with a loss. */
  trainedTokens: number
  seconds: number
  tokensPerSecond: number
  /** Of the model's arithmetic, a second and process. */
  flops: number
  /** Loss or gradient was not finite: weights stayed as they were. */
  skipped: boolean
  /** Most memory of a process so far. */
  peakBytes: number
}

/** Lines of metrics.jsonl. */
export type TrainingEvent =
  | PlanEvent
  /** changed: names of options that are not as they were when the snapshot was written. */
  | { event: 'start'; step: number; resumedFrom: string | null; changed?: string[] }
  | StepEvent
  | { event: 'validation'; step: number; loss: number }
  | { event: 'checkpoint'; step: number; path: string }
  | { event: 'skipped'; step: number; reason: string; samples: { source: number; row: number }[] }
  /** A snapshot that is not what its manifest says: set aside, and the one before is used. */
  | { event: 'damaged'; path: string; reason: string }
  | { event: 'end'; step: number; reason: 'done' | 'requeue' | 'interrupted' }

/** What the trainer will do and need. */
export interface PlanEvent {
  event?: 'plan'
  processes?: number
  parameters?: number
  packs?: number
  packsPerStep?: number
  stepsPerEpoch?: number
  totalSteps?: number
  /** Bytes of one process, by what they are for, and their total. */
  memory?: { total: number; [purpose: string]: number }
  /** What a process may take. */
  memoryBytes?: number
}

/** A failure of one process, as it says so itself. */
export interface ErrorEvent {
  event: 'error'
  code: string
  message: string
  rank: number
}

const names = ['plan', 'start', 'step', 'validation', 'checkpoint', 'skipped', 'damaged', 'end']

/** The event of a line; undefined for a line that is none. */
export function parseEvent(line: string): TrainingEvent | ErrorEvent | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    const event = JSON.parse(line) as TrainingEvent | ErrorEvent
    return event.event === 'error' || names.includes(event.event ?? '') ? event : undefined
  } catch {
    return undefined
  }
}

/** Hands on whole lines of a text that comes in parts. */
export class LineReader {
  private rest = ''

  constructor(private readonly onLine: (line: string) => void) {}

  push(text: string): void {
    const lines = (this.rest + text).split('\n')
    this.rest = lines.pop() as string
    for (const line of lines) this.onLine(line)
  }

  /** What came after the last end of a line is a line, too. */
  end(): void {
    if (this.rest !== '') this.onLine(this.rest)
    this.rest = ''
  }
}
