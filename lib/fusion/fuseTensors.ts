import {
  type Dtype,
  dtypeBytes,
  type FloatDtype,
  floatDtypeFromName,
  isDtype,
  isFloat,
  isInteger,
} from '../checkpoint/dtypes.js'
import { BranchMergeError } from '../errors.js'
import { requestedInstructionSet } from '../native/instructionSet.js'
import { native } from '../native/native.js'
import { runJob } from '../native/runJob.js'
import { formatBytes } from '../text/formatUnits.js'
import { checkOptionNames, invalidArgument } from '../validate.js'
import { resolveFuseOptions } from './fuseOptions.js'
import type { FuseOptions } from './fuseOptionTypes.js'
import { type FusionStats, fusionStats } from './tensorStats.js'

/** A tensor in memory, row-major. */
export interface Tensor<D extends ArrayBufferView = ArrayBufferView> {
  /** 'BF16', 'F16', 'F32' or 'F64' (or PyTorch's name), or an integer type or 'BOOL'. */
  dtype: string
  /** `[]` is a scalar. */
  shape: readonly number[]
  /** Little-endian elements, exactly as many bytes as the shape needs. Do not change it while fuse runs. */
  data: D
}

/** The fusion of two tensors in memory, and its figures. */
export interface FusedTensor<D extends ArrayBufferView = ArrayBufferView> {
  tensor: { dtype: string; shape: number[]; data: D | Float32Array | Float64Array | Uint16Array }
  stats: FusionStats
}

interface CheckedTensor {
  dtype: Dtype
  shape: number[]
  elements: number
  data: ArrayBufferView
}

/**
 * Fuses two tensors in memory. The result's data is of the class of Left's while the dtype stays, otherwise a
 * Uint16Array (BF16, F16), Float32Array or Float64Array.
 */
export async function fuseTensors<D extends ArrayBufferView>(
  left: Tensor<D>,
  right: Tensor,
  options: FuseOptions,
): Promise<FusedTensor<D>> {
  const resolved = resolveFuseOptions(options)
  const [a, b] = [checkTensor(left, 'left'), checkTensor(right, 'right')]
  checkAlike(a, b)
  const outputDtype = resolved.dtype && isFloat(a.dtype) ? resolved.dtype : a.dtype
  const bytes = allocate(a.elements * dtypeBytes(outputDtype))
  const input = {
    name: 'tensor',
    dtype: a.dtype,
    outputDtype,
    shape: a.shape,
    operands: [a.data, b.data],
    out: new Uint8Array(bytes),
  }
  const method = { method: 'fuse', fusion: resolved.fusion } as const
  const instructionSet = requestedInstructionSet(native)
  const stats = await runJob(
    (guard) => native.mergeTensor(input, method, resolved.threads, instructionSet, guard(resolved.onProgress)),
    resolved.signal,
  )
  const data = outputDtype === a.dtype ? sameClass(left.data, bytes) : defaultClass(outputDtype as FloatDtype, bytes)
  return { tensor: { dtype: outputDtype, shape: a.shape, data }, stats: fusionStats(stats) }
}

function checkTensor(tensor: Tensor, side: string): CheckedTensor {
  if (typeof tensor !== 'object' || tensor === null)
    throw invalidArgument('a tensor { dtype, shape, data }', side, tensor)
  checkOptionNames(tensor, ['dtype', 'shape', 'data'])
  const dtype = checkDtype(tensor.dtype, side)
  const elements = countElements(tensor.shape, side)
  checkData(tensor.data, `${side}.data`, elements * dtypeBytes(dtype), dtype, tensor.shape)
  return { dtype, shape: [...tensor.shape], elements, data: tensor.data }
}

function checkDtype(value: unknown, side: string): Dtype {
  const dtype = typeof value === 'string' ? (floatDtypeFromName(value) ?? value) : value
  if (!isDtype(dtype)) throw invalidArgument("a dtype as 'BF16' or 'float32'", `${side}.dtype`, value)
  if (isFloat(dtype) || isInteger(dtype)) return dtype
  throw new BranchMergeError('ERR_DTYPE_UNSUPPORTED', `Expected BF16, F16, F32 or F64 for ${side}.dtype, not ${dtype}`)
}

function countElements(shape: unknown, side: string): number {
  const sizes = Array.isArray(shape) ? shape : undefined
  if (!sizes?.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw invalidArgument('an array of non-negative integers', `${side}.shape`, shape)
  }
  const elements = sizes.reduce((product, size) => product * size, 1)
  if (!Number.isSafeInteger(elements)) throw invalidArgument('fewer than 2^53 elements', `${side}.shape`, shape)
  return elements
}

function checkData(data: unknown, name: string, bytes: number, dtype: string, shape: readonly number[]): void {
  if (!ArrayBuffer.isView(data)) throw invalidArgument('a typed array, Buffer or DataView', name, data)
  // Another thread could change or shrink these while the kernels read them.
  const buffer = data.buffer as { resizable?: boolean }
  if (!(data.buffer instanceof ArrayBuffer) || buffer.resizable) {
    throw new BranchMergeError(
      'ERR_INVALID_ARGUMENT',
      `Expected memory that is neither shared nor resizable for ${name}`,
    )
  }
  if (data.byteLength === bytes) return
  throw new BranchMergeError(
    'ERR_INVALID_ARGUMENT',
    `Expected ${bytes} bytes for ${name} (${dtype} [${shape.join(', ')}]) but received ${data.byteLength}`,
  )
}

function checkAlike(left: CheckedTensor, right: CheckedTensor): void {
  if (left.dtype !== right.dtype) {
    throw new BranchMergeError(
      'ERR_DTYPE_MISMATCH',
      `Expected one dtype on both sides: left is ${left.dtype}, right is ${right.dtype}`,
    )
  }
  if (left.shape.join() === right.shape.join()) return
  throw new BranchMergeError(
    'ERR_SHAPE_MISMATCH',
    `Expected one shape on both sides: left is [${left.shape.join(', ')}], right is [${right.shape.join(', ')}]`,
  )
}

function allocate(bytes: number): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes)
  } catch (cause) {
    throw new BranchMergeError('ERR_OUT_OF_MEMORY', `Cannot allocate ${formatBytes(bytes)} for the fused tensor`, {
      cause,
    })
  }
}

function sameClass<D extends ArrayBufferView>(data: D, bytes: ArrayBuffer): D {
  if (Buffer.isBuffer(data)) return Buffer.from(bytes) as ArrayBufferView as D
  const View = data.constructor as new (buffer: ArrayBuffer) => D
  return new View(bytes)
}

function defaultClass(dtype: FloatDtype, bytes: ArrayBuffer): Float32Array | Float64Array | Uint16Array {
  if (dtype === 'F32') return new Float32Array(bytes)
  return dtype === 'F64' ? new Float64Array(bytes) : new Uint16Array(bytes)
}
