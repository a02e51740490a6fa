import { fromNative } from '../errors.js'
import type { NativeJob } from './native.js'

type Callback<A extends unknown[]> = (...values: A) => void

/**
 * Wraps a callback of the user: when it throws, or returns a promise that rejects, the job is cancelled and {@link runJob}
 * rejects with that.
 */
export type Guard = <A extends unknown[]>(callback: Callback<A> | undefined) => Callback<A> | undefined

/**
 * Runs a native job to its end.
 *
 * @throws the signal's reason after an abort, what a guarded callback threw, or a BranchMergeError.
 */
export async function runJob<T>(start: (guard: Guard) => NativeJob<T>, signal: AbortSignal | undefined): Promise<T> {
  signal?.throwIfAborted()
  const state: { job?: NativeJob<T>; thrown?: { error: unknown }; ended?: true } = {}
  const cancel = () => state.job?.cancel()
  const guard: Guard = (callback) =>
    callback &&
    ((...values) => {
      if (state.thrown) return
      const fail = (error: unknown) => {
        // A promise that rejects when the job has ended has nobody else to tell.
        if (state.ended) throw error
        state.thrown ??= { error }
        cancel()
      }
      try {
        const returned: unknown = callback(...values)
        if (returned instanceof Promise) returned.catch(fail)
      } catch (error) {
        fail(error)
      }
    })
  try {
    state.job = start(guard)
    signal?.addEventListener('abort', cancel, { once: true })
    const result = await state.job.promise
    if (state.thrown) throw state.thrown.error
    return result
  } catch (error) {
    if (state.thrown) throw state.thrown.error
    signal?.throwIfAborted()
    throw fromNative(error)
  } finally {
    state.ended = true
    signal?.removeEventListener('abort', cancel)
  }
}
