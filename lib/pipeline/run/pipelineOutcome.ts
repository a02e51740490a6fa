import type { StepEstimate, StepProgress } from '../kinds/stepKind.js'

/** What a step of a plan is: done and kept; to be run; waiting for one that does not run; or left out by the choice of steps. */
export type PlannedStatus = 'kept' | 'run' | 'blocked' | 'left'

/** What a pipeline would do with a step. */
export interface PlannedStep {
  name: string
  kind: string
  status: PlannedStatus
  /** Why it runs, cannot run, or would run if it were chosen; empty where it is kept. */
  reasons: string[]
  /** Steps whose outputs it reads. */
  needs: string[]
  /** What it writes. */
  output: string
  /** Of a step that runs, where it can be told: its inputs are there, and its kind tells. */
  estimate: StepEstimate | null
}

export interface PipelinePlan {
  out: string
  /** In the order in which they run. */
  steps: PlannedStep[]
}

/** What became of a step: done now; kept from before; failed; blocked by one that did not run; or left out by the choice of steps. */
export type StepStatus = 'done' | 'kept' | 'failed' | 'blocked' | 'left'

export interface StepOutcome {
  name: string
  kind: string
  status: StepStatus
  /** Why it ran, could not run, or would run if it were chosen; empty where it was kept. */
  reasons: string[]
  output: string
  /** Of its work; null where there was none. */
  seconds: number | null
  /** What the function of its kind gave; null where it did not run to its end. */
  summary: unknown
  error: { code: string; message: string } | null
}

export interface PipelineSummary {
  out: string
  /** In the order in which they ran. */
  steps: StepOutcome[]
  /** Whether all that were chosen are done. */
  complete: boolean
}

/** What a pipeline tells while it runs. */
export type PipelineProgress =
  /** Files are hashed to see whether they are those of the last run. */
  | { phase: 'hash'; step: string; bytesDone: number; bytesTotal: number }
  | { phase: 'begin'; step: string; kind: string; reasons: readonly string[]; number: number; of: number }
  | { phase: 'work'; step: string; work: StepProgress }
  | { phase: 'end'; step: string; outcome: StepOutcome }
