import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { BranchMergeError } from '../errors.js'
import { packageRoot } from '../files/packageRoot.js'

export interface WorkerPoolOptions {
  /** The compiled file that each thread runs, from `dist`; it answers by {@link answerInThread}. */
  file: string
  /** What the threads do, for the message when one fails: `encodes rows`. */
  does: string
  /** What each thread is made with. */
  workerData: unknown
  threads: number
  /** Its abort ends what the threads are at and rejects with its reason. */
  signal: AbortSignal | undefined
}

interface Task<Input, Output> {
  input: Input
  resolve(output: Output): void
  reject(error: unknown): void
}

/** Threads that all do the same work. Each piece goes to the next one that is idle. */
export class WorkerPool<Input, Output> {
  /** Pieces that may be under way at once before memory is wasted on them. */
  readonly width: number
  private readonly workers: Worker[]
  private readonly idle: Worker[] = []
  private readonly tasks = new Map<Worker, Task<Input, Output>>()
  private readonly waiting: Task<Input, Output>[] = []
  private failure: unknown
  private readonly abort = () => this.fail(this.options.signal?.reason)

  constructor(private readonly options: WorkerPoolOptions) {
    const { threads, signal } = options
    this.width = 2 * threads
    signal?.addEventListener('abort', this.abort)
    // An abort that came before is told to nobody.
    if (signal?.aborted) this.failure = signal.reason
    this.workers = Array.from({ length: threads }, () => this.start())
    this.idle.push(...this.workers)
  }

  private start(): Worker {
    const { file, does, workerData } = this.options
    // Threads run the compiled file, also where the sources are run themselves.
    const worker = new Worker(join(packageRoot, 'dist', file), { workerData })
    worker.on('message', (output: Output) => {
      this.tasks.get(worker)?.resolve(output)
      this.tasks.delete(worker)
      this.idle.push(worker)
      this.next()
    })
    worker.on('error', (cause) => {
      this.fail(new BranchMergeError('ERR_INTERNAL', `A thread that ${does} failed: ${cause.message}`, { cause }))
    })
    return worker
  }

  run(input: Input): Promise<Output> {
    const output = new Promise<Output>((resolve, reject) => {
      this.waiting.push({ input, resolve, reject })
      this.next()
    })
    // A failure reaches whoever awaits the first piece; the others may never be awaited.
    output.catch(() => {})
    return output
  }

  private next(): void {
    if (this.failure) this.fail(this.failure)
    while (this.idle.length > 0 && this.waiting.length > 0) {
      const [worker, task] = [this.idle.pop() as Worker, this.waiting.shift() as Task<Input, Output>]
      this.tasks.set(worker, task)
      worker.postMessage(task.input)
    }
  }

  private fail(error: unknown): void {
    this.failure ??= error
    for (const task of [...this.tasks.values(), ...this.waiting]) task.reject(this.failure)
    this.tasks.clear()
    this.waiting.length = 0
  }

  async close(): Promise<void> {
    const { signal, does } = this.options
    signal?.removeEventListener('abort', this.abort)
    this.fail(new BranchMergeError('ERR_INTERNAL', `The threads of which each ${does} were closed`))
    await Promise.all(this.workers.map((worker) => worker.terminate()))
  }
}
