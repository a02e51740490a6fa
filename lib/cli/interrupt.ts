import { constants } from 'node:os'

/** What becomes of the work of a command that is interrupted. */
const outcomes = {
  removed: 'unfinished files were removed',
  kept: 'unfinished files were kept',
  sent: 'push again to go on: files that are whole at the Hub are not sent again',
} as const

type Outcome = keyof typeof outcomes

/** The user (or the system) asked the command to stop. */
export class Interrupted extends Error {
  constructor(
    readonly signal: 'SIGINT' | 'SIGTERM',
    outcome: Outcome,
  ) {
    super(`Interrupted by ${signal}; ${outcomes[outcome]}`)
  }

  /** As shells report a command that a signal ended: 130 for SIGINT. */
  get exitCode(): number {
    return 128 + constants.signals[this.signal]
  }
}

/**
 * Gives `work` an AbortSignal that the first SIGINT or SIGTERM aborts, so that it can clean up. The second one kills, as it
 * would without this. `outcome` is what becomes of its work then.
 */
export async function withInterrupt<T>(outcome: Outcome, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController()
  const release = () => {
    process.off('SIGINT', stop)
    process.off('SIGTERM', stop)
  }
  const stop = (signal: 'SIGINT' | 'SIGTERM') => {
    release()
    controller.abort(new Interrupted(signal, outcome))
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  try {
    return await work(controller.signal)
  } finally {
    release()
  }
}

/**
 * The first Ctrl-C asks nothing more and waits for the answers that are on their way, some of which took long; the second ends
 * at once, and so does SIGTERM.
 */
export async function withStop<T>(
  work: (signals: { signal: AbortSignal; stop: AbortSignal }) => Promise<T>,
): Promise<T> {
  const [stop, end] = [new AbortController(), new AbortController()]
  const onInterrupt = () => {
    if (stop.signal.aborted) end.abort(new Interrupted('SIGINT', 'kept'))
    else {
      const text = 'Asking nothing more, and waiting for answers that are on their way; Ctrl-C again ends at once'
      process.stderr.write(`\nbranchmerge: ${text}\n`)
      stop.abort(new Interrupted('SIGINT', 'kept'))
    }
  }
  const onTerminate = () => end.abort(new Interrupted('SIGTERM', 'kept'))
  process.on('SIGINT', onInterrupt)
  process.on('SIGTERM', onTerminate)
  try {
    return await work({ signal: end.signal, stop: stop.signal })
  } finally {
    process.off('SIGINT', onInterrupt)
    process.off('SIGTERM', onTerminate)
  }
}
