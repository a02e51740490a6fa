import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { batch, devices, fuse, merge } from '../../lib/index.js'
import { resolveDevice } from '../../lib/native/deviceOption.js'
import { deviceUse, joinDevices, noDevices } from '../../lib/native/devices.js'
import { hashFiles } from '../support/directoryContents.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'
import { writePair } from '../support/writeCheckpoint.js'

function pair() {
  const directory = temporaryDirectory()
  const { left, right } = writePair(directory)
  return { directory, left: left.path, right: right.path, out: join(directory, 'out') }
}

/** As on a machine that has no device, whatever this one has. */
const withoutDevices = { env: { CUDA_VISIBLE_DEVICES: '' } }

describe('the option device', () => {
  test.each([
    [undefined, { kind: 'auto', indices: [] }],
    ['auto', { kind: 'auto', indices: [] }],
    ['cpu', { kind: 'cpu', indices: [] }],
    ['cuda', { kind: 'cuda', indices: [] }],
    ['cuda:1', { kind: 'cuda', indices: [1] }],
    ['cuda:0,2', { kind: 'cuda', indices: [0, 2] }],
  ])('%j', (value, expected) => {
    expect(resolveDevice(value)).toEqual(expected)
  })

  test.each(['gpu', 'cuda:', 'cuda:a', 'cuda:0,', 'cuda:0,0', 'cuda:-1', 'CUDA', 'cuda:99999', 0, null, ['cpu']])(
    '%j is refused',
    async (value) => {
      const { left, right, out } = pair()
      const refusal = { code: 'ERR_INVALID_ARGUMENT', message: expect.stringContaining('for device') }
      await expect(fuse(left, right, { out, device: value as 'cpu' })).rejects.toMatchObject(refusal)
      await expect(
        merge('a & b', { models: { a: left, b: right }, out, device: value as 'cpu' }),
      ).rejects.toMatchObject(refusal)
      expect(existsSync(out)).toBe(false)
    },
  )

  test('does not change the files, and the summary tells which device it was and why', async () => {
    const { directory, left, right } = pair()
    const outs = ['auto', 'cpu'].map((device) => join(directory, device))
    const [auto, cpu] = await Promise.all([
      fuse(left, right, { out: outs[0] as string }),
      fuse(left, right, { out: outs[1] as string, device: 'cpu' }),
    ])
    expect(hashFiles(outs[0] as string)).toEqual(hashFiles(outs[1] as string))
    expect(cpu).toMatchObject({ device: 'cpu', deviceReason: 'asked for', warnings: [] })
    expect(auto).toMatchObject({ device: 'cpu', warnings: [] })
    const { unavailable } = await devices()
    expect(auto.deviceReason).toBe(unavailable ?? 'it takes less time than starting a device')
  })
})

test('devices() describes what there is, or says why there is none', async () => {
  const report = await devices()
  const usable = report.devices.filter(({ unusable }) => unusable === undefined)
  if (report.unavailable === undefined) expect(usable.length).toBeGreaterThan(0)
  else expect([usable, report.unavailable]).toEqual([[], expect.stringMatching(/\w/)])
  expect(report.compiled).toBe(report.runtime !== undefined)
  for (const { name, memoryBytes, freeMemoryBytes } of usable) {
    expect(name).toMatch(/\w/)
    expect(freeMemoryBytes).toBeLessThanOrEqual(memoryBytes)
  }
})

describe('on a machine without a device', () => {
  test('cuda is refused with the reason, before anything is written', async () => {
    const { left, right, out } = pair()
    for (const device of ['cuda', 'cuda:0']) {
      const { code, stdout } = await runCommand(
        ['fuse', left, right, '--out', out, '--device', device, '--json'],
        withoutDevices,
      )
      expect(code).toBe(1)
      expect(JSON.parse(stdout)).toMatchObject({
        error: {
          code: 'ERR_DEVICE_UNAVAILABLE',
          message: expect.stringMatching(/^Expected usable CUDA devices .*(no CUDA kernels|driver)/),
        },
      })
      expect(existsSync(out)).toBe(false)
    }
  })

  test('auto takes the CPU, and the summary says why', async () => {
    const { left, right, out } = pair()
    const models = ['--model', `a=${left}`, '--model', `b=${right}`]
    const { code, stdout, stderr } = await runCommand(['merge', 'a & b', ...models, '--out', out], withoutDevices)
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^Computed on the CPU: .*(no CUDA kernels|driver)/m)
  })

  test('doctor shows why CUDA is not used', async () => {
    const { code, stdout } = await runCommand(['doctor'], withoutDevices)
    expect(code).toBe(0)
    expect(stdout).toMatch(/^CUDA .*not used: .*(no CUDA kernels|driver)/m)
    const { native } = JSON.parse((await runCommand(['doctor', '--json'], withoutDevices)).stdout)
    expect(native.cuda).toMatchObject({ devices: [], unavailable: expect.stringMatching(/\w/) })
  })
})

test('a device that is none is refused by batch before its recipes are read', async () => {
  const { directory } = pair()
  await expect(batch(['nowhere.yaml'], { out: directory, device: 'tpu' as 'cpu' })).rejects.toMatchObject({
    code: 'ERR_INVALID_ARGUMENT',
    message: expect.stringContaining("for device but received 'tpu'"),
  })
})

test('what parts of a merge used is told as of one', () => {
  const part = (index: number, bytes: number, warnings: string[]) => ({
    devices: [{ index, bytes }],
    deviceReason: 'asked for',
    warnings,
  })
  const joined = joinDevices([part(1, 5, []), part(0, 7, ['lost']), part(1, 6, []), noDevices('asked for')])
  expect(joined.devices).toEqual([
    { index: 0, bytes: 7 },
    { index: 1, bytes: 11 },
  ])
  expect(deviceUse(joined)).toEqual({ device: 'cuda:0,1', deviceReason: 'asked for', warnings: ['lost'] })
  expect(deviceUse(noDevices('small'))).toEqual({ device: 'cpu', deviceReason: 'small', warnings: [] })
})
