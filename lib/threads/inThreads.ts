import type { WorkerPool } from './workerPool.js'

/** What the threads of a pool make of items, in the order of these. Each thread gets several parts: items take different times. */
export async function inThreads<Item, Result>(
  pool: WorkerPool<Item[], Result[]>,
  items: readonly Item[],
): Promise<Result[]> {
  const length = Math.max(1, Math.ceil(items.length / (2 * pool.width)))
  const parts: Promise<Result[]>[] = []
  for (let begin = 0; begin < items.length; begin += length) parts.push(pool.run(items.slice(begin, begin + length)))
  return (await Promise.all(parts)).flat()
}
