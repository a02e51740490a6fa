/** Time as the client sees it, so that tests need not wait. */
export interface Clock {
  /** Milliseconds that only grow. */
  now(): number
  /** Calls back after so many milliseconds, unless the function that is returned is called before. */
  after(milliseconds: number, callback: () => void): () => void
  /** In [0, 1). */
  random(): number
}

/** Node takes a longer delay for none. */
const longestTimer = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => performance.now(),
  after(milliseconds, callback) {
    const timer = setTimeout(callback, Math.min(Math.max(0, milliseconds), longestTimer))
    return () => clearTimeout(timer)
  },
  random: () => Math.random(),
}

/** @throws the signal's reason after an abort */
export function sleep(clock: Clock, milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason)
    const abort = () => {
      cancel()
      reject(signal?.reason)
    }
    const cancel = clock.after(milliseconds, () => {
      signal?.removeEventListener('abort', abort)
      resolve()
    })
    signal?.addEventListener('abort', abort, { once: true })
  })
}
