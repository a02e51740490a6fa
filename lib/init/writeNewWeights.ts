import { open } from 'node:fs/promises'
import type { DecoderTensor } from '../checkpoint/decoderTensors.js'
import { dtypeBytes } from '../checkpoint/dtypes.js'
import { write } from '../files/durableFiles.js'
import { NormalNumbers } from './normalNumbers.js'

/** What new weights can be stored as. */
export const newDtypes = ['BF16', 'F16', 'F32'] as const
export type NewDtype = (typeof newDtypes)[number]

/** Numbers that are drawn and written at once. */
const chunk = 2 ** 18

/**
 * Writes one .safetensors file of new weights, a chunk at a time, and syncs it. The numbers of a tensor depend on the seed
 * and its name alone.
 *
 * @param path - must not exist
 */
export async function writeNewWeights(
  path: string,
  tensors: readonly DecoderTensor[],
  options: { seed: number; deviation: number; dtype: NewDtype; signal: AbortSignal | undefined },
): Promise<void> {
  const { dtype, signal } = options
  await write(path, async () => {
    const file = await open(path, 'wx')
    try {
      await file.writeFile(header(tensors, dtype))
      for (const tensor of tensors) {
        const draw = source(tensor, options)
        for (let left = elements(tensor); left > 0; left -= chunk) {
          signal?.throwIfAborted()
          await file.writeFile(encode(draw, Math.min(chunk, left), dtype))
        }
      }
      await file.sync()
    } finally {
      await file.close()
    }
  })
}

export const elements = ({ shape }: DecoderTensor): number => shape.reduce((product, size) => product * size, 1)

function header(tensors: readonly DecoderTensor[], dtype: NewDtype): Buffer {
  const entries: Record<string, unknown> = { __metadata__: { format: 'pt' } }
  let end = 0
  for (const tensor of tensors) {
    const begin = end
    end += elements(tensor) * dtypeBytes(dtype)
    entries[tensor.name] = { dtype, shape: tensor.shape, data_offsets: [begin, end] }
  }
  const text = JSON.stringify(entries)
  const padded = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(padded.length))
  return Buffer.concat([length, padded])
}

function source(tensor: DecoderTensor, { seed, deviation }: { seed: number; deviation: number }): () => number {
  if (tensor.start !== 'normal') return () => (tensor.start === 'ones' ? 1 : 0)
  const numbers = new NormalNumbers(seed, tensor.name)
  return () => deviation * numbers.next()
}

function encode(draw: () => number, count: number, dtype: NewDtype): Uint8Array {
  const values = new Float32Array(count)
  for (let i = 0; i < count; i++) values[i] = draw()
  if (dtype === 'F32') return new Uint8Array(values.buffer)
  const bits = new Uint32Array(values.buffer)
  const round = dtype === 'BF16' ? bfloat16 : float16
  const halves = new Uint16Array(count)
  for (let i = 0; i < count; i++) halves[i] = round(bits[i] as number)
  return new Uint8Array(halves.buffer)
}

/** Bits of a finite float32 as bfloat16, to nearest even. */
const bfloat16 = (bits: number): number => (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16

/** Bits of a float32 of magnitude below 65504 as float16, to nearest even. */
function float16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000
  const exponent = ((bits >>> 23) & 0xff) - 127
  if (exponent < -25) return sign
  const significand = (bits & 0x7fffff) | 0x800000
  // Below 2⁻¹⁴ the spacing stays 2⁻²⁴: more bits are dropped.
  const dropped = exponent < -14 ? -1 - exponent : 13
  const kept = significand >>> dropped
  const rest = significand & ((1 << dropped) - 1)
  const half = 1 << (dropped - 1)
  const rounded = kept + (rest > half || (rest === half && kept & 1) ? 1 : 0)
  return sign | (exponent < -14 ? rounded : rounded + ((exponent + 14) << 10))
}
