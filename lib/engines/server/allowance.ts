/** Requests at the same time with which a server begins. */
const firstLimit = 8
/** Twice as many requests must bring so much more, or they only wait within the server. */
const worthwhile = 1.1
/** A measurement takes so many pieces of answers for each request, and at least so many milliseconds. */
const piecesMeasured = 8
const shortestMeasurement = 250
/** Pieces for each request after which a level is measured, also where some requests have no answer yet. */
const piecesBefore = 16
/** Milliseconds until more is tried again, after it has brought nothing. */
const tryAgainAfter = 60_000
/** Additive increase after a refusal: one more request after so many milliseconds without another. */
const growAfter = 30_000

/**
 * How many requests at a time one server is given: a few first, then twice as many as long as pieces of answers then come
 * faster, and never more than `most`. After a refusal half as many, and one more after each time without another.
 */
export class Allowance {
  limit: number
  /** When something was too much for the last time. */
  private refusedAt: number | undefined
  /** Since when nothing was too much, and the limit is what it is. */
  private cleanSince = 0
  /** What is known of the limit before this one, in pieces in a millisecond; 0 where nothing is. */
  private before = { limit: 1, rate: 0 }
  private pieces = 0
  private measuredSince: number | undefined
  private restUntil = 0
  private isSettled = false

  constructor(private readonly most: number) {
    this.limit = Math.min(most, firstLimit)
    this.isSettled = this.limit === most
  }

  /**
   * A piece of an answer came.
   *
   * @param outstanding - requests that the server has now
   * @param silent - those of them of which nothing came yet
   */
  piece(outstanding: number, silent: number, now: number): void {
    if (this.isSettled || this.refusedAt !== undefined || now < this.restUntil) return
    // With fewer requests than it may have, its rate says nothing of them.
    if (outstanding < this.limit) {
      this.measureAnew()
      return
    }
    this.pieces++
    const { limit, pieces } = this
    if (this.measuredSince === undefined) {
      const isWarm = silent === 0 ? pieces >= limit : pieces >= piecesBefore * limit
      if (!isWarm) return
      this.measuredSince = now
      this.pieces = 0
      return
    }
    const elapsed = now - this.measuredSince
    if (pieces >= piecesMeasured * limit && elapsed >= shortestMeasurement) this.decide(pieces / elapsed, now)
  }

  /**
   * An answer is complete.
   *
   * @param isWhole - it came in one piece, by which nothing can be measured
   */
  good(isWhole: boolean, now: number): void {
    if (this.limit >= this.most) return
    if (this.refusedAt === undefined) {
      if (isWhole) this.limit++
    } else if (now - this.cleanSince >= growAfter) {
      this.limit++
      this.cleanSince = now
    }
  }

  /**
   * It was too much for the server.
   *
   * @param begun - when the request was sent
   * @returns false for a request that was sent before the last refusal, and says nothing new
   */
  refused(begun: number, outstanding: number, now: number): boolean {
    if (this.refusedAt !== undefined && begun <= this.refusedAt) return false
    this.limit = Math.max(1, Math.floor(Math.min(this.limit, outstanding) / 2))
    this.refusedAt = now
    this.cleanSince = now
    return true
  }

  private decide(rate: number, now: number): void {
    const { before, limit, most } = this
    this.measureAnew()
    if (rate > worthwhile * before.rate) {
      this.before = { limit, rate }
      this.limit = Math.min(most, 2 * limit)
      this.isSettled = limit === most
    } else {
      this.limit = before.limit
      this.before = { limit: 1, rate: 0 }
      this.restUntil = now + tryAgainAfter
    }
  }

  private measureAnew(): void {
    this.pieces = 0
    this.measuredSince = undefined
  }
}
