import type { RawRow } from '../../data/rawRow.js'
import { readRows } from '../../data/readRows.js'
import { isMapping } from '../../validate.js'
import type { Candidate } from '../candidate.js'
import { plainCell } from '../cell.js'
import type { Rejection } from '../step.js'
import type { JoinedPart } from './joinPart.js'
import { mapRow, type Place } from './mapRow.js'
import type { OpenSelectionSource } from './openSelection.js'

type Columns = Record<string, unknown>

/** What became of a row before the first step. */
export type ReadCandidate = { place: Place } & (
  | { candidate: Candidate; rejected: undefined }
  | { candidate: undefined; rejected: Rejection & { step: 'read' | 'join' | 'map' } }
)

/** Rows of a source in their order, as candidates. */
export async function* candidatesOf(
  source: OpenSelectionSource,
  parts: readonly JoinedPart[],
  { limit, onBytes }: { limit: number; onBytes: (bytes: number) => void },
): AsyncGenerator<ReadCandidate> {
  let before = 0
  for (const file of source.files) {
    let [count, bytesBefore] = [0, 0]
    for await (const portion of readAhead(readRows(file, source.columns))) {
      for (const row of portion) {
        if (before + row.row >= limit) return
        const place = { source: source.name, row: before + row.row, file: file.path, fileRow: row.row, line: row.line }
        count = row.row + 1
        yield { place, ...(await read(row, place, source, parts)) }
        onBytes(row.bytesRead - bytesBefore)
        bytesBefore = row.bytesRead
      }
    }
    before += count
  }
}

/** The same, with the next portion being read while one is worked on. */
async function* readAhead<T>(portions: AsyncGenerator<T>): AsyncGenerator<T> {
  let next = portions.next()
  try {
    for (;;) {
      const { done, value } = await next
      if (done) return
      next = portions.next()
      next.catch(() => {}) // awaited in the next turn, unless nobody wants more
      yield value
    }
  } finally {
    await portions.return(undefined)
  }
}

type Read =
  | Omit<Extract<ReadCandidate, { candidate: Candidate }>, 'place'>
  | Omit<Extract<ReadCandidate, { candidate: undefined }>, 'place'>

async function read(
  { value, problem }: RawRow,
  place: Place,
  source: OpenSelectionSource,
  parts: readonly JoinedPart[],
): Promise<Read> {
  if (problem !== undefined) return refused('read', { reason: 'unreadable', detail: problem })
  if (!isMapping(value)) return refused('read', { reason: 'no-object', detail: 'expected an object' })
  const columns = plainCell(value) as Columns
  const joined: Columns = {}
  for (const [i, { name }] of source.openParts.entries()) {
    const found = await (parts[i] as JoinedPart).find(columns)
    if ('reason' in found) return refused('join', found)
    joined[name] = found.columns
  }
  const all = source.openParts.length > 0 ? { ...columns, ...joined } : columns
  const mapped = mapRow(all, place, source.map, keptColumns(columns, joined, source))
  return 'reason' in mapped ? refused('map', mapped) : { candidate: mapped, rejected: undefined }
}

const refused = (step: 'read' | 'join' | 'map', rejection: Rejection): Read => ({
  candidate: undefined,
  rejected: { ...rejection, step },
})

function keptColumns(columns: Columns, joined: Columns, { kept }: OpenSelectionSource): Columns {
  const own = picked(columns, kept.columns)
  for (const [part, names] of kept.ofParts) own[part] = picked(joined[part] as Columns, names)
  return own
}

const picked = (columns: Columns, names: readonly string[]): Columns =>
  Object.fromEntries(names.flatMap((name) => (Object.hasOwn(columns, name) ? [[name, columns[name]]] : [])))
