import { WorkerPool } from '../threads/workerPool.js'
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
  return threads > 1 ? new OtherThreads(encoder, threads, signal) : new OwnThread(encoder, signal)
}

/** A row of more is not encoded in the thread that hears signals. */
const [maxMessages, maxCharacters] = [200, 2 ** 18]
/** Signals and progress get their turn as often. */
const maxBusyMilliseconds = 50

const isLarge = ({ messages }: Conversation): boolean =>
  messages.length > maxMessages || messages.reduce((sum, { content }) => sum + content.length, 0) > maxCharacters

class OwnThread implements EncodePool {
  readonly width = 1
  private forLarge: OtherThreads | undefined
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
        this.forLarge ??= new OtherThreads(this.encoder, 1, this.signal)
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

class OtherThreads implements EncodePool {
  readonly width: number
  private readonly pool: WorkerPool<Conversation[], EncodedRow[]>

  constructor({ encoding }: Encoder, threads: number, signal: AbortSignal | undefined) {
    const [file, does] = ['data/encodeWorker.js', 'encodes rows']
    this.pool = new WorkerPool({ file, does, workerData: encoding, threads, signal })
    this.width = this.pool.width
  }

  encode(conversations: Conversation[]): Promise<EncodedRow[]> {
    return this.pool.run(conversations)
  }

  async close(): Promise<void> {
    await this.pool.close()
  }
}
