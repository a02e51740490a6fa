/**
 * The parts of a GGUF file of version 3, little-endian: a head with typed metadata, a directory of the tensors, and their
 * data, each tensor at a multiple of {@link alignment}. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */

/** A metadata value with its type. Integers that may be wide have types of their own in GGUF; ours all fit 32 bits. */
export type GgufValue =
  | { type: 'uint32' | 'float32'; value: number }
  | { type: 'bool'; value: boolean }
  | { type: 'string'; value: string }
  | { type: 'strings'; value: readonly string[] }
  | { type: 'int32s'; value: readonly number[] }

export type GgufMetadata = Map<string, GgufValue>

/** What GGUF calls the dtypes that we write. */
export const ggufTypes = { F32: 0, F16: 1, BF16: 30 } as const
/** What the matrices of a GGUF file can be stored as. */
export type GgufDtype = keyof typeof ggufTypes
export const ggufDtypes = Object.keys(ggufTypes) as GgufDtype[]

export interface GgufTensor {
  name: string
  dtype: GgufDtype
  /** Row-major, slowest dimension first, as safetensors has it; GGUF stores it the other way round. */
  shape: readonly number[]
}

/** A tensor and where its data begins, counted from the start of the file. */
export interface PlacedTensor<T extends GgufTensor> {
  tensor: T
  begin: number
}

export interface GgufLayout<T extends GgufTensor> {
  /** Everything before the data. */
  head: Uint8Array
  tensors: PlacedTensor<T>[]
  /** Size of the file. */
  bytes: number
}

export const alignment = 32

const version = 3
const valueTypes = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 } as const

const aligned = (position: number): number => Math.ceil(position / alignment) * alignment

export const tensorBytes = ({ shape, dtype }: GgufTensor): number =>
  shape.reduce((product, size) => product * size, 1) * (dtype === 'F32' ? 4 : 2)

/** Lays a file out: its head, and the places of the tensors in the order given. */
export function layOut<T extends GgufTensor>(metadata: GgufMetadata, tensors: readonly T[]): GgufLayout<T> {
  const offsets: number[] = []
  let end = 0
  for (const tensor of tensors) {
    offsets.push(end)
    end = aligned(end + tensorBytes(tensor))
  }
  const head = new Bytes()
  head.text('GGUF').uint32(version).uint64(tensors.length).uint64(metadata.size)
  for (const [key, value] of metadata) putValue(head.string(key), value)
  for (const [i, { name, shape, dtype }] of tensors.entries()) {
    head.string(name).uint32(shape.length)
    for (const size of shape.toReversed()) head.uint64(size)
    head.uint32(ggufTypes[dtype]).uint64(offsets[i] ?? 0)
  }
  const begin = aligned(head.size)
  head.zeros(begin - head.size)
  return {
    head: head.whole(),
    tensors: tensors.map((tensor, i) => ({ tensor, begin: begin + (offsets[i] ?? 0) })),
    bytes: begin + end,
  }
}

function putValue(bytes: Bytes, entry: GgufValue): void {
  switch (entry.type) {
    case 'uint32':
      bytes.uint32(valueTypes.uint32).uint32(entry.value)
      return
    case 'float32':
      bytes.uint32(valueTypes.float32).float32(entry.value)
      return
    case 'bool':
      bytes.uint32(valueTypes.bool).uint8(Number(entry.value))
      return
    case 'string':
      bytes.uint32(valueTypes.string).string(entry.value)
      return
    case 'strings':
      bytes.uint32(valueTypes.array).uint32(valueTypes.string).uint64(entry.value.length)
      for (const text of entry.value) bytes.string(text)
      return
    case 'int32s':
      bytes.uint32(valueTypes.array).uint32(valueTypes.int32).uint64(entry.value.length)
      for (const value of entry.value) bytes.int32(value)
  }
}

/** Bytes that grow; a vocabulary takes some megabytes. */
class Bytes {
  size = 0
  private buffer = new Uint8Array(1 << 16)
  private view = new DataView(this.buffer.buffer)

  uint8(value: number): this {
    this.view.setUint8(this.grow(1), value)
    return this
  }
  uint32(value: number): this {
    this.view.setUint32(this.grow(4), value, true)
    return this
  }
  int32(value: number): this {
    this.view.setInt32(this.grow(4), value, true)
    return this
  }
  uint64(value: number): this {
    this.view.setBigUint64(this.grow(8), BigInt(value), true)
    return this
  }
  float32(value: number): this {
    this.view.setFloat32(this.grow(4), value, true)
    return this
  }
  /** Its length in bytes, and UTF-8. */
  string(value: string): this {
    return this.uint64(Buffer.byteLength(value)).text(value)
  }
  text(value: string): this {
    const encoded = Buffer.from(value, 'utf8')
    const at = this.grow(encoded.length)
    this.buffer.set(encoded, at)
    return this
  }
  zeros(count: number): this {
    this.grow(count)
    return this
  }
  whole(): Uint8Array {
    return this.buffer.slice(0, this.size)
  }

  /** Makes room, and returns where it begins. */
  private grow(count: number): number {
    const at = this.size
    this.size += count
    if (this.size > this.buffer.length) {
      const larger = new Uint8Array(Math.max(this.size, 2 * this.buffer.length))
      larger.set(this.buffer)
      this.buffer = larger
      this.view = new DataView(larger.buffer)
    }
    return at
  }
}
