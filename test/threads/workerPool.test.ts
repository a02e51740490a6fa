import { expect, test } from 'vitest'
import { WorkerPool } from '../../lib/threads/workerPool.js'

function openPool(threads: number, failsAt?: number, signal?: AbortSignal): WorkerPool<number, number> {
  const [file, does] = ['../test/threads/echoWorker.js', 'says numbers']
  return new WorkerPool({ file, does, workerData: { failsAt }, threads, signal })
}

test('every piece has the answer of its own, whatever thread is first', async () => {
  const pool = openPool(3)
  const numbers = Array.from({ length: 30 }, (_, i) => i)
  expect(await Promise.all(numbers.map((number) => pool.run(number)))).toEqual(numbers)
  await pool.close()
})

test('a thread that fails fails all that is asked, with its message', async () => {
  const pool = openPool(2, 4)
  const results = await Promise.allSettled([1, 4, 5].map((number) => pool.run(number)))
  expect(results.at(1)).toMatchObject({
    status: 'rejected',
    reason: { code: 'ERR_INTERNAL', message: 'A thread that says numbers failed: no 4' },
  })
  await expect(pool.run(6)).rejects.toMatchObject({ code: 'ERR_INTERNAL' })
  await pool.close()
})

test('an abort rejects with its reason, before and meanwhile', async () => {
  const abort = new AbortController()
  const pool = openPool(1, undefined, abort.signal)
  const asked = pool.run(1)
  abort.abort(new Error('enough'))
  await expect(asked).rejects.toThrow('enough')
  await pool.close()
  const late = openPool(1, undefined, abort.signal)
  await expect(late.run(1)).rejects.toThrow('enough')
  await late.close()
})
