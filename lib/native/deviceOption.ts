import { invalidArgument } from '../validate.js'
import type { NativeDeviceRequest } from './native.js'

/**
 * Where fusions of checkpoints are computed: on CUDA devices where that is faster ('auto'), on the CPU, on all CUDA devices,
 * or on some of them by their numbers ('cuda:0,2'). The bytes are the same.
 */
export type DeviceOption = 'auto' | 'cpu' | 'cuda' | `cuda:${string}`

/** @throws ERR_INVALID_ARGUMENT */
export function resolveDevice(value: unknown): NativeDeviceRequest {
  if (value === undefined || value === 'auto') return { kind: 'auto', indices: [] }
  if (value === 'cpu' || value === 'cuda') return { kind: value, indices: [] }
  const [, list] = (typeof value === 'string' ? /^cuda:(\d{1,4}(?:,\d{1,4})*)$/.exec(value) : undefined) ?? []
  const indices = list?.split(',').map(Number) ?? []
  if (indices.length === 0 || new Set(indices).size < indices.length) {
    throw invalidArgument("'auto', 'cpu', 'cuda' or numbers of devices as 'cuda:0,2'", 'device', value)
  }
  return { kind: 'cuda', indices }
}
