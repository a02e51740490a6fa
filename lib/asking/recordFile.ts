import { type FileHandle, open } from 'node:fs/promises'
import { BranchMergeError } from '../errors.js'
import { readLines } from '../files/appendLines.js'
import { readFailure } from '../files/readSmallFile.js'
import { isMapping } from '../validate.js'

export interface ReadOptions {
  signal?: AbortSignal | undefined
  /** Called for each line that is no record of ours: a disk that lost power leaves such. */
  onDamage?: (() => void) | undefined
}

/** The records of a file of lines, in the order in which they came; nothing where there is no file. */
export async function* readRecords<T>(path: string, options: ReadOptions = {}): AsyncGenerator<T> {
  for await (const { record } of readPlacedRecords<T>(path, options)) yield record
}

/** Where a line lies in its file, in bytes. */
export interface Place {
  offset: number
  bytes: number
}

/** The records, each with the place of its line. */
export async function* readPlacedRecords<T>(
  path: string,
  { signal, onDamage }: ReadOptions = {},
): AsyncGenerator<Place & { record: T }> {
  for await (const { text, offset, bytes } of readLines(path, signal)) {
    const record = parse(text)
    if (isMapping(record) && record.v === 1 && typeof record.key === 'string') {
      yield { record: record as T, offset, bytes }
    } else onDamage?.()
  }
}

/** Records that were found before, read one by one. */
export class RecordReader {
  private constructor(
    private readonly path: string,
    private readonly handle: FileHandle,
  ) {}

  /** @throws ERR_FILE_READ */
  static async open(path: string): Promise<RecordReader> {
    try {
      return new RecordReader(path, await open(path, 'r'))
    } catch (cause) {
      throw readFailure(path, cause as Error)
    }
  }

  async read<T>({ offset, bytes }: Place): Promise<T> {
    const buffer = Buffer.allocUnsafe(bytes)
    const { bytesRead } = await this.handle.read(buffer, 0, bytes, offset).catch((cause) => {
      throw readFailure(this.path, cause)
    })
    const record = bytesRead === bytes ? parse(buffer.toString('utf8')) : undefined
    if (record !== undefined) return record as T
    throw new BranchMergeError('ERR_FILE_CHANGED', `${this.path} was changed while it was read`)
  }

  async close(): Promise<void> {
    await this.handle.close()
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
