/** Writes files byte by byte, so that they can be wrong in any way. */

import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** @typedef {{ dtype: string, shape: number[], data: Uint8Array }} TensorData */

/** The first 8 bytes: a length. @param {bigint | number} length @returns {Buffer} */
export function lengthBytes(length) {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(length))
  return bytes
}

/**
 * A file of a header as it stands and what follows it: bytes, or a number of zeros.
 *
 * @param {string | Uint8Array} header @param {Uint8Array | number} [data] @returns {Buffer}
 */
export function fileOf(header, data = 0) {
  const text = Buffer.from(header)
  return Buffer.concat([lengthBytes(text.length), text, typeof data === 'number' ? Buffer.alloc(data) : data])
}

/**
 * A good file of these tensors in this order.
 *
 * @param {Record<string, TensorData>} tensors @param {Record<string, string>} [metadata] @returns {Buffer}
 */
export function safetensors(tensors, metadata) {
  const entries = metadata ? [`"__metadata__":${JSON.stringify(metadata)}`] : []
  let end = 0
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    const begin = end
    end += data.length
    entries.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, end] })}`)
  }
  return fileOf(`{${entries.join(',')}}`, Buffer.concat(Object.values(tensors).map(({ data }) => data)))
}

/** @param {number[]} values @param {number[]} [shape] @returns {TensorData} */
export function float32(values, shape = [values.length]) {
  return { dtype: 'F32', shape, data: new Uint8Array(Float32Array.from(values).buffer) }
}

/** @param {number[]} values @returns {TensorData} */
export function int64(values) {
  return { dtype: 'I64', shape: [values.length], data: new Uint8Array(BigInt64Array.from(values, BigInt).buffer) }
}

/**
 * Writes files into a directory and returns the directory.
 *
 * @param {string} directory @param {Record<string, string | Uint8Array>} files @returns {Promise<string>}
 */
export async function writeFiles(directory, files) {
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(directory, name), bytes)
  return directory
}
