import { parentPort, workerData } from 'node:worker_threads'
import { ParquetFile } from './parquetFile.js'

/** What the thread is made with. */
export interface ParquetWorkerData {
  path: string
  bytes: number
  columns: readonly string[] | undefined
}

/** A request is the number of a row group, or -1 for the outline; an answer is what it asked for, or why there is none. */
export type ParquetAnswer = { value: unknown } | { failure: string }

const { path, bytes, columns } = workerData as ParquetWorkerData
const opened = ParquetFile.open(path, bytes)
opened.catch(() => {}) // every request tells

parentPort?.on('message', async (group: number) => {
  parentPort?.postMessage(await answer(group))
})

async function answer(group: number): Promise<ParquetAnswer> {
  try {
    const file = await opened
    return { value: group < 0 ? file.outline : await file.readGroup(group, columns) }
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) }
  }
}
