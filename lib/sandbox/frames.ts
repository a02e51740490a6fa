/** What a sandbox and we tell each other: the length of a header (4 bytes, little endian), the header as JSON, the parts. */
export interface Frame {
  header: Record<string, unknown>
  parts: Buffer[]
}

/** Far more than the names of any program take. */
const maxHeaderBytes = 16 * 2 ** 20

/** A reply that the sandbox's own side of the protocol would not send. */
export class ProtocolError extends Error {}

export function encodeFrame(header: Record<string, unknown>, parts: readonly Buffer[]): Buffer[] {
  const text = Buffer.from(JSON.stringify({ ...header, parts: parts.map(({ length }) => length) }))
  const length = Buffer.alloc(4)
  length.writeUInt32LE(text.length)
  return [length, text, ...parts]
}

/** Puts frames together from the pieces in which they come. */
export class FrameReader {
  private chunks: Buffer[] = []
  private bytes = 0
  private header: { header: Record<string, unknown>; sizes: number[] } | undefined
  /** Of each part of the next frame. */
  maxPartBytes = 0

  /**
   * @returns the frame that this piece completes
   * @throws ProtocolError for anything that is no frame, or more than one
   */
  push(chunk: Buffer): Frame | undefined {
    this.chunks.push(chunk)
    this.bytes += chunk.length
    if (this.header === undefined) {
      if (this.bytes < 4) return undefined
      const length = this.peek(4).readUInt32LE()
      if (length > maxHeaderBytes) throw new ProtocolError(`a header of ${length} bytes`)
      if (this.bytes < 4 + length) return undefined
      this.take(4)
      this.header = parseHeader(this.take(length), this.maxPartBytes)
    }
    const { header, sizes } = this.header
    const total = sizes.reduce((sum, size) => sum + size, 0)
    if (this.bytes < total) return undefined
    if (this.bytes > total) throw new ProtocolError('more than one reply')
    this.header = undefined
    const body = this.take(total)
    let begin = 0
    const parts = sizes.map((size) => {
      begin += size
      return body.subarray(begin - size, begin)
    })
    return { header, parts }
  }

  private peek(count: number): Buffer {
    if ((this.chunks[0]?.length ?? 0) < count && this.chunks.length > 1) this.chunks = [Buffer.concat(this.chunks)]
    return this.chunks[0] as Buffer
  }

  private take(count: number): Buffer {
    const all = this.chunks.length === 1 ? (this.chunks[0] as Buffer) : Buffer.concat(this.chunks)
    this.chunks = all.length > count ? [all.subarray(count)] : []
    this.bytes = all.length - count
    return all.subarray(0, count)
  }
}

function parseHeader(bytes: Buffer, maxPartBytes: number) {
  let header: unknown
  try {
    header = JSON.parse(bytes.toString('utf8'))
  } catch {
    throw new ProtocolError('a header that is no JSON')
  }
  if (typeof header !== 'object' || header === null) throw new ProtocolError('a header that is no object')
  const { parts } = header as { parts?: unknown }
  if (!Array.isArray(parts) || parts.length > 2) throw new ProtocolError('a header without its parts')
  for (const size of parts) {
    if (!Number.isInteger(size) || size < 0 || size > maxPartBytes) throw new ProtocolError(`a part of ${size} bytes`)
  }
  return { header: header as Record<string, unknown>, sizes: parts as number[] }
}
