/** A GGUF file's head, read from the format's description; it shares nothing with the package. */
export interface GgufHead {
  metadata: Map<string, unknown>
  tensors: { name: string; shape: number[]; type: number; offset: number }[]
}

export function readGgufHead(file: Uint8Array): GgufHead {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength)
  let at = 0
  const take = (count: number) => {
    if (at + count > bytes.length) throw new Error(`The file ends at ${bytes.length}, within a value at ${at}`)
    at += count
    return at - count
  }
  const uint32 = () => bytes.readUInt32LE(take(4))
  const uint64 = () => Number(bytes.readBigUInt64LE(take(8)))
  const string = () => {
    const length = uint64()
    return bytes.toString('utf8', take(length), at)
  }
  const value = (type: number): unknown => {
    if (type === 4) return uint32()
    if (type === 5) return bytes.readInt32LE(take(4))
    if (type === 6) return bytes.readFloatLE(take(4))
    if (type === 7) return bytes.readUInt8(take(1)) === 1
    if (type === 8) return string()
    if (type !== 9) throw new Error(`Type ${type} at ${at}`)
    const each = uint32()
    return Array.from({ length: uint64() }, () => value(each))
  }
  if (bytes.toString('latin1', take(4), at) !== 'GGUF' || uint32() !== 3) throw new Error('No GGUF file of version 3')
  const [tensorCount, valueCount] = [uint64(), uint64()]
  const metadata = new Map(Array.from({ length: valueCount }, () => [string(), value(uint32())] as const))
  const tensors = Array.from({ length: tensorCount }, () => {
    const name = string()
    const shape = Array.from({ length: uint32() }, uint64)
    return { name, shape, type: uint32(), offset: uint64() }
  })
  return { metadata, tensors }
}
