/** Milliseconds that a limit counts over. */
const windowLength = 60_000

/** What one request counts for; its tokens are an estimate until its answer is there. */
export interface Reservation {
  readonly at: number
  tokens: number
}

/** Requests and tokens of any minute, as far as they are limited. */
export class RateLimit {
  private readonly recent: Reservation[] = []

  constructor(
    private readonly requestsPerMinute: number | undefined,
    private readonly tokensPerMinute: number | undefined,
  ) {}

  /** A reservation where the limits allow the request now; otherwise the milliseconds after which to ask again. */
  take(tokens: number, now: number): Reservation | number {
    if (this.requestsPerMinute === undefined && this.tokensPerMinute === undefined) return { at: now, tokens }
    while (this.recent[0] && this.recent[0].at <= now - windowLength) this.recent.shift()
    const wait = Math.max(this.waitForRequests(now), this.waitForTokens(tokens, now))
    if (wait > 0) return wait
    const reservation = { at: now, tokens }
    this.recent.push(reservation)
    return reservation
  }

  private waitForRequests(now: number): number {
    const limit = this.requestsPerMinute
    if (limit === undefined || this.recent.length < limit) return 0
    return (this.recent[this.recent.length - limit] as Reservation).at + windowLength - now
  }

  /** A request that is larger than the limit goes when nothing else counts. */
  private waitForTokens(tokens: number, now: number): number {
    const limit = this.tokensPerMinute
    if (limit === undefined) return 0
    let excess = tokens - limit + this.recent.reduce((total, each) => total + each.tokens, 0)
    for (const each of this.recent) {
      if (excess <= 0) return 0
      excess -= each.tokens
      if (excess <= 0 || each === this.recent.at(-1)) return each.at + windowLength - now
    }
    return 0
  }
}
