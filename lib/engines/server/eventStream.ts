import { StringDecoder } from 'node:string_decoder'

/** An event beyond this size is no part of an answer. */
const maxEventCharacters = 64 * 2 ** 20

/**
 * Reads Server-Sent Events as they arrive. Comments (keep-alives) and blank lines are passed over; lines end with LF, CRLF or CR;
 * characters may be cut anywhere.
 */
export class EventReader {
  private readonly decoder = new StringDecoder('utf8')
  private line = ''
  private data: string[] = []
  private size = 0
  private event = ''
  private endedWithCr = false
  private isFirst = true

  constructor(private readonly onEvent: (data: string, event: string) => void) {}

  /** @throws RangeError for an event that grows without end */
  push(bytes: Buffer): void {
    this.read(this.decoder.write(bytes))
  }

  /** The stream is over: what was not ended by a blank line counts all the same. */
  end(): void {
    this.read(this.decoder.end())
    if (this.line !== '') this.take(this.line)
    this.line = ''
    this.dispatch()
  }

  private read(arrived: string): void {
    if (arrived === '') return
    let text = arrived
    if (this.isFirst && text.charCodeAt(0) === 0xfeff) text = text.slice(1)
    this.isFirst = false
    let begin = this.endedWithCr && text.startsWith('\n') ? 1 : 0
    this.endedWithCr = text.endsWith('\r')
    const hasCr = text.includes('\r')
    for (;;) {
      const [end, next] = hasCr ? lineEnd(text, begin) : [text.indexOf('\n', begin), undefined]
      if (end < 0) break
      const line = this.line + text.slice(begin, end)
      this.line = ''
      begin = next ?? end + 1
      if (line === '') this.dispatch()
      else this.take(line)
    }
    this.line += text.slice(begin)
    if (this.line.length + this.size > maxEventCharacters)
      throw new RangeError('an event of more than 64 Mi characters')
  }

  private take(line: string): void {
    const colon = line.indexOf(':')
    if (colon === 0) return
    const name = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line.charCodeAt(colon + 1) === 0x20 ? colon + 2 : colon + 1)
    if (name === 'data') {
      this.data.push(value)
      this.size += value.length
    } else if (name === 'event') this.event = value
  }

  private dispatch(): void {
    const { data, event } = this
    if (data.length === 0) {
      this.event = ''
      return
    }
    this.data = []
    this.size = 0
    this.event = ''
    this.onEvent(data.length === 1 ? (data[0] as string) : data.join('\n'), event)
  }
}

/** The next end of a line, and where the line after it begins. */
function lineEnd(text: string, begin: number): [end: number, next: number] {
  const [lf, cr] = [text.indexOf('\n', begin), text.indexOf('\r', begin)]
  if (cr < 0 || (lf >= 0 && lf < cr)) return [lf, lf + 1]
  return [cr, text[cr + 1] === '\n' ? cr + 2 : cr + 1]
}
