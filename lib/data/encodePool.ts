import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { BranchMergeError } from '../errors.js'
import { packageRoot } from '../files/packageRoot.js'
import type { Conversation } from './conversation.js'
import type { Encoder } from './encode.js'
import { type EncodedRow, encodeRow } from './encodeRows.js'

/** Encodes portions of rows; results come in the order of the calls' own promises, whatever the threads do. */
export interface EncodePool {
  /** Portions that may be under way at once before memory is wasted on them. */
  readonly width: number
  encode(conversations: Conversation[]): Promise<EncodedRow[]>
  close(): Promise<void>
}

/**
 * One thread is this one, but for rows that would keep it from hearing signals; more are worker threads, each with a tokenizer
 * of its own.
 *
 * @param signal - its abort ends what the threads are at and rejects with its reason
 */
export function openEncodePool(encoder: Encoder, threads: number, signal: AbortSignal | undefined): EncodePool {
  return threads > 1 ? new WorkerPool(encoder, threads, signal) : new OwnThread(encoder, signal)
}

/** A row of more is not encoded in the thread that hears signals. */
const [maxMessages, maxCharacters] = [200, 2 ** 18]
/** Signals and progress get their turn as often. */
const maxBusyMilliseconds = 50

const isLarge = ({ messages }: Conversation): boolean =>
  messages.length > maxMessages || messages.reduce((sum, { content }) => sum + content.length, 0) > maxCharacters

class OwnThread implements EncodePool {
  readonly width = 1
  private forLarge: WorkerPool | undefined
  private lastTurn = 0

  constructor(
    private readonly encoder: Encoder,
    private readonly signal: AbortSignal | undefined,
  ) {}

  async encode(conversations: Conversation[]): Promise<EncodedRow[]> {
    const rows: EncodedRow[] = []
    for (const conversation of conversations) {
      await this.giveTurn()
      if (isLarge(conversation)) {
        this.forLarge ??= new WorkerPool(this.encoder, 1, this.signal)
        rows.push(...(await this.forLarge.encode([conversation])))
      } else rows.push(encodeRow(this.encoder, conversation))
    }
    return rows
  }

  private async giveTurn(): Promise<void> {
    if (performance.now() - this.lastTurn > maxBusyMilliseconds) {
      await new Promise(setImmediate)
      this.lastTurn = performance.now()
    }
    this.signal?.throwIfAborted()
  }

  async close(): Promise<void> {
    await this.forLarge?.close()
  }
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
  private readonly abort = () => this.fail(this.signal?.reason)

  constructor(
    { encoding }: Encoder,
    threads: number,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.width = 2 * threads
    signal?.addEventListener('abort', this.abort)
    // An abort that came before is told to nobody.
    if (signal?.aborted) this.failure = signal.reason
    this.workers = Array.from({ length: threads }, () => this.start(encoding))
    this.idle.push(...this.workers)
  }

  private start(workerData: unknown): Worker {
    // Threads run the compiled file, also where the sources are run themselves.
    const worker = new Worker(join(packageRoot, 'dist/data/encodeWorker.js'), { workerData })
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
    this.failure ??= error
    for (const task of [...this.tasks.values(), ...this.waiting]) task.reject(this.failure)
    this.tasks.clear()
    this.waiting.length = 0
  }

  async close(): Promise<void> {
    this.signal?.removeEventListener('abort', this.abort)
    this.fail(new BranchMergeError('ERR_INTERNAL', 'The threads that encode rows were closed'))
    await Promise.all(this.workers.map((worker) => worker.terminate()))
  }
}
