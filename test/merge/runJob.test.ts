import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { runJob } from '../../lib/native/runJob.js'

/** A job as the addon makes them: it ends when told to, or with ERR_CANCELLED after cancel(). */
function controlledJob() {
  const { promise, resolve, reject } = withResolvers<string>()
  const calls = { cancelled: 0 }
  const cancel = () => {
    calls.cancelled++
    reject(Object.assign(new Error('cancelled'), { code: 'ERR_CANCELLED' }))
  }
  return { job: { promise, cancel }, resolve, reject, calls }
}

function withResolvers<T>() {
  let settle: { resolve: (value: T) => void; reject: (error: unknown) => void } | undefined
  const promise = new Promise<T>((resolve, reject) => {
    settle = { resolve, reject }
  })
  return { promise, resolve: (value: T) => settle?.resolve(value), reject: (error: unknown) => settle?.reject(error) }
}

const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length

test('resolves with the result and leaves no listener', async () => {
  const { job, resolve } = controlledJob()
  const { signal } = new AbortController()
  const result = runJob(() => job, signal)
  expect(listeners(signal)).toBe(1)
  resolve('done')
  expect(await result).toBe('done')
  expect(listeners(signal)).toBe(0)
})

test("an abort cancels the job and rejects with the signal's own reason", async () => {
  const { job, calls } = controlledJob()
  const controller = new AbortController()
  const reason = new RangeError('enough')
  const result = runJob(() => job, controller.signal)
  controller.abort(reason)
  await expect(result).rejects.toBe(reason)
  expect(calls.cancelled).toBe(1)
  expect(listeners(controller.signal)).toBe(0)
})

test('an aborted signal starts nothing', async () => {
  const start = () => {
    throw new Error('started')
  }
  await expect(runJob(start, AbortSignal.abort('why'))).rejects.toBe('why')
})

test('a native error becomes a BranchMergeError with the code, the cause and a stack of the caller', async () => {
  const { job, reject } = controlledJob()
  const cause = Object.assign(new Error('w is NaN'), { code: 'ERR_NON_FINITE' })
  async function userFunction() {
    await runJob(() => job, undefined)
  }
  const outcome = userFunction().catch((error) => error)
  setImmediate(() => reject(cause))
  const error = await outcome
  expect(error).toMatchObject({ name: 'BranchMergeError', code: 'ERR_NON_FINITE', message: 'w is NaN', cause })
  expect(error.stack).toContain('userFunction')
})

test('an error thrown when the job starts is converted too', async () => {
  const start = () => {
    throw Object.assign(new Error('no'), { code: 'ERR_UNAVAILABLE' })
  }
  await expect(runJob(start, undefined)).rejects.toMatchObject({ name: 'BranchMergeError', code: 'ERR_UNAVAILABLE' })
})

test('a callback that throws cancels the job, is not called again, and its error is the outcome', async () => {
  const { job, calls } = controlledJob()
  const seen: number[] = []
  const mine = new Error('mine')
  let callback: ((value: number) => void) | undefined
  const result = runJob((guard) => {
    callback = guard((value: number) => {
      seen.push(value)
      throw mine
    })
    return job
  }, undefined)
  callback?.(1)
  callback?.(2)
  await expect(result).rejects.toBe(mine)
  expect(seen).toEqual([1])
  expect(calls.cancelled).toBe(1)
})

test('a callback that throws at the very end still fails the call', async () => {
  const { job, resolve } = controlledJob()
  const result = runJob((guard) => {
    const callback = guard(() => {
      throw new Error('late')
    })
    resolve('done')
    callback?.()
    return job
  }, undefined)
  await expect(result).rejects.toThrow('late')
})

test('a guarded callback whose promise rejects cancels the job, as one that throws does', async () => {
  const { job, calls } = controlledJob()
  let callback: (() => void) | undefined
  const result = runJob((guard) => {
    callback = guard(() => Promise.reject(new RangeError('no more')))
    return job
  }, undefined)
  callback?.()
  await expect(result).rejects.toThrow('no more')
  expect(calls.cancelled).toBe(1)
})
