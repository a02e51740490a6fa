import { createHash, type Hash } from 'node:crypto'
import { type FileHandle, open, rename, rm } from 'node:fs/promises'
import { write } from './durableFiles.js'
import { newToken, partialSuffix } from './owners.js'

/** A file that is written from beginning to end under a temporary name, and has its own when all of it is on the disk. */
export class NewFile {
  private readonly hash: Hash = createHash('sha256')
  private written = 0
  private open = true

  private constructor(
    readonly path: string,
    readonly temporary: string,
    private readonly handle: FileHandle,
  ) {}

  /** @throws ERR_OUTPUT_WRITE */
  static async create(path: string): Promise<NewFile> {
    const temporary = `${path}.${newToken()}${partialSuffix}`
    return new NewFile(path, temporary, await write(path, () => open(temporary, 'wx')))
  }

  get bytes(): number {
    return this.written
  }

  /** @throws ERR_OUTPUT_WRITE or ERR_DISK_FULL */
  async append(bytes: Uint8Array): Promise<void> {
    this.hash.update(bytes)
    this.written += bytes.length
    await write(this.path, () => this.handle.appendFile(bytes))
  }

  /**
   * Brings all of it to the disk; nothing can be appended afterwards.
   *
   * @returns SHA-256, lower-case hexadecimal digits
   * @throws ERR_OUTPUT_WRITE or ERR_DISK_FULL
   */
  async complete(): Promise<string> {
    await write(this.path, () => this.handle.sync())
    await this.close()
    return this.hash.digest('hex')
  }

  /** Gives it its name, in place of what had it. */
  async publish(): Promise<void> {
    await write(this.path, () => rename(this.temporary, this.path))
  }

  /** Removes it, unless it was published. */
  async discard(): Promise<void> {
    await this.close().catch(() => {}) // a failure to write was told before
    await rm(this.temporary, { force: true })
  }

  private async close(): Promise<void> {
    if (!this.open) return
    this.open = false
    await write(this.path, () => this.handle.close())
  }
}
