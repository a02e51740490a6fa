/** Begins every shard file. */
export const shardMagic = 'BMPACKS1'
export const shardHeaderBytes = 64

export const shardName = (index: number): string => `shard-${String(index).padStart(5, '0')}.bin`

/** A document and where it comes from. */
export interface ShardDocument {
  tokens: Uint32Array
  /** Begin and end of one trained stretch after the other. */
  spans: readonly number[]
  /** Position in the list of sources, and of the row in that source. */
  source: number
  row: number
}

const documentBytes = 32

/**
 * The bytes of a shard, little-endian: a header of 64 bytes, then documents, spans, packs, documents of packs and tokens, each
 * section padded with zeros to a multiple of 8 bytes. docs/formats.md has the layout.
 *
 * @param packs - positions in `documents`
 */
export function shardBytes(documents: readonly ShardDocument[], packs: readonly (readonly number[])[]): Buffer {
  const spans = documents.reduce((sum, document) => sum + document.spans.length / 2, 0)
  const packDocuments = packs.reduce((sum, pack) => sum + pack.length, 0)
  const tokens = documents.reduce((sum, document) => sum + document.tokens.length, 0)
  const sizes = [documents.length * documentBytes, spans * 8, packs.length * 8, packDocuments * 4, tokens * 4]
  const bytes = Buffer.alloc(shardHeaderBytes + sizes.reduce((sum, size) => sum + padded(size), 0))
  bytes.write(shardMagic, 'latin1')
  for (const [i, count] of [documents.length, spans, packs.length, packDocuments, tokens].entries()) {
    bytes.writeBigUInt64LE(BigInt(count), 8 + 8 * i)
  }
  let begin = shardHeaderBytes
  const [documentsAt, spansAt, packsAt, packDocumentsAt, tokensAt] = sizes.map((size) => {
    const at = begin
    begin += padded(size)
    return at
  }) as [number, number, number, number, number]
  writeDocuments(bytes, documents, { documentsAt, spansAt, tokensAt })
  writePacks(bytes, packs, { packsAt, packDocumentsAt })
  return bytes
}

const padded = (size: number): number => Math.ceil(size / 8) * 8

function writeDocuments(
  bytes: Buffer,
  documents: readonly ShardDocument[],
  { documentsAt, spansAt, tokensAt }: { documentsAt: number; spansAt: number; tokensAt: number },
): void {
  let [firstToken, firstSpan] = [0, 0]
  for (const [i, { tokens, spans, source, row }] of documents.entries()) {
    const at = documentsAt + i * documentBytes
    bytes.writeBigUInt64LE(BigInt(firstToken), at)
    bytes.writeUInt32LE(tokens.length, at + 8)
    bytes.writeUInt32LE(firstSpan, at + 12)
    bytes.writeUInt32LE(spans.length / 2, at + 16)
    bytes.writeUInt32LE(source, at + 20)
    bytes.writeBigUInt64LE(BigInt(row), at + 24)
    for (const [j, bound] of spans.entries()) bytes.writeUInt32LE(bound, spansAt + firstSpan * 8 + j * 4)
    for (let j = 0; j < tokens.length; j++) bytes.writeUInt32LE(tokens[j] as number, tokensAt + (firstToken + j) * 4)
    firstToken += tokens.length
    firstSpan += spans.length / 2
  }
}

function writePacks(
  bytes: Buffer,
  packs: readonly (readonly number[])[],
  { packsAt, packDocumentsAt }: { packsAt: number; packDocumentsAt: number },
): void {
  let first = 0
  for (const [i, pack] of packs.entries()) {
    bytes.writeUInt32LE(first, packsAt + i * 8)
    bytes.writeUInt32LE(pack.length, packsAt + i * 8 + 4)
    for (const [j, document] of pack.entries()) bytes.writeUInt32LE(document, packDocumentsAt + (first + j) * 4)
    first += pack.length
  }
}
