import { deflateSync } from 'node:zlib'

/** One text as Python's pickle.dumps writes it. */
export function pickleText(text: string, protocol: number): Buffer {
  const utf8 = Buffer.from(text)
  if (protocol === 0) {
    const escaped = Array.from(text, (character) => {
      const code = character.codePointAt(0) as number
      if (code > 0xffff) return `\\U${code.toString(16).padStart(8, '0')}`
      return code > 0xff || '\\\0\n\r\x1a'.includes(character) ? `\\u${code.toString(16).padStart(4, '0')}` : character
    })
    return Buffer.from(`V${escaped.join('')}\np0\n.`, 'latin1')
  }
  const number = (bytes: number, value: number): Buffer => {
    const buffer = Buffer.alloc(bytes)
    if (bytes === 8) buffer.writeBigUInt64LE(BigInt(value))
    else buffer.writeUIntLE(value, 0, bytes)
    return buffer
  }
  const long = Buffer.concat([Buffer.from('X'), number(4, utf8.length), utf8])
  if (protocol < 4) {
    const head = protocol === 1 ? Buffer.alloc(0) : Buffer.from([0x80, protocol])
    return Buffer.concat([head, long, Buffer.from('q\0.')])
  }
  const short = Buffer.concat([Buffer.from([0x8c, utf8.length & 0xff]), utf8])
  const body = Buffer.concat([utf8.length < 256 ? short : long, Buffer.from([0x94, 0x2e])])
  // Large texts stand outside of frames.
  const frame = utf8.length < 2 ** 16 ? Buffer.concat([Buffer.from([0x95]), number(8, body.length)]) : Buffer.alloc(0)
  return Buffer.concat([Buffer.from([0x80, protocol]), frame, body])
}

/** As the data set has private tests: Base64 of zlib of a pickle of JSON. */
export const packTests = (tests: unknown, protocol = 4): string =>
  deflateSync(pickleText(JSON.stringify(tests), protocol)).toString('base64')
