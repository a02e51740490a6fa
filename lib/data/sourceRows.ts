import { BadRow } from './badRow.js'
import { type Conversation, readConversation } from './conversation.js'
import type { EncodedDocument } from './encode.js'
import type { EncodePool } from './encodePool.js'
import type { OpenSource } from './openSources.js'
import { readRows } from './readRows.js'

/** A row of a source, read but not yet encoded. */
export interface ReadRow {
  /** In the source, from 0. */
  row: number
  file: string
  /** In the file, from 0. */
  fileRow: number
  /** Of a text file, from 1. */
  line: number | undefined
  /** Bytes of the source's files up to about here. */
  bytesRead: number
  /** Undefined where the row is left out by the source's filters, or cannot be used. */
  conversation: Conversation | undefined
  problem: string | undefined
}

/** What has become of a row. */
export interface RowOutcome extends ReadRow {
  /** None where the row is left out or cannot be used. */
  documents: EncodedDocument[]
}

/** Rows of a source in their order. */
export async function* sourceRows({ files, reader, columns }: OpenSource): AsyncGenerator<ReadRow> {
  let [before, bytesBefore] = [0, 0]
  for (const file of files) {
    let count = 0
    for await (const portion of readRows(file, columns)) {
      for (const { row, line, value, problem, bytesRead } of portion) {
        const place = { row: before + row, file: file.path, fileRow: row, line, bytesRead: bytesBefore + bytesRead }
        count = row + 1
        yield problem === undefined
          ? { ...place, ...tryConversation(value, reader) }
          : { ...place, conversation: undefined, problem }
      }
    }
    before += count
    bytesBefore += file.bytes
  }
}

function tryConversation(value: unknown, reader: OpenSource['reader']): Pick<ReadRow, 'conversation' | 'problem'> {
  try {
    return { conversation: readConversation(value, reader), problem: undefined }
  } catch (error) {
    if (error instanceof BadRow) return { conversation: undefined, problem: error.message }
    throw error
  }
}

/** A thread gets this much at once: enough to make the exchange cheap, little enough to keep all threads busy to the end. */
const [portionRows, portionCharacters] = [256, 2 ** 18]

/** Encodes the rows with a conversation; outcomes come in the order of the rows, on any number of threads. */
export async function* encodeInOrder(rows: AsyncIterable<ReadRow>, pool: EncodePool): AsyncGenerator<RowOutcome> {
  const underWay: Promise<RowOutcome[]>[] = []
  for await (const portion of portions(rows)) {
    const outcomes = encodePortion(portion, pool)
    outcomes.catch(() => {}) // awaited below, unless an earlier one fails
    underWay.push(outcomes)
    if (underWay.length >= pool.width) yield* await (underWay.shift() as Promise<RowOutcome[]>)
  }
  for (const outcomes of underWay) yield* await outcomes
}

async function* portions(rows: AsyncIterable<ReadRow>): AsyncGenerator<ReadRow[]> {
  let portion: ReadRow[] = []
  let characters = 0
  for await (const row of rows) {
    portion.push(row)
    for (const { content } of row.conversation?.messages ?? []) characters += content.length
    if (portion.length < portionRows && characters < portionCharacters) continue
    yield portion
    portion = []
    characters = 0
  }
  if (portion.length > 0) yield portion
}

async function encodePortion(portion: ReadRow[], pool: EncodePool): Promise<RowOutcome[]> {
  const conversations = portion.flatMap(({ conversation }) => (conversation ? [conversation] : []))
  const encoded = (await pool.encode(conversations)).values()
  return portion.map((row) => {
    if (!row.conversation) return { ...row, documents: [] }
    const result = encoded.next().value
    if (!result || 'problem' in result) return { ...row, documents: [], problem: result?.problem }
    return { ...row, documents: result.documents }
  })
}
