import { type FileHandle, open } from 'node:fs/promises'
import { outputFailure } from './outputDirectory.js'
import { readFailure } from './readSmallFile.js'

/** How long a line may be on its way to the disk. A process that dies loses nothing of it, a machine does. */
const syncMilliseconds = 2000
const newline = 0x0a
const chunkBytes = 2 ** 20

/** A line of a file, where it stands, and its length without the newline. */
export interface Line {
  text: string
  offset: number
  bytes: number
}

/**
 * The lines of a file that end in a newline, which alone separates them; nothing of a file that is not there. What follows the
 * last newline was cut off and is left out, unless `rest` is true: files of others may end without one.
 *
 * @throws ERR_FILE_READ; the signal's reason after an abort
 */
export async function* readLines(path: string, signal?: AbortSignal | undefined, rest = false): AsyncGenerator<Line> {
  const handle = await open(path, 'r').catch((cause) => {
    if (cause.code === 'ENOENT') return undefined
    throw readFailure(path, cause)
  })
  if (!handle) return
  try {
    let [position, begin] = [0, 0]
    let parts: Buffer[] = []
    for (;;) {
      signal?.throwIfAborted()
      const chunk = Buffer.allocUnsafe(chunkBytes)
      const { bytesRead } = await handle.read(chunk, 0, chunkBytes, position).catch((cause) => {
        throw readFailure(path, cause)
      })
      if (bytesRead === 0) {
        const line = Buffer.concat(parts)
        if (rest && line.length > 0) yield { text: line.toString('utf8'), offset: begin, bytes: line.length }
        return
      }
      let from = 0
      for (;;) {
        const end = chunk.subarray(0, bytesRead).indexOf(newline, from)
        if (end < 0) break
        parts.push(chunk.subarray(from, end))
        const line = Buffer.concat(parts)
        yield { text: line.toString('utf8'), offset: begin, bytes: line.length }
        parts = []
        from = end + 1
        begin = position + from
      }
      if (from < bytesRead) parts.push(chunk.subarray(from, bytesRead))
      position += bytesRead
    }
  } finally {
    await handle.close()
  }
}

/** Appends lines to a file. One writer at a time: {@link claimDirectory} sees to it. */
export class LineAppender {
  private waiting: string[] = []
  private writing: Promise<void> | undefined
  private failure: Error | undefined
  private unsynced = false
  private readonly timer: NodeJS.Timeout

  private constructor(
    readonly path: string,
    private readonly handle: FileHandle,
  ) {
    this.timer = setInterval(() => this.syncSoon(), syncMilliseconds)
    this.timer.unref()
  }

  /**
   * Opens a file, which need not be there, and cuts off what follows its last newline: a line that a process died over.
   *
   * @throws ERR_OUTPUT_WRITE
   */
  static async open(path: string): Promise<LineAppender> {
    try {
      const handle = await open(path, 'a+')
      try {
        const { size } = await handle.stat()
        const end = await endOfLastLine(handle, size)
        if (end < size) await handle.truncate(end)
      } catch (error) {
        await handle.close()
        throw error
      }
      return new LineAppender(path, handle)
    } catch (error) {
      throw outputFailure(path, error as NodeJS.ErrnoException)
    }
  }

  /**
   * Resolves when the line is with the operating system: the end of this process does not lose it.
   *
   * @throws ERR_OUTPUT_WRITE or ERR_DISK_FULL, for this line and all that follow
   */
  async append(text: string): Promise<void> {
    if (this.failure) throw this.failure
    this.waiting.push(text)
    this.writing ??= this.write()
    await this.writing
  }

  private async write(): Promise<void> {
    // Lines that come in the same turn are written in one call.
    await undefined
    try {
      while (this.waiting.length > 0) {
        const text = `${this.waiting.join('\n')}\n`
        this.waiting = []
        await this.handle.appendFile(text)
        this.unsynced = true
      }
    } catch (error) {
      this.failure = outputFailure(this.path, error as NodeJS.ErrnoException)
      throw this.failure
    } finally {
      this.writing = undefined
    }
  }

  private syncSoon(): void {
    if (!this.unsynced) return
    this.unsynced = false
    this.handle.datasync().catch((error) => {
      this.failure ??= outputFailure(this.path, error as NodeJS.ErrnoException)
    })
  }

  /**
   * Waits for what is on its way, to the disk.
   *
   * @throws ERR_OUTPUT_WRITE or ERR_DISK_FULL, also of a line before
   */
  async close(): Promise<void> {
    clearInterval(this.timer)
    try {
      await this.writing
      if (!this.failure) await this.handle.datasync()
    } catch (error) {
      this.failure ??= outputFailure(this.path, error as NodeJS.ErrnoException)
    } finally {
      await this.handle.close()
    }
    if (this.failure) throw this.failure
  }
}

/** Just behind the last newline; 0 where there is none. */
async function endOfLastLine(handle: FileHandle, size: number): Promise<number> {
  const chunk = Buffer.allocUnsafe(chunkBytes)
  for (let end = size; end > 0; ) {
    const begin = Math.max(0, end - chunkBytes)
    const { bytesRead } = await handle.read(chunk, 0, end - begin, begin)
    const found = chunk.subarray(0, bytesRead).lastIndexOf(newline)
    if (found >= 0) return begin + found + 1
    end = begin
  }
  return 0
}
