import { readLines } from '../files/appendLines.js'
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

/** The records with the byte at which the line of each begins. */
export async function* readPlacedRecords<T>(
  path: string,
  { signal, onDamage }: ReadOptions = {},
): AsyncGenerator<{ record: T; offset: number }> {
  for await (const { text, offset } of readLines(path, signal)) {
    const record = parse(text)
    if (isMapping(record) && record.v === 1 && typeof record.key === 'string') yield { record: record as T, offset }
    else onDamage?.()
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
