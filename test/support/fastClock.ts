import type { Clock } from '../../lib/engines/server/clock.js'

interface Timer {
  at: number
  callback: () => void
}

/** A clock whose waits are over at once, in their order, and that remembers how long they were. */
export class FastClock implements Clock {
  readonly waits: number[] = []
  /** What happens before a wait is over. */
  hold: () => Promise<unknown> = async () => {}
  private time = 0
  private readonly timers = new Set<Timer>()

  constructor(private readonly numbers: () => number = () => 0.5) {}

  now(): number {
    return this.time
  }

  random(): number {
    return this.numbers()
  }

  after(milliseconds: number, callback: () => void): () => void {
    this.waits.push(milliseconds)
    const timer = { at: this.time + Math.max(0, milliseconds), callback }
    this.timers.add(timer)
    setTimeout(() => void this.hold().then(() => this.fire()), 2)
    return () => this.timers.delete(timer)
  }

  /** Time that passes by itself, for what only looks at the clock. */
  pass(milliseconds: number): void {
    this.time += milliseconds
  }

  private fire(): void {
    const [first] = [...this.timers].sort((a, b) => a.at - b.at)
    if (!first) return
    this.timers.delete(first)
    this.time = Math.max(this.time, first.at)
    first.callback()
  }
}
