import { createReadStream } from 'node:fs'
import { createGunzip } from 'node:zlib'
import { BranchMergeError } from '../errors.js'
import { readFailure } from '../files/readSmallFile.js'
import { maxRowBytes, parseRow } from './parseRow.js'
import type { RawRow } from './rawRow.js'
import type { SourceFile } from './sourceFiles.js'
import { headBytes, type TextFormat, textFormat } from './textFormat.js'

const [newline, carriageReturn] = [0x0a, 0x0d]
const [quote, backslash, comma, open, close, openObject, closeObject] = [0x22, 0x5c, 0x2c, 0x5b, 0x5d, 0x7b, 0x7d]

/** Rows of a JSON Lines file, or of a JSON file that holds an array, of any size. Blank lines are no rows. */
export async function* readText(file: SourceFile): AsyncGenerator<RawRow[]> {
  const splitter = { current: undefined as Splitter | undefined }
  for await (const { bytes, bytesRead } of chunksOf(file)) {
    splitter.current ??=
      startsWithArray(bytes) && file.kind === 'json' ? new ArraySplitter(file.path) : new LineSplitter()
    const rows = splitter.current.push(bytes).map((row) => ({ ...row, bytesRead }))
    if (rows.length > 0) yield rows
  }
  const rest = splitter.current?.end() ?? []
  if (rest.length > 0) yield rest.map((row) => ({ ...row, bytesRead: file.bytes }))
}

interface Chunk {
  bytes: Buffer
  bytesRead: number
}

/** The file as UTF-8, without the byte order mark. */
async function* chunksOf(file: SourceFile): AsyncGenerator<Chunk> {
  let format: TextFormat | undefined
  let recode = (bytes: Buffer): Buffer => bytes
  let finish = (): Buffer => Buffer.alloc(0)
  for await (const { bytes, bytesRead } of withHead(unpacked(file))) {
    if (format === undefined) {
      format = textFormat(bytes.subarray(0, headBytes), file.path)
      if (format !== 'utf-8') ({ recode, finish } = recoder(format, file.path))
    }
    yield { bytes: recode(bytes), bytesRead }
  }
  const rest = finish()
  if (rest.length > 0) yield { bytes: rest, bytesRead: file.bytes }
}

/** The same bytes; the first chunk has headBytes at least, where the file has them. */
async function* withHead(chunks: AsyncIterable<Chunk>): AsyncGenerator<Chunk> {
  let head: Chunk | undefined
  let isWhole = false
  for await (const chunk of chunks) {
    if (isWhole) {
      yield chunk
      continue
    }
    head = { bytes: head ? Buffer.concat([head.bytes, chunk.bytes]) : chunk.bytes, bytesRead: chunk.bytesRead }
    isWhole = head.bytes.length >= headBytes
    if (isWhole) yield head
  }
  if (head && !isWhole) yield head
}

function recoder(format: TextFormat, path: string): { recode(bytes: Buffer): Buffer; finish(): Buffer } {
  const decoder = new TextDecoder(format, { fatal: true })
  const decode = (bytes: Buffer | undefined): Buffer => {
    try {
      return Buffer.from(bytes ? decoder.decode(bytes, { stream: true }) : decoder.decode())
    } catch (cause) {
      const what = `Expected whole ${format.toUpperCase()} at ${path}, as its byte order mark says, but some of it is invalid`
      throw new BranchMergeError('ERR_DATA', what, { cause })
    }
  }
  return { recode: decode, finish: () => decode(undefined) }
}

async function* unpacked({ path, gzip }: SourceFile): AsyncGenerator<Chunk> {
  const stream = createReadStream(path, { highWaterMark: 2 ** 18 })
  const source = gzip ? stream.pipe(createGunzip()) : stream
  // pipe does not carry errors on.
  if (gzip) stream.on('error', (error) => source.destroy(error))
  try {
    for await (const bytes of source as AsyncIterable<Buffer>) yield { bytes, bytesRead: stream.bytesRead }
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (!code?.startsWith('Z_')) throw readFailure(path, cause as NodeJS.ErrnoException)
    throw new BranchMergeError('ERR_DATA', `Expected a whole gzip file at ${path}: ${message}`, { cause })
  } finally {
    stream.destroy()
  }
}

function startsWithArray(bytes: Buffer): boolean {
  return /^(\xef\xbb\xbf)?\s*\[/.test(bytes.subarray(0, headBytes).toString('latin1'))
}

type Row = Omit<RawRow, 'bytesRead'>

/** Cuts a stream of bytes into the texts of rows. */
interface Splitter {
  push(bytes: Buffer): Row[]
  end(): Row[]
}

/** The bytes of the row that is not complete yet. Of one that is too long only its length is kept. */
class Pending {
  private chunks: Buffer[] = []
  private length = 0

  add(bytes: Buffer): void {
    this.length += bytes.length
    if (this.length <= maxRowBytes) this.chunks.push(bytes)
    else this.chunks = []
  }

  /** The row so far with what follows; undefined when it is too long. */
  peek(next: Buffer): Buffer | undefined {
    return this.length + next.length > maxRowBytes ? undefined : Buffer.concat([...this.chunks, next])
  }

  take(last: Buffer): Buffer | undefined {
    this.add(last)
    const whole = this.length > maxRowBytes ? undefined : this.chunks.length === 1 ? last : Buffer.concat(this.chunks)
    this.chunks = []
    this.length = 0
    return whole
  }
}

class LineSplitter implements Splitter {
  private readonly pending = new Pending()
  private row = 0
  private line = 0
  /** Known once the first line is. */
  private lineEnd: number | undefined
  private held: Buffer | undefined

  push(chunk: Buffer): Row[] {
    const bytes = this.held ? Buffer.concat([this.held, chunk]) : chunk
    this.held = undefined
    this.lineEnd ??= this.findLineEnd(bytes)
    if (this.lineEnd === undefined) return []
    const rows: Row[] = []
    let begin = 0
    for (let end = bytes.indexOf(this.lineEnd); end >= 0; end = bytes.indexOf(this.lineEnd, begin)) {
      rows.push(...this.complete(bytes.subarray(begin, end)))
      begin = end + 1
    }
    // The chunk's memory is reused by nobody, so a view of it may stay.
    this.pending.add(bytes.subarray(begin))
    return rows
  }

  end(): Row[] {
    return this.complete(this.held ?? Buffer.alloc(0))
  }

  /** Old Macintosh files end lines with CR alone. In other files a CR is white space, so the first line must be JSON. */
  private findLineEnd(bytes: Buffer): number | undefined {
    const [cr, lf] = [bytes.indexOf(carriageReturn), bytes.indexOf(newline)]
    if (lf >= 0 && (cr < 0 || cr >= lf - 1)) return newline
    if (cr < 0) this.pending.add(bytes)
    // What follows the CR comes with the next chunk.
    else if (cr === bytes.length - 1) this.held = bytes
    else return parseRow(this.pending.peek(bytes.subarray(0, cr))).problem === undefined ? carriageReturn : newline
    return undefined
  }

  private complete(last: Buffer): Row[] {
    this.line++
    const text = this.pending.take(last)
    if (text && isBlank(text)) return []
    return [{ row: this.row++, line: this.line, ...parseRow(text) }]
  }
}

/** White space and byte order marks only. */
const isBlank = (text: Buffer): boolean => {
  for (let i = 0; i < text.length; i++) {
    const byte = text[i]
    if (byte === 0x20 || byte === 0x0d || byte === 0x0a || byte === 0x09) continue
    if (byte !== 0xef || text[i + 1] !== 0xbb || text[i + 2] !== 0xbf) return false
    i += 2
  }
  return true
}

/** Elements of a JSON array by its brackets and quotes alone; each is parsed by itself. */
class ArraySplitter implements Splitter {
  private readonly pending = new Pending()
  private row = 0
  private depth = 0
  private inString = false
  private escaped = false
  private ended = false

  constructor(private readonly path: string) {}

  push(bytes: Buffer): Row[] {
    if (this.ended) return this.finish(bytes, [])
    const rows: Row[] = []
    let begin = 0
    for (let i = 0; i < bytes.length; i++) {
      const event = this.step(bytes[i] as number)
      if (!event) continue
      if (event !== 'begin') rows.push(...this.complete(bytes.subarray(begin, i), event))
      begin = i + 1
      if (event === 'end') return this.finish(bytes.subarray(begin), rows)
    }
    this.pending.add(bytes.subarray(begin))
    return rows
  }

  end(): Row[] {
    if (this.ended) return []
    throw new BranchMergeError('ERR_DATA', `Expected a whole JSON array in ${this.path}: it ends before its ]`)
  }

  /** What a byte means for the array: its beginning, the end of an element, its end. */
  private step(byte: number): 'begin' | 'element' | 'end' | undefined {
    if (this.inString) this.insideString(byte)
    else if (byte === quote) this.inString = true
    else if (byte === comma) return this.depth === 1 ? 'element' : undefined
    else if (byte === open || byte === openObject) return this.depth++ === 0 ? 'begin' : undefined
    else if (byte === close || byte === closeObject) return --this.depth === 0 ? 'end' : undefined
    return undefined
  }

  private insideString(byte: number): void {
    if (this.escaped) this.escaped = false
    else if (byte === backslash) this.escaped = true
    else if (byte === quote) this.inString = false
  }

  private complete(last: Buffer, event: 'element' | 'end'): Row[] {
    const text = this.pending.take(last)
    const isEmptyArray = event === 'end' && this.row === 0 && text && /^\s*$/.test(text.toString('latin1'))
    return isEmptyArray ? [] : [{ row: this.row++, line: undefined, ...parseRow(text) }]
  }

  private finish(rest: Buffer, rows: Row[]): Row[] {
    this.ended = true
    if (/^\s*$/.test(rest.toString('latin1'))) return rows
    throw new BranchMergeError('ERR_DATA', `Expected nothing after the JSON array in ${this.path}`)
  }
}
