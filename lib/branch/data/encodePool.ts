import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { BranchMergeError } from '../../errors.js'
import type { Conversation } from './conversation.js'
import type { Encoder } from './encode.js'
import { type EncodedRow, encodeRows } from './encodeRows.js'
import { packageRoot } from './packageRoot.js'

/** Encodes portions of rows; results come in the order of the calls' own promises, whatever the threads do. */
export interface EncodePool {
  /** Portions that may be under way at once before memory is wasted on them. */
  readonly width: number
  encode(conversations: Conversation[]): Promise<EncodedRow[]>
  close(): Promise<void>
}

/** One thread is this one; more are worker threads, each with a tokenizer of its own. */
export function openEncodePool(encoder: Encoder, threads: number): EncodePool {
  return threads > 1 ? new WorkerPool(encoder, threads) : new OwnThread(encoder)
}

class OwnThread implements EncodePool {
  readonly width = 1
  constructor(private readonly encoder: Encoder) {}

  async encode(conversations: Conversation[]): Promise<EncodedRow[]> {
    // Signals and progress get their turn between portions.
    await new Promise(setImmediate)
    return encodeRows(this.encoder, conversations)
  }

  async close(): Promise<void> {}
}

interface Task {
  conversations: Conversation[]
  resolve(rows: EncodedRow[]): void
  reject(error: unknown): void
}

class WorkerPool implements EncodePool {
  readonly width: number
  private readonly workers: Worker[]
  private readonly idle: Worker[] = []
  private readonly tasks = new Map<Worker, Task>()
  private readonly waiting: Task[] = []
  private failure: unknown

  constructor({ encoding }: Encoder, threads: number) {
    this.width = 2 * threads
    this.workers = Array.from({ length: threads }, () => this.start(encoding))
    this.idle.push(...this.workers)
  }

  private start(workerData: unknown): Worker {
    // Threads run the compiled file, also where the sources are run themselves.
    const worker = new Worker(join(packageRoot, 'dist/branch/data/encodeWorker.js'), { workerData })
    worker.on('message', (rows: EncodedRow[]) => {
      this.tasks.get(worker)?.resolve(rows)
      this.tasks.delete(worker)
      this.idle.push(worker)
      this.next()
    })
    worker.on('error', (cause) => {
      this.fail(new BranchMergeError('ERR_INTERNAL', `A thread that encodes rows failed: ${cause.message}`, { cause }))
    })
    return worker
  }

  encode(conversations: Conversation[]): Promise<EncodedRow[]> {
    const rows = new Promise<EncodedRow[]>((resolve, reject) => {
      this.waiting.push({ conversations, resolve, reject })
      this.next()
    })
    // A failure reaches whoever awaits the first portion; the others may never be awaited.
    rows.catch(() => {})
    return rows
  }

  private next(): void {
    if (this.failure) this.fail(this.failure)
    while (this.idle.length > 0 && this.waiting.length > 0) {
      const [worker, task] = [this.idle.pop() as Worker, this.waiting.shift() as Task]
      this.tasks.set(worker, task)
      worker.postMessage(task.conversations)
    }
  }

  private fail(error: unknown): void {
    this.failure = error
    for (const task of [...this.tasks.values(), ...this.waiting]) task.reject(error)
    this.tasks.clear()
    this.waiting.length = 0
  }

  async close(): Promise<void> {
    this.fail(new BranchMergeError('ERR_INTERNAL', 'The threads that encode rows were closed'))
    await Promise.all(this.workers.map((worker) => worker.terminate()))
  }
}
