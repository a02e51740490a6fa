import { BranchMergeError } from '../errors.js'
import { formatCount } from '../text/format.js'

/** Money for a million tokens, in any currency. */
export interface Price {
  input: number
  output: number
}

/** What may be used in all, answers that are stored already included. */
export interface Limits {
  tokens?: number | undefined
  cost?: number | undefined
}

export interface RequestLimits extends Limits {
  /** Answers that are asked for, those that failed included. */
  requests?: number | undefined
}

export interface Spent {
  requests: number
  prompt: number
  completion: number
  /** Null where a model that answered has no price. */
  cost: number | null
}

/**
 * Keeps within limits without overrunning them: a request starts only if the limit would hold even if it, and all that are in
 * flight, used every token that they may.
 */
export class Budget {
  readonly spent: Spent = { requests: 0, prompt: 0, completion: 0, cost: 0 }
  private inFlight = 0
  private reservedTokens = 0
  private reservedCost = 0
  private waiting: (() => void)[] = []

  constructor(
    private readonly limits: RequestLimits,
    private readonly prices: Readonly<Record<string, Price>>,
  ) {}

  /** What was used, of a request that was never reserved: of an answer that is stored. */
  add(model: string, prompt: number, completion: number): void {
    this.spent.requests++
    this.spent.prompt += prompt
    this.spent.completion += completion
    const cost = this.costOf(model, prompt, completion)
    this.spent.cost = cost === null || this.spent.cost === null ? null : this.spent.cost + cost
  }

  /** By the user's price of the model; null where there is none. */
  costOf(model: string, prompt: number, completion: number): number | null {
    const price = this.prices[model]
    return price ? (prompt * price.input + completion * price.output) / 1e6 : null
  }

  /**
   * Waits until a request of so many tokens fits, and reserves them. Returns what gives the reservation back, with what was
   * used instead; without arguments nothing was.
   *
   * @throws ERR_BUDGET when it does not fit though nothing is in flight; the signal's reason after an abort
   */
  async reserve(
    model: string,
    prompt: number,
    completion: number,
    signal: AbortSignal,
  ): Promise<(used?: { prompt: number; completion: number }) => void> {
    const tokens = prompt + completion
    const cost = this.costOf(model, prompt, completion) ?? 0
    while (!this.fits(tokens, cost)) {
      signal.throwIfAborted()
      if (this.inFlight === 0) throw this.exhausted(tokens, cost)
      await this.change(signal)
    }
    this.inFlight++
    this.reservedTokens += tokens
    this.reservedCost += cost
    return (used) => {
      this.inFlight--
      this.reservedTokens -= tokens
      this.reservedCost = this.inFlight === 0 ? 0 : this.reservedCost - cost
      if (used) this.add(model, used.prompt, used.completion)
      for (const wake of this.waiting.splice(0)) wake()
    }
  }

  private fits(tokens: number, cost: number): boolean {
    const { limits, spent } = this
    const usedTokens = spent.prompt + spent.completion + this.reservedTokens + tokens
    const usedCost = (spent.cost ?? 0) + this.reservedCost + cost
    const requests = spent.requests + this.inFlight + 1
    const hasRequest = requests <= (limits.requests ?? Infinity)
    return hasRequest && usedTokens <= (limits.tokens ?? Infinity) && usedCost <= (limits.cost ?? Infinity)
  }

  private change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = () => {
        signal.removeEventListener('abort', wake)
        resolve()
      }
      signal.addEventListener('abort', wake, { once: true })
      this.waiting.push(wake)
    })
  }

  private exhausted(tokens: number, cost: number): BranchMergeError {
    const { what, option } = this.reached(tokens, cost)
    return new BranchMergeError(
      'ERR_BUDGET',
      `${what}. Answers that came are kept: raise ${option} and go on with --resume.`,
    )
  }

  private reached(tokens: number, cost: number): { what: string; option: string } {
    const { limits, spent } = this
    if (spent.requests >= (limits.requests ?? Infinity)) {
      return {
        what: `${formatCount(spent.requests)} of ${formatCount(limits.requests as number)} answers were asked for`,
        option: '--max-requests',
      }
    }
    const used = spent.prompt + spent.completion
    if (used + tokens > (limits.tokens ?? Infinity)) {
      return {
        what: `${formatCount(used)} of ${formatCount(limits.tokens as number)} tokens are used, and the next answer may take ${formatCount(tokens)}`,
        option: '--max-tokens-total',
      }
    }
    return {
      what: `${(spent.cost ?? 0).toFixed(4)} of ${limits.cost} are spent, and the next answer may cost ${cost.toFixed(4)}`,
      option: '--max-cost',
    }
  }
}
