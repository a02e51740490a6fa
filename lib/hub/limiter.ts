import { setMaxListeners } from 'node:events'

/** Lets so many work at the same time; the others wait in the order in which they came. */
export class Limiter {
  private running = 0
  private readonly waiting: (() => void)[] = []

  constructor(private readonly most: number) {}

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.running >= this.most) await new Promise<void>((resolve) => this.waiting.push(resolve))
    else this.running++
    try {
      return await work()
    } finally {
      const next = this.waiting.shift()
      if (next) next()
      else this.running--
    }
  }
}

/**
 * Works on each item, all at once; after the first failure the signal that each was given is aborted. Waits for all.
 *
 * @throws the first failure
 */
export async function allOrAbort<T>(
  items: readonly T[],
  signal: AbortSignal | undefined,
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const controller = new AbortController()
  // Each request listens, and there are as many as files.
  setMaxListeners(0, controller.signal)
  const abort = () => controller.abort(signal?.reason)
  signal?.addEventListener('abort', abort, { once: true })
  if (signal?.aborted) abort()
  let failure: { error: unknown } | undefined
  await Promise.all(
    items.map((item) =>
      work(item, controller.signal).catch((error) => {
        failure ??= { error }
        controller.abort(error)
      }),
    ),
  )
  signal?.removeEventListener('abort', abort)
  if (failure) throw failure.error
}
