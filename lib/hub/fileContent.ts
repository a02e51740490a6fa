import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { BranchMergeError } from '../errors.js'
import { readFailure } from '../files/readSmallFile.js'

const readBytes = 2 ** 20

/**
 * A file, or a stretch of one, that @huggingface/hub sends: it is read as it goes. The library's own blob tells nobody how
 * much of it was sent, and does not see that a file has become shorter.
 */
export class FileContent extends Blob {
  private counted = 0

  /** @param onSent - is told bytes as they are sent, and those that are sent again as a negative number */
  constructor(
    private readonly path: string,
    private readonly begin: number,
    private readonly end: number,
    private readonly onSent: (bytes: number) => void,
  ) {
    super([])
    // A property of the class: an accessor cannot take its place.
    Object.defineProperty(this, 'size', { value: end - begin })
  }

  override slice(start = 0, end = this.size): FileContent {
    const from = Math.min(this.begin + start, this.end)
    return new FileContent(this.path, from, Math.max(from, Math.min(this.begin + end, this.end)), this.onSent)
  }

  /** @throws ERR_FILE_READ, ERR_FILE_CHANGED */
  override async arrayBuffer(): Promise<ArrayBuffer> {
    const bytes = new Uint8Array(this.size)
    const handle = await open(this.path, 'r').catch((cause) => {
      throw readFailure(this.path, cause)
    })
    try {
      for (let at = 0; at < bytes.length; ) {
        const { bytesRead } = await handle.read(bytes, at, bytes.length - at, this.begin + at)
        if (bytesRead === 0) throw this.shorter()
        at += bytesRead
      }
    } finally {
      await handle.close()
    }
    return bytes.buffer
  }

  override async text(): Promise<string> {
    return Buffer.from(await this.arrayBuffer()).toString('utf8')
  }

  override stream(): ReturnType<Blob['stream']> {
    return Readable.toWeb(Readable.from(this.chunks())) as ReturnType<Blob['stream']>
  }

  /** For the body of a request: what was counted of an earlier try counts no more. */
  send(): Readable {
    this.onSent(-this.counted)
    this.counted = 0
    return Readable.from(this.counting())
  }

  private async *counting(): AsyncGenerator<Buffer> {
    for await (const chunk of this.chunks()) {
      yield chunk
      this.counted += chunk.length
      this.onSent(chunk.length)
    }
  }

  private async *chunks(): AsyncGenerator<Buffer> {
    if (this.size === 0) return
    let left = this.size
    const from = createReadStream(this.path, { start: this.begin, end: this.end - 1, highWaterMark: readBytes })
    try {
      for await (const chunk of from as AsyncIterable<Buffer>) {
        left -= chunk.length
        yield chunk
      }
    } catch (cause) {
      throw readFailure(this.path, cause as NodeJS.ErrnoException)
    }
    if (left > 0) throw this.shorter()
  }

  private shorter(): BranchMergeError {
    return new BranchMergeError('ERR_FILE_CHANGED', `${this.path} became shorter while it was sent`)
  }
}
