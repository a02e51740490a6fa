interface Waiting {
  alone: boolean
  start: () => void
}

/** Lets many work at the same time, or one alone. Whoever wants to be alone comes before those that came later. */
export class AloneLock {
  private together = 0
  private isAlone = false
  private waiting: Waiting[] = []

  /** @throws what `work` throws; the signal's reason where it is aborted before the turn comes */
  async run<T>(alone: boolean, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    await this.enter(alone, signal)
    try {
      return await work()
    } finally {
      if (alone) this.isAlone = false
      else this.together--
      this.wake()
    }
  }

  private enter(alone: boolean, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    return new Promise((resolve, reject) => {
      const leave = () => {
        this.waiting = this.waiting.filter((one) => one !== entry)
        reject(signal?.reason)
        this.wake()
      }
      const entry: Waiting = {
        alone,
        start: () => {
          signal?.removeEventListener('abort', leave)
          resolve()
        },
      }
      signal?.addEventListener('abort', leave, { once: true })
      // Those who want to be alone come first: a queue of tests would keep them waiting to the end.
      const at = alone ? this.waiting.findIndex((one) => !one.alone) : -1
      this.waiting.splice(at < 0 ? this.waiting.length : at, 0, entry)
      this.wake()
    })
  }

  private wake(): void {
    while (this.waiting.length > 0 && !this.isAlone) {
      const [next] = this.waiting as [Waiting]
      if (next.alone && this.together > 0) return
      this.waiting.shift()
      if (next.alone) this.isAlone = true
      else this.together++
      next.start()
    }
  }
}
