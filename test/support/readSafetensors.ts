import { readFileSync } from 'node:fs'

export interface TestTensor {
  dtype: string
  shape: number[]
  data: Uint8Array
}

/** Reads a small trusted safetensors file of the tests; each tensor's bytes are a copy, aligned for any typed array. */
export function readSafetensors(path: string): Map<string, TestTensor> {
  const file = readFileSync(path)
  const dataBegin = 8 + Number(file.readBigUInt64LE(0))
  const header = JSON.parse(file.toString('utf8', 8, dataBegin)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >
  const tensors = new Map<string, TestTensor>()
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(header)) {
    if (name === '__metadata__') continue
    const data = Uint8Array.from(file.subarray(dataBegin + offsets[0], dataBegin + offsets[1]))
    tensors.set(name, { dtype, shape, data })
  }
  return tensors
}

/** The named tensor, or an error that lists what the file holds. */
export function tensorOf(tensors: Map<string, TestTensor>, name: string): TestTensor {
  const tensor = tensors.get(name)
  if (tensor === undefined) throw new Error(`Expected tensor ${name} but the file holds ${[...tensors.keys()]}`)
  return tensor
}
