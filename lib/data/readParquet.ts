import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { BranchMergeError } from '../errors.js'
import { packageRoot } from '../files/packageRoot.js'
import type { ParquetOutline, ParquetRow } from './parquetFile.js'
import type { ParquetAnswer, ParquetWorkerData } from './parquetWorker.js'
import type { RawRow } from './rawRow.js'
import type { SourceFile } from './sourceFiles.js'

/** What the slowest disk and machine could need, and more: only a decoder that a damaged file has trapped takes longer. */
const patienceSeconds = 60
const patienceSecondsPerMegabyte = 2
/** The parts in which its time is counted: a process that was stopped meanwhile (Ctrl+Z) loses one of them, and no more. */
const patienceTicks = 20
/** JavaScript objects of a row group; groups are tens of megabytes, a few have a gigabyte. */
const maxHeapMegabytes = 8192

/**
 * Rows of a Parquet file, a row group at a time; only `columns` are read, all without it.
 *
 * @param patience - seconds for a row group; for tests
 * @throws ERR_DATA when the file is damaged or cannot be read: what is behind the damage cannot be found
 */
export async function* readParquet(
  file: SourceFile,
  columns: readonly string[] | undefined,
  patience = patienceSeconds,
): AsyncGenerator<RawRow[]> {
  const thread = new ParquetThread(file, columns, patience)
  try {
    const { groups } = await thread.outline()
    let [first, bytesRead] = [0, 0]
    for (const [index, { bytes }] of groups.entries()) {
      const rows = await thread.group(index, bytes)
      bytesRead = Math.min(file.bytes, bytesRead + bytes)
      yield rows.map((row, i) => ({ ...row, row: first + i, line: undefined, bytesRead }))
      first += rows.length
    }
  } finally {
    await thread.end()
  }
}

/** Names of the columns of a Parquet file. */
export async function readParquetColumns(file: SourceFile): Promise<string[]> {
  const thread = new ParquetThread(file, [], patienceSeconds)
  try {
    return (await thread.outline()).columns
  } finally {
    await thread.end()
  }
}

/** Decodes in a thread of its own, which can be ended whatever a damaged file has done to it. */
class ParquetThread {
  private readonly worker: Worker
  private settle: ((answer: ParquetAnswer) => void) | undefined

  constructor(
    private readonly file: SourceFile,
    columns: readonly string[] | undefined,
    private readonly patience: number,
  ) {
    const workerData: ParquetWorkerData = { path: file.path, bytes: file.bytes, columns }
    // Threads run the compiled file, also where the sources are run themselves.
    this.worker = new Worker(join(packageRoot, 'dist/data/parquetWorker.js'), {
      workerData,
      resourceLimits: { maxOldGenerationSizeMb: maxHeapMegabytes },
    })
    this.worker.on('message', (answer: ParquetAnswer) => this.settle?.(answer))
    this.worker.on('error', ({ message }) => this.settle?.({ failure: message }))
  }

  outline(): Promise<ParquetOutline> {
    return this.ask<ParquetOutline>(-1, 'footer', this.patience)
  }

  group(index: number, bytes: number): Promise<ParquetRow[]> {
    const seconds = this.patience + (patienceSecondsPerMegabyte * bytes) / 1e6
    return this.ask(index, `row group ${index}`, Math.min(seconds, 24 * 3600))
  }

  async end(): Promise<void> {
    await this.worker.terminate()
  }

  private async ask<T>(request: number, part: string, seconds: number): Promise<T> {
    const answer = await new Promise<ParquetAnswer>((resolve) => {
      let ticks = 0
      const timer = setInterval(
        () => {
          if (++ticks > patienceTicks) this.settle?.({ failure: `it takes more than ${Math.round(seconds)} s` })
        },
        (seconds * 1000) / patienceTicks,
      )
      this.settle = (given) => {
        clearInterval(timer)
        resolve(given)
      }
      this.worker.postMessage(request)
    })
    if ('value' in answer) return answer.value as T
    throw new BranchMergeError(
      'ERR_DATA',
      `Expected a whole Parquet file at ${this.file.path}, but its ${part} cannot be read: ${answer.failure}`,
    )
  }
}
