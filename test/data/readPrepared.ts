import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

export interface StoredDocument {
  tokens: number[]
  spans: [begin: number, end: number][]
  source: number
  row: number
}

export interface StoredSet {
  meta: Record<string, unknown>
  documents: StoredDocument[]
  /** Positions in `documents`. */
  packs: number[][]
}

/** Reads prepared data as docs/formats.md describes it, by itself, and checks what the format promises. */
export function readPrepared(directory: string): StoredSet {
  const meta = JSON.parse(readFileSync(join(directory, 'meta.json'), 'utf8'))
  const set: StoredSet = { meta, documents: [], packs: [] }
  for (let i = 0; i < meta.shards; i++) readShard(join(directory, `shard-${String(i).padStart(5, '0')}.bin`), set)
  const tokens = set.documents.reduce((sum, document) => sum + document.tokens.length, 0)
  const spans = set.documents.flatMap((document) => document.spans)
  const counted = {
    packs: set.packs.length,
    documents: set.documents.length,
    tokens,
    trainedTokens: spans.reduce((sum, [begin, end]) => sum + end - begin, 0),
  }
  for (const [name, count] of Object.entries(counted)) if (meta[name] !== count) throw new Error(`${name}: ${count}`)
  for (const pack of set.packs) {
    const length = pack.reduce((sum, document) => sum + (set.documents[document]?.tokens.length ?? Number.NaN), 0)
    if (!(length <= meta.packLength)) throw new Error(`a pack of ${length} tokens`)
  }
  const packed = set.packs.flat().sort((a, b) => a - b)
  if (packed.some((document, i) => document !== i)) throw new Error('a document is in no pack, or in two')
  return set
}

function readShard(path: string, set: StoredSet): void {
  const bytes = readFileSync(path)
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.subarray(0, 8).toString('latin1') !== 'BMPACKS1') throw new Error('no shard')
  const u64 = (at: number) => Number(view.getBigUint64(at, true))
  const [documents, spans, packs, packDocuments, tokens] = [8, 16, 24, 32, 40].map(u64) as [
    number,
    number,
    number,
    number,
    number,
  ]
  if (u64(48) !== 0 || u64(56) !== 0) throw new Error('the reserved bytes are not zero')
  let end = 64
  const section = (count: number, size: number) => {
    const begin = end
    end += count * size
    while (end % 8 !== 0) if (bytes[end++] !== 0) throw new Error('padding that is not zero')
    return begin
  }
  const at = {
    documents: section(documents, 32),
    spans: section(spans, 8),
    packs: section(packs, 8),
    packDocuments: section(packDocuments, 4),
    tokens: section(tokens, 4),
  }
  if (end !== bytes.length || end !== statSync(path).size) throw new Error(`${bytes.length} bytes, not ${end}`)
  const u32 = (place: number) => view.getUint32(place, true)
  const before = set.documents.length
  for (let i = 0; i < documents; i++) {
    const place = at.documents + 32 * i
    const [firstToken, length, firstSpan, spanCount] = [u64(place), u32(place + 8), u32(place + 12), u32(place + 16)]
    if (firstToken + length > tokens || firstSpan + spanCount > spans) throw new Error('a document leaves its section')
    const own = Array.from({ length: spanCount }, (_, j): [number, number] => {
      const span = at.spans + 8 * (firstSpan + j)
      return [u32(span), u32(span + 4)]
    })
    const bounds = [0, ...own.flat()]
    if (bounds.some((bound, j) => j > 0 && bound <= (bounds[j - 1] as number)) || (own.at(-1)?.[1] ?? 0) > length) {
      throw new Error(`spans ${own.join(' ')} in ${length} tokens`)
    }
    set.documents.push({
      tokens: Array.from({ length }, (_, j) => u32(at.tokens + 4 * (firstToken + j))),
      spans: own,
      source: u32(place + 20),
      row: u64(place + 24),
    })
  }
  for (let i = 0; i < packs; i++) {
    const [first, count] = [u32(at.packs + 8 * i), u32(at.packs + 8 * i + 4)]
    if (first + count > packDocuments) throw new Error('a pack leaves its section')
    set.packs.push(Array.from({ length: count }, (_, j) => before + u32(at.packDocuments + 4 * (first + j))))
  }
}
