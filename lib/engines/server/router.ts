import { Allowance } from './allowance.js'
import type { Clock } from './clock.js'
import { RateLimit, type Reservation } from './rateLimit.js'

/** One server among several. */
export interface Lane<T> {
  readonly server: T
  outstanding: number
  /** Of the outstanding requests, those of which nothing came yet. */
  silent: number
  readonly allowance: Allowance
  pausedUntil: number
  /** Pauses so far without a good answer between them. */
  pauses: number
}

/** The right to send one request. */
export interface Turn<T> {
  readonly lane: Lane<T>
  readonly begun: number
  readonly reservation: Reservation
  isSilent: boolean
}

interface Waiting<T> {
  tokens: number
  resolve: (turn: Turn<T>) => void
  reject: (reason: unknown) => void
}

const shortestPause = 1000
const longestPause = 60_000

/**
 * Gives requests to servers: to the one with the fewest outstanding, as many at a time as each can take. Where one says that it
 * is too much (429, 503), nobody asks it until it has rested, and then half as many do; the number grows again slowly.
 */
export class Router<T> {
  readonly lanes: readonly Lane<T>[]
  private readonly waiting: Waiting<T>[] = []
  private readonly rate: RateLimit
  private cancelWake: (() => void) | undefined
  private wakeAt = Number.POSITIVE_INFINITY
  private turns = 0

  constructor(
    servers: readonly T[],
    most: number,
    private readonly clock: Clock,
    limits: { requestsPerMinute: number | undefined; tokensPerMinute: number | undefined },
  ) {
    this.lanes = servers.map((server) => ({
      server,
      outstanding: 0,
      silent: 0,
      allowance: new Allowance(most),
      pausedUntil: 0,
      pauses: 0,
    }))
    this.rate = new RateLimit(limits.requestsPerMinute, limits.tokensPerMinute)
  }

  /**
   * Waits for its turn.
   *
   * @param tokens - of prompt and answer, as far as they can be foreseen
   * @param isAgain - an earlier request that failed goes before those that have not been sent
   * @throws the signal's reason after an abort
   */
  async take(tokens: number, isAgain: boolean, signal: AbortSignal | undefined): Promise<Turn<T>> {
    signal?.throwIfAborted()
    return await new Promise<Turn<T>>((resolve, reject) => {
      const abort = () => {
        const place = this.waiting.indexOf(entry)
        if (place < 0) return
        this.waiting.splice(place, 1)
        reject(signal?.reason)
      }
      const entry: Waiting<T> = {
        tokens,
        resolve: (turn) => {
          signal?.removeEventListener('abort', abort)
          resolve(turn)
        },
        reject,
      }
      signal?.addEventListener('abort', abort, { once: true })
      if (isAgain) this.waiting.unshift(entry)
      else this.waiting.push(entry)
      this.pump()
    })
  }

  /** The request is over; with how many tokens, where it is known. */
  release(turn: Turn<T>, tokens?: number): void {
    turn.lane.outstanding--
    this.heard(turn)
    if (tokens !== undefined) turn.reservation.tokens = tokens
    this.pump()
  }

  /** A piece of its answer came. */
  piece(turn: Turn<T>): void {
    this.heard(turn)
    const { allowance, outstanding, silent } = turn.lane
    const { limit } = allowance
    allowance.piece(outstanding, silent, this.clock.now())
    if (allowance.limit > limit) this.pump()
  }

  /** It went well; its answer came piece by piece or whole. */
  good({ lane }: Turn<T>, isWhole: boolean): void {
    lane.pauses = 0
    lane.allowance.good(isWhole, this.clock.now())
  }

  private heard(turn: Turn<T>): void {
    if (turn.isSilent) turn.lane.silent--
    turn.isSilent = false
  }

  /** It was too much for the server, which asks to wait so many milliseconds, or does not say. */
  busy({ lane, begun }: Turn<T>, wait: number | undefined): void {
    const now = this.clock.now()
    if (lane.allowance.refused(begun, lane.outstanding, now)) lane.pauses++
    const own =
      Math.min(longestPause, shortestPause * 2 ** Math.max(0, lane.pauses - 1)) * (0.5 + this.clock.random() / 2)
    lane.pausedUntil = Math.max(lane.pausedUntil, now + (wait ?? own))
  }

  /** Nobody asks it for so many milliseconds: it is down, and others may be not. */
  rest({ lane }: Turn<T>, milliseconds: number): void {
    lane.pausedUntil = Math.max(lane.pausedUntil, this.clock.now() + milliseconds)
  }

  /** Refuses whoever waits. */
  close(reason: unknown): void {
    this.cancelWake?.()
    this.cancelWake = undefined
    for (const { reject } of this.waiting.splice(0)) reject(reason)
  }

  private pump(): void {
    while (this.waiting.length > 0) {
      const now = this.clock.now()
      const lane = this.freeLane(now)
      if (!lane) {
        const next = Math.min(
          ...this.lanes
            .filter(({ outstanding, allowance }) => outstanding < allowance.limit)
            .map((each) => each.pausedUntil),
        )
        if (Number.isFinite(next)) this.wake(next)
        return
      }
      const first = this.waiting[0] as Waiting<T>
      const reservation = this.rate.take(first.tokens, now)
      if (typeof reservation === 'number') {
        this.wake(now + reservation)
        return
      }
      this.waiting.shift()
      lane.outstanding++
      lane.silent++
      first.resolve({ lane, begun: now, reservation, isSilent: true })
    }
  }

  /** The one with the fewest outstanding; those with as few take turns. */
  private freeLane(now: number): Lane<T> | undefined {
    const free = this.lanes.filter(
      ({ outstanding, allowance, pausedUntil }) => outstanding < allowance.limit && pausedUntil <= now,
    )
    if (free.length < 2) return free[0]
    const fewest = Math.min(...free.map(({ outstanding }) => outstanding))
    const equal = free.filter(({ outstanding }) => outstanding === fewest)
    return equal[this.turns++ % equal.length]
  }

  private wake(at: number): void {
    if (this.cancelWake && this.wakeAt <= at) return
    this.cancelWake?.()
    this.wakeAt = at
    this.cancelWake = this.clock.after(at - this.clock.now(), () => {
      this.cancelWake = undefined
      this.wakeAt = Number.POSITIVE_INFINITY
      this.pump()
    })
  }
}
