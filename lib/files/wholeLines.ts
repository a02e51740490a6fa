import { NewFile } from './newFile.js'

/** Lines are written when so many characters are there. */
const portionCharacters = 2 ** 18

/** A file of lines that is there as a whole or not at all. Every call throws ERR_OUTPUT_WRITE or ERR_DISK_FULL. */
export class WholeLines {
  rows = 0
  private waiting: string[] = []
  private characters = 0

  private constructor(private readonly file: NewFile) {}

  static async create(path: string): Promise<WholeLines> {
    return new WholeLines(await NewFile.create(path))
  }

  get path(): string {
    return this.file.path
  }

  get bytes(): number {
    return this.file.bytes
  }

  async add(line: string): Promise<void> {
    this.rows++
    this.waiting.push(line)
    this.characters += line.length
    if (this.characters >= portionCharacters) await this.write()
  }

  /** Brings all of it to the disk. Gives the SHA-256. */
  async complete(): Promise<string> {
    await this.write()
    return await this.file.complete()
  }

  /** Gives it its name. */
  publish(): Promise<void> {
    return this.file.publish()
  }

  /** Removes it, unless it was published. */
  discard(): Promise<void> {
    return this.file.discard()
  }

  private async write(): Promise<void> {
    if (this.waiting.length === 0) return
    const bytes = Buffer.from(`${this.waiting.join('\n')}\n`)
    this.waiting = []
    this.characters = 0
    await this.file.append(bytes)
  }
}
