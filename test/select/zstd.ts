import { compressors } from 'hyparquet-compressors'
import { expect } from 'vitest'
import type { RowsOptions } from '../../bench/parquetRows.js'

/** Writes Parquet files whose pages Zstandard compresses. */
export const zstd: RowsOptions = { codec: 'ZSTD', compressors: { ZSTD: (bytes: Uint8Array) => frame(bytes) } }

/** A frame of Zstandard with one raw block: what a decoder needs, without compression. */
function frame(bytes: Uint8Array): Uint8Array {
  const blocks: Buffer[] = []
  for (let begin = 0; begin === 0 || begin < bytes.length; begin += 2 ** 16) {
    const block = bytes.subarray(begin, begin + 2 ** 16)
    const isLast = begin + 2 ** 16 >= bytes.length
    const head = (block.length << 3) | (isLast ? 1 : 0)
    blocks.push(Buffer.from([head & 255, (head >> 8) & 255, head >> 16]), Buffer.from(block))
  }
  const size = Buffer.alloc(4)
  size.writeUInt32LE(bytes.length)
  const whole = Buffer.concat([Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0b10100000]), size, ...blocks])
  // What makes it is tested by the decoder itself.
  expect(Buffer.from(compressors.ZSTD?.(whole, bytes.length) ?? []).equals(Buffer.from(bytes))).toBe(true)
  return whole
}
