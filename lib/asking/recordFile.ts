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

/** Records are read together where less than this lies between them, and as long as they are no more than {@link runBytes}. */
const gapBytes = 2 ** 16
const runBytes = 2 ** 22

/** Records that were found before, read by their places. */
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

  /** @throws ERR_FILE_READ; ERR_FILE_CHANGED */
  async read<T>(place: Place): Promise<T> {
    return this.parsed((await this.bytesOf(place)).toString('utf8'))
  }

  /** Several, in the order of the places; neighbours in the file in one call. @throws ERR_FILE_READ; ERR_FILE_CHANGED */
  async readAll<T>(places: readonly Place[]): Promise<T[]> {
    const order = [...places.keys()].sort((a, b) => (places[a] as Place).offset - (places[b] as Place).offset)
    const records = new Array<T>(places.length)
    for (let from = 0; from < order.length; ) {
      const { offset } = places[order[from] as number] as Place
      let [to, end] = [from, offset]
      for (; to < order.length; to++) {
        const next = places[order[to] as number] as Place
        if (to > from && (next.offset - end > gapBytes || next.offset + next.bytes - offset > runBytes)) break
        end = Math.max(end, next.offset + next.bytes)
      }
      const run = await this.bytesOf({ offset, bytes: end - offset })
      for (const i of order.slice(from, to)) {
        const { offset: begin, bytes } = places[i] as Place
        records[i] = this.parsed(run.toString('utf8', begin - offset, begin - offset + bytes))
      }
      from = to
    }
    return records
  }

  private async bytesOf({ offset, bytes }: Place): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(bytes)
    const { bytesRead } = await this.handle.read(buffer, 0, bytes, offset).catch((cause) => {
      throw readFailure(this.path, cause)
    })
    if (bytesRead < bytes) throw this.changed()
    return buffer
  }

  private parsed<T>(text: string): T {
    const record = parse(text)
    if (record === undefined) throw this.changed()
    return record as T
  }

  private changed(): BranchMergeError {
    return new BranchMergeError('ERR_FILE_CHANGED', `${this.path} was changed while it was read`)
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
