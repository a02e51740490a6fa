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
      bytes.uint32(valueTypes.array).uint32(valueTypes.int32).uint64(entry.value.length).int32s(entry.value)
  }
}

/** Pieces of a file in their order; a vocabulary has some hundred thousand. */
class Bytes {
  size = 0
  private readonly pieces: Uint8Array[] = []

  uint8(value: number): this {
    return this.add(Uint8Array.of(value))
  }
  uint32(value: number): this {
    const piece = Buffer.alloc(4)
    piece.writeUInt32LE(value)
    return this.add(piece)
  }
  int32s(values: readonly number[]): this {
    const piece = Buffer.alloc(4 * values.length)
    for (const [i, value] of values.entries()) piece.writeInt32LE(value, 4 * i)
    return this.add(piece)
  }
  uint64(value: number): this {
    const piece = Buffer.alloc(8)
    piece.writeBigUInt64LE(BigInt(value))
    return this.add(piece)
  }
  float32(value: number): this {
    const piece = Buffer.alloc(4)
    piece.writeFloatLE(value)
    return this.add(piece)
  }
  /** Its length in bytes, and UTF-8. */
  string(value: string): this {
    const encoded = Buffer.from(value, 'utf8')
    return this.uint64(encoded.length).add(encoded)
  }
  text(value: string): this {
    return this.add(Buffer.from(value, 'utf8'))
  }
  zeros(count: number): this {
    return this.add(new Uint8Array(count))
  }
  whole(): Uint8Array {
    return Buffer.concat(this.pieces)
  }

  private add(piece: Uint8Array): this {
    this.pieces.push(piece)
    this.size += piece.length
    return this
  }
}
