import { type FileHandle, open, unlink } from 'node:fs/promises'
import { deserialize, serialize } from 'node:v8'
import { write } from '../../files/durableFiles.js'
import { newToken, partialSuffix } from '../../files/owners.js'
import { readFailure } from '../../files/readSmallFile.js'

const bufferBytes = 2 ** 20
const lengthBytes = 4

/**
 * Values on the disk instead of in memory. The file has no name while it is used, so nothing is left of it whatever happens to
 * the process.
 */
export class Spill<T> {
  private waiting: Buffer[] = []
  private waitingBytes = 0
  private written = 0

  private constructor(
    private readonly path: string,
    private readonly handle: FileHandle,
  ) {}

  /**
   * @param beside - a path in the directory whose disk it shall use
   * @throws ERR_OUTPUT_WRITE
   */
  static async create<T>(beside: string): Promise<Spill<T>> {
    const path = `${beside}.${newToken()}${partialSuffix}`
    return await write(path, async () => {
      const handle = await open(path, 'wx+')
      await unlink(path)
      return new Spill<T>(path, handle)
    })
  }

  /**
   * Returns where the value stands.
   *
   * @throws ERR_OUTPUT_WRITE or ERR_DISK_FULL
   */
  async add(value: T): Promise<number> {
    const bytes = serialize(value)
    const length = Buffer.alloc(lengthBytes)
    length.writeUInt32LE(bytes.length)
    const offset = this.written + this.waitingBytes
    this.waiting.push(length, bytes)
    this.waitingBytes += lengthBytes + bytes.length
    if (this.waitingBytes >= bufferBytes) await this.flush()
    return offset
  }

  /** The value that stands there. */
  async at(offset: number): Promise<T> {
    await this.flush()
    const length = (await this.read(offset, lengthBytes)).readUInt32LE()
    return deserialize(await this.read(offset + lengthBytes, length)) as T
  }

  /** All values in their order. */
  async *all(): AsyncGenerator<T> {
    await this.flush()
    let rest: Buffer = Buffer.alloc(0)
    for (let offset = 0; offset < this.written; ) {
      const chunk = await this.read(offset, Math.min(bufferBytes, this.written - offset))
      offset += chunk.length
      rest = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk
      while (rest.length >= lengthBytes) {
        const length = rest.readUInt32LE()
        if (rest.length < lengthBytes + length) {
          const missing = lengthBytes + length - rest.length
          if (missing <= bufferBytes) break
          rest = Buffer.concat([rest, await this.read(offset, missing)])
          offset += missing
        }
        yield deserialize(rest.subarray(lengthBytes, lengthBytes + length)) as T
        rest = rest.subarray(lengthBytes + length)
      }
    }
  }

  async close(): Promise<void> {
    await this.handle.close()
  }

  private async flush(): Promise<void> {
    if (this.waitingBytes === 0) return
    const bytes = Buffer.concat(this.waiting)
    this.waiting = []
    this.waitingBytes = 0
    await write(this.path, () => this.handle.appendFile(bytes))
    this.written += bytes.length
  }

  private async read(offset: number, length: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(length)
    const { bytesRead } = await this.handle.read(buffer, 0, length, offset).catch((cause) => {
      throw readFailure(this.path, cause)
    })
    return buffer.subarray(0, bytesRead)
  }
}
