import { BranchMergeError } from '../errors.js'
import { type NativeDeviceRequest, type NativeDeviceUse, native } from './native.js'
import { runJob } from './runJob.js'

/** A CUDA device. */
export interface CudaDevice {
  /** As CUDA counts: `CUDA_VISIBLE_DEVICES` decides what it sees. */
  index: number
  name: string
  /** As '9.0'. */
  computeCapability: string
  memoryBytes: number
  freeMemoryBytes: number
  /** Why it cannot be used; undefined when it can. */
  unusable: string | undefined
}

/** What this build and machine have of CUDA. */
export interface DeviceReport {
  /** Whether this build has the kernels. */
  compiled: boolean
  /** Version of CUDA that this build comes with, as '13.0'. */
  runtime: string | undefined
  /** Version of CUDA that the driver supports at most; undefined when there is no driver. */
  driver: string | undefined
  /** Why no device can be used; undefined when one can. */
  unavailable: string | undefined
  devices: CudaDevice[]
}

/** What a merge used, and why. */
export interface DeviceUse {
  /** 'cpu', or 'cuda:0,1': the devices that took part. */
  device: string
  /** Why, in words. */
  deviceReason: string
  /** Of devices that failed, with 'auto': the CPU has gone on. */
  warnings: string[]
}

/** The CUDA devices of this machine, and why none is used where that is so. Never rejects for what is missing. */
export async function devices(): Promise<DeviceReport> {
  return await runJob(() => native.devices(true), undefined)
}

/**
 * Refuses devices that were asked for and cannot be used, before anything is written.
 *
 * @throws ERR_DEVICE_UNAVAILABLE with the reason
 */
export async function refuseUnusableDevices({ kind, indices }: NativeDeviceRequest): Promise<void> {
  if (kind !== 'cuda') return
  const { unavailable, devices } = await runJob(() => native.devices(false), undefined)
  const asked = indices.length > 0 ? `cuda:${indices.join(',')}` : kind
  if (unavailable !== undefined) throw unavailableDevice(asked, unavailable)
  for (const index of indices) {
    const device = devices[index]
    if (!device) throw unavailableDevice(asked, `there is no cuda:${index}, only ${listOf(devices)}`)
    if (device.unusable !== undefined) {
      throw unavailableDevice(asked, `cuda:${index} (${device.name}) cannot be used: ${device.unusable}`)
    }
  }
}

const listOf = (devices: readonly { index: number }[]) => devices.map(({ index }) => `cuda:${index}`).join(', ')

const unavailableDevice = (asked: string, reason: string) =>
  new BranchMergeError(
    'ERR_DEVICE_UNAVAILABLE',
    `Expected usable CUDA devices for device '${asked}' but ${reason}. Run with device 'cpu' (--device cpu) or 'auto'.`,
  )

/** Of a merge that had nothing to do. */
export const noDevices = (deviceReason: string): NativeDeviceUse => ({ devices: [], deviceReason, warnings: [] })

/** Of the parts of a merge, on one machine or several: devices of one number are told as one. */
export function joinDevices(parts: readonly NativeDeviceUse[]): NativeDeviceUse {
  const bytes = new Map<number, number>()
  for (const device of parts.flatMap(({ devices }) => devices)) {
    bytes.set(device.index, (bytes.get(device.index) ?? 0) + device.bytes)
  }
  const devices = [...bytes].map(([index, bytes]) => ({ index, bytes })).sort((a, b) => a.index - b.index)
  const deviceReason = [...new Set(parts.map(({ deviceReason }) => deviceReason))].join('; ')
  return { devices, deviceReason, warnings: parts.flatMap(({ warnings }) => warnings) }
}

/** Devices that merged nothing (too few tensors, or a failure) are left out. */
export function deviceUse({ devices, deviceReason, warnings }: NativeDeviceUse): DeviceUse {
  const used = devices
    .filter(({ bytes }) => bytes > 0)
    .map(({ index }) => index)
    .sort((a, b) => a - b)
  return { device: used.length > 0 ? `cuda:${used.join(',')}` : 'cpu', deviceReason, warnings }
}
