/** A pickle that holds something else than one text. */
export class PickleProblem extends Error {
  override readonly name = 'PickleProblem'
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Opcodes with which Python's protocols 0 to 5 write one str, and what makes up the pickle around it. */
const opcode = {
  proto: 0x80,
  frame: 0x95,
  unicode: 0x56,
  binunicode: 0x58,
  shortBinunicode: 0x8c,
  binunicode8: 0x8d,
  put: 0x70,
  binput: 0x71,
  longBinput: 0x72,
  memoize: 0x94,
  stop: 0x2e,
}

/**
 * The text that a Python pickle holds. Nothing else is read: a pickle is a program, and every opcode that could build an object, call
 * a function or fetch what was built is refused.
 *
 * @throws PickleProblem
 */
export function readPickledText(pickle: Buffer): string {
  return new Reader(pickle).text()
}

class Reader {
  private position = 0

  constructor(private readonly bytes: Buffer) {}

  text(): string {
    let text: string | undefined
    for (;;) {
      const begin = this.position
      const code = this.take(1)[0] as number
      if (code === opcode.stop) break
      if (this.isBookkeeping(code, begin, text !== undefined)) continue
      const next = this.textOf(code)
      if (next === undefined) {
        throw new PickleProblem(
          `opcode 0x${code.toString(16).padStart(2, '0')} at byte ${begin + 1}, which writes no text`,
        )
      }
      if (text !== undefined) throw new PickleProblem('more than one text')
      text = next
    }
    if (text === undefined) throw new PickleProblem('no text')
    if (this.position < this.bytes.length) throw new PickleProblem('bytes after its end')
    return text
  }

  /** Passes what holds no value: the protocol, the length of a frame, a place in the memo. */
  private isBookkeeping(code: number, begin: number, hasText: boolean): boolean {
    if (code === opcode.proto && begin === 0) {
      const version = this.take(1)[0] as number
      if (version > 5) throw new PickleProblem(`protocol ${version}`)
      return true
    }
    if (code === opcode.frame) {
      const length = this.take(8).readBigUInt64LE()
      if (length > this.bytes.length - this.position) throw new PickleProblem('a frame that is longer than the pickle')
      return true
    }
    if (!hasText) return false
    if (code === opcode.memoize) return true
    if (code === opcode.binput) return this.take(1).length > 0
    if (code === opcode.longBinput) return this.take(4).length > 0
    return code === opcode.put && /^\d{1,10}$/.test(this.takeLine().toString('latin1'))
  }

  private textOf(code: number): string | undefined {
    if (code === opcode.shortBinunicode) return this.decode(this.take(1)[0] as number)
    if (code === opcode.binunicode) return this.decode(this.take(4).readUInt32LE())
    if (code === opcode.binunicode8) return this.decode(Number(this.take(8).readBigUInt64LE()))
    return code === opcode.unicode ? decodeRawEscapes(this.takeLine().toString('latin1')) : undefined
  }

  private decode(length: number): string {
    const bytes = this.take(length)
    try {
      return utf8.decode(bytes)
    } catch {
      throw new PickleProblem('a text that is not UTF-8')
    }
  }

  private take(length: number): Buffer {
    if (length > this.bytes.length - this.position) throw new PickleProblem('it ends too early')
    const taken = this.bytes.subarray(this.position, this.position + length)
    this.position += length
    return taken
  }

  private takeLine(): Buffer {
    const end = this.bytes.indexOf(0x0a, this.position)
    if (end < 0) throw new PickleProblem('it ends too early')
    const line = this.take(end - this.position)
    this.position++
    return line
  }
}

/** Protocol 0 writes Latin-1 with \uXXXX and \UXXXXXXXX for other characters, the backslash and line ends among them. */
function decodeRawEscapes(text: string): string {
  return text.replace(/\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|)/g, (_, short?: string, long?: string) => {
    const code = Number.parseInt(short ?? long ?? '', 16)
    if (!(code <= 0x10ffff)) throw new PickleProblem('an escape sequence that is none')
    return String.fromCodePoint(code)
  })
}
