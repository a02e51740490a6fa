import { createReadStream } from 'node:fs'
import { createGunzip } from 'node:zlib'
import { readFailure } from '../../checkpoint/readSmallFile.js'
import { BranchMergeError } from '../../errors.js'
import { formatBytes } from '../../formatUnits.js'
import type { RawRow } from './readRows.js'
import type { SourceFile } from './sourceFiles.js'

/** The longest conversations have a few megabytes. A longer row is none: a file without line breaks, or a broken quote. */
const maxRowBytes = 64 * 2 ** 20

const newline = 0x0a
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

async function* chunksOf({ path, gzip }: SourceFile): AsyncGenerator<{ bytes: Buffer; bytesRead: number }> {
  const stream = createReadStream(path, { highWaterMark: 2 ** 18 })
  const source = gzip ? stream.pipe(createGunzip()) : stream
  // pipe does not carry errors on.
  if (gzip) stream.on('error', (error) => source.destroy(error))
  try {
    let first = true
    for await (const chunk of source as AsyncIterable<Buffer>) {
      const bytes = first && chunk[0] === 0xef && chunk[1] === 0xbb && chunk[2] === 0xbf ? chunk.subarray(3) : chunk
      first = false
      yield { bytes, bytesRead: stream.bytesRead }
    }
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException
    if (!code?.startsWith('Z_')) throw readFailure(path, cause as NodeJS.ErrnoException)
    throw new BranchMergeError('ERR_DATA', `Expected a whole gzip file at ${path}: ${message}`, { cause })
  } finally {
    stream.destroy()
  }
}

function startsWithArray(bytes: Buffer): boolean {
  return /^\s*\[/.test(bytes.subarray(0, 4096).toString('latin1'))
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

  push(bytes: Buffer): Row[] {
    const rows: Row[] = []
    let begin = 0
    for (let end = bytes.indexOf(newline); end >= 0; end = bytes.indexOf(newline, begin)) {
      rows.push(...this.complete(bytes.subarray(begin, end)))
      begin = end + 1
    }
    // The chunk's memory is reused by nobody, so a view of it may stay.
    this.pending.add(bytes.subarray(begin))
    return rows
  }

  end(): Row[] {
    return this.complete(Buffer.alloc(0))
  }

  private complete(last: Buffer): Row[] {
    this.line++
    const text = this.pending.take(last)
    if (text && isBlank(text)) return []
    return [{ row: this.row++, line: this.line, ...parse(text) }]
  }
}

const isBlank = (text: Buffer): boolean => {
  for (const byte of text) if (byte !== 0x20 && byte !== 0x0d && byte !== 0x09) return false
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
    return isEmptyArray ? [] : [{ row: this.row++, line: undefined, ...parse(text) }]
  }

  private finish(rest: Buffer, rows: Row[]): Row[] {
    this.ended = true
    if (/^\s*$/.test(rest.toString('latin1'))) return rows
    throw new BranchMergeError('ERR_DATA', `Expected nothing behind the JSON array in ${this.path}`)
  }
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function parse(text: Buffer | undefined): { value: unknown; problem: string | undefined } {
  if (!text) return { value: undefined, problem: `the row has more than ${formatBytes(maxRowBytes)}` }
  try {
    return { value: JSON.parse(utf8.decode(text)), problem: undefined }
  } catch (error) {
    const isText = error instanceof SyntaxError
    return { value: undefined, problem: isText ? 'the row is no JSON' : 'the row is not UTF-8' }
  }
}
