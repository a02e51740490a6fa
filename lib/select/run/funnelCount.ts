import type { Candidate } from '../candidate.js'
import type { FunnelStep } from '../funnel.js'

/** Counts what one step does. */
export class FunnelCount {
  private rowsIn = 0
  private rowsKept = 0
  private answersIn = 0
  private answersKept = 0
  private readonly rejected = new Map<string, number>()
  /** Time that the step itself took. */
  seconds = 0

  constructor(
    readonly name: string,
    readonly kind: string,
    private readonly description: string,
  ) {}

  get rows(): number {
    return this.rowsIn
  }

  get kept(): number {
    return this.rowsKept
  }

  came(candidate: Candidate | undefined): void {
    this.rowsIn++
    this.answersIn += candidate?.answers.length ?? 0
  }

  stayed(answers: number): void {
    this.rowsKept++
    this.answersKept += answers
  }

  refused(reason: string): void {
    this.rejected.set(reason, (this.rejected.get(reason) ?? 0) + 1)
  }

  record(): FunnelStep {
    const { name, kind, description, rowsIn, rowsKept, answersIn, answersKept } = this
    const most = [...this.rejected].sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1))
    return { name, kind, description, rowsIn, rowsKept, answersIn, answersKept, rejected: Object.fromEntries(most) }
  }
}
