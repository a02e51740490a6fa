import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { encode } from './floats.js'
import { Random } from './random.js'

const rows = 2048
const columns = 2048
const blockElements = 2 ** 18

/** Two bf16 models of `tensors` matrices of 8 MiB each, quickly made: blocks of one random sample, over and over. */
export function writeLargePair(directory: string, tensors: number): { left: string; right: string } {
  const random = new Random(5)
  const base = Array.from({ length: blockElements }, () => random.normal() * 0.02)
  const write = (side: string) => {
    const block = encode(
      'BF16',
      Array.from(base, (value) => value + random.normal() * 5e-4),
    )
    const path = join(directory, side)
    mkdirSync(path)
    writeModel(join(path, 'model.safetensors'), tensors, block)
    return path
  }
  return { left: write('left'), right: write('right') }
}

function writeModel(path: string, tensors: number, block: Uint8Array) {
  const bytes = rows * columns * 2
  const entries = Array.from({ length: tensors }, (_, i) => [
    `layers.${String(i).padStart(3, '0')}.weight`,
    { dtype: 'BF16', shape: [rows, columns], data_offsets: [i * bytes, (i + 1) * bytes] },
  ])
  const text = Buffer.from(JSON.stringify(Object.fromEntries(entries)))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(text.length))
  const descriptor = openSync(path, 'w')
  writeSync(descriptor, Buffer.concat([length, text]))
  for (let written = 0; written < tensors * bytes; written += block.length) writeSync(descriptor, block)
  closeSync(descriptor)
}
