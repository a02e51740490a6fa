import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import type { MergeOptions, Progress } from '../../lib/index.js'
import { fileNames, hashFiles, looksComplete } from '../support/directoryContents.js'
import { cudaErrors, libraryWithDevices, setMachine } from '../support/emulatedDevices.js'
import { writeExperts } from '../support/experts.js'
import { temporaryDirectory, temporaryDirectoryOfFile } from '../support/temporary.js'
import { writePair } from '../support/writeCheckpoint.js'

// The API on a machine with CUDA devices: they are emulated, and everything else is what users have.

let api: typeof import('../../lib/index.js')
beforeAll(async () => {
  api = await libraryWithDevices()
})

const directory = temporaryDirectoryOfFile()
const { left, right } = writePair(directory)
const models: Record<string, string> = writeExperts(directory).paths

/** Which devices an option stands for on a machine with two, by what the summary says. */
const choices = [
  { device: 'cuda', used: 'cuda:0,1' },
  { device: 'cuda:1', used: 'cuda:1' },
  { device: 'cuda:0,1', used: 'cuda:0,1' },
  { device: 'cuda:1,0', used: 'cuda:0,1' },
] as const

describe('devices()', () => {
  test('describes two devices', async () => {
    setMachine('devices=2', 'memory=80000000')
    const device = (index: number) => ({
      index,
      name: `Emulated device ${index}`,
      computeCapability: '9.0',
      memoryBytes: 80_000_000,
      freeMemoryBytes: 80_000_000,
      unusable: undefined,
    })
    expect(await api.devices()).toEqual({
      compiled: true,
      runtime: '13.0',
      driver: '13.0',
      unavailable: undefined,
      devices: [device(0), device(1)],
    })
  })

  test.each([
    [['devices=0'], /^the NVIDIA driver shows no device; CUDA_VISIBLE_DEVICES/, '13.0'],
    [['driver=12040'], /^the NVIDIA driver is too old: it supports CUDA 12\.4, and this build needs 13\.0$/, '12.4'],
    [['driver=0'], /^no NVIDIA driver: libcuda\.so\.1 cannot be loaded$/, undefined],
    [[`error=${cudaErrors.systemNotReady}`], /^the NVIDIA driver answers: .*\(cuda\w+\)$/, '13.0'],
  ])('%j: says why there is none', async (fields, unavailable, driver) => {
    setMachine(...fields)
    const expected = { compiled: true, driver, devices: [], unavailable: expect.stringMatching(unavailable) }
    expect(await api.devices()).toMatchObject(expected)
  })

  test('one of two is too old: the other can be used', async () => {
    setMachine('devices=2', 'old=0')
    const { unavailable, devices } = await api.devices()
    expect(unavailable).toBeUndefined()
    expect(devices.map(({ unusable }) => unusable)).toEqual([
      'compute capability 7.5, and 8.0 is the oldest that has kernels',
      undefined,
    ])
  })

  test('the only one is too old', async () => {
    setMachine('old=0')
    expect((await api.devices()).unavailable).toBe(
      'Emulated device 0: compute capability 7.5, and 8.0 is the oldest that has kernels',
    )
  })
})

describe('on two devices, the files and figures of the CPU', () => {
  /** All that a summary says but for what depends on the device and the clock. */
  function figuresOf<T extends object>(summary: T) {
    const { device, deviceReason, seconds, ...figures } = summary as Record<string, unknown>
    return figures
  }

  /** Runs on the CPU, then on devices, and compares files, statistics of each tensor and the summary. */
  async function compare<T extends { device: string }>(
    run: (
      options: Pick<MergeOptions, 'device' | 'onProgress'> & { out: string; onTensor: (stats: object) => void },
    ) => Promise<T>,
  ) {
    const outputs = temporaryDirectory()
    const carryOut = async (name: string, device: string) => {
      const tensors: unknown[] = []
      const progress: Progress[] = []
      const summary = await run({
        out: join(outputs, name),
        device: device as 'cpu',
        onTensor: (stats) => tensors.push(stats),
        onProgress: (now) => progress.push(now),
      })
      return { summary, tensors, progress, files: hashFiles(join(outputs, name)) }
    }
    const expected = await carryOut('cpu', 'cpu')
    expect(expected.summary).toMatchObject({ device: 'cpu', deviceReason: 'asked for', warnings: [] })
    for (const { device, used } of choices) {
      setMachine('devices=2')
      const { summary, tensors, progress, files } = await carryOut(device.replaceAll(/\W/g, '-'), device)
      expect(files).toEqual(expected.files)
      expect(tensors).toEqual(expected.tensors)
      expect(summary).toMatchObject({ device: used, deviceReason: 'asked for', warnings: [] })
      expect(figuresOf(summary)).toEqual(figuresOf(expected.summary))
      checkProgress(progress)
    }
  }

  /** Never backwards, and at the end of all. */
  function checkProgress(progress: Progress[]) {
    for (const [i, { bytesDone, tensorsDone }] of progress.entries()) {
      expect(bytesDone).toBeGreaterThanOrEqual(progress[i - 1]?.bytesDone ?? 0)
      expect(tensorsDone).toBeGreaterThanOrEqual(progress[i - 1]?.tensorsDone ?? 0)
    }
    const { bytesDone, bytesTotal, tensorsDone, tensorsTotal } = progress.at(-1) as Progress
    expect([bytesDone, tensorsDone]).toEqual([bytesTotal, tensorsTotal])
  }

  test('a fusion', () => compare((options) => api.fuse(left.path, right.path, options)))

  test.each([
    ['a sequence', '(math & science) & coding'],
    ['a tree', '(math & science) & (coding & math)'],
  ])('%s', (_, expression) => compare((options) => api.merge(expression, { models, ...options })))

  test('a fusion after another method is the CPU’s, and the summary says so', async () => {
    const out = temporaryDirectory()
    const run = (device: 'cpu' | 'cuda') =>
      api.merge(
        {
          models: { math: {}, science: {}, coding: {} },
          steps: [
            { name: 'mean', method: 'linear', inputs: ['math', 'science'] },
            { name: 'merged', method: 'fuse', inputs: ['mean', 'coding'] },
          ],
        },
        { models, out: join(out, device), device },
      )
    setMachine('devices=2')
    await run('cpu')
    expect(await run('cuda')).toMatchObject({
      device: 'cpu',
      deviceReason: 'nothing of this merge is computed on devices',
      warnings: [],
    })
    expect(hashFiles(join(out, 'cuda'))).toEqual(hashFiles(join(out, 'cpu')))
  })

  test('a batch', async () => {
    const out = temporaryDirectory()
    const files = [0.5, 3].map((lambda) => {
      const file = join(out, `lambda-${lambda}.yaml`)
      writeFileSync(file, `models: {math: {}, science: {}}\nexpression: math & science\noptions: {lambda: ${lambda}}\n`)
      return file
    })
    const run = (device: 'cpu' | 'cuda:1') =>
      api.batch(files, {
        models: { math: models.math as string, science: models.science as string },
        out: join(out, device),
        device,
      })
    setMachine('devices=2')
    const [expected, results] = [await run('cpu'), await run('cuda:1')]
    for (const [i, { status, pass, summary, out: there }] of results.entries()) {
      expect({ status, pass }).toEqual({ status: 'done', pass: expected[i]?.pass })
      expect(summary).toMatchObject({ device: 'cuda:1', deviceReason: 'asked for', warnings: [] })
      expect(hashFiles(there as string)).toEqual(hashFiles(expected[i]?.out as string))
    }
  })

  test('a device with room for slices only', async () => {
    const out = temporaryDirectory()
    await api.fuse(left.path, right.path, { out: join(out, 'cpu'), device: 'cpu' })
    setMachine('memory=2000000')
    const summary = await api.fuse(left.path, right.path, { out: join(out, 'cuda'), device: 'cuda' })
    expect(summary.device).toBe('cuda:0')
    expect(hashFiles(join(out, 'cuda'))).toEqual(hashFiles(join(out, 'cpu')))
  })
})

describe('devices that cannot be used are refused before anything is written', () => {
  const advice = "Run with device 'cpu' (--device cpu) or 'auto'."
  test.each([
    [['devices=2'], 'cuda:0,2', 'there is no cuda:2, only cuda:0, cuda:1'],
    [
      ['devices=2', 'old=1'],
      'cuda:1',
      'cuda:1 (Emulated device 1) cannot be used: compute capability 7.5, and 8.0 is the oldest that has kernels',
    ],
    [['driver=12040'], 'cuda:0', 'the NVIDIA driver is too old: it supports CUDA 12.4, and this build needs 13.0'],
    [
      ['devices=0'],
      'cuda',
      'the NVIDIA driver shows no device; CUDA_VISIBLE_DEVICES and the container decide which it shows',
    ],
  ])('%j: %s', async (fields, device, reason) => {
    setMachine(...fields)
    const out = join(temporaryDirectory(), 'out')
    const refusal = {
      code: 'ERR_DEVICE_UNAVAILABLE',
      message: `Expected usable CUDA devices for device '${device}' but ${reason}. ${advice}`,
    }
    await expect(api.fuse(left.path, right.path, { out, device: device as 'cuda' })).rejects.toMatchObject(refusal)
    const { math, science } = models as { math: string; science: string }
    const options = { models: { math, science }, out, device: device as 'cuda' }
    await expect(api.merge('math & science', options)).rejects.toMatchObject(refusal)
    expect(existsSync(out)).toBe(false)
  })

  test('auto takes the CPU and says why', async () => {
    setMachine('devices=1', 'old=0')
    const out = join(temporaryDirectory(), 'out')
    expect(await api.fuse(left.path, right.path, { out })).toMatchObject({
      device: 'cpu',
      deviceReason: 'Emulated device 0: compute capability 7.5, and 8.0 is the oldest that has kernels',
      warnings: [],
    })
  })

  test('cuda leaves out the devices that are too old', async () => {
    setMachine('devices=2', 'old=0')
    const out = join(temporaryDirectory(), 'out')
    expect(await api.fuse(left.path, right.path, { out, device: 'cuda' })).toMatchObject({ device: 'cuda:1' })
  })
})

describe('a device that fails', () => {
  const advice =
    "Run again with device 'cpu' (--device cpu), or with 'auto', which goes on without a device that fails."
  test.each([
    ['fail_device_allocation=1', 'ERR_DEVICE_MEMORY', 'CUDA device 0 failed to allocate memory: out of memory'],
    ['fail_pinned_allocation=1', 'ERR_DEVICE_MEMORY', 'CUDA device 0 failed to pin memory of the host: out of memory'],
    ['memory=50000', 'ERR_DEVICE_MEMORY', "free memory for tensor 'model."],
    [`fail_launch=12:${cudaErrors.eccUncorrectable}`, 'ERR_DEVICE_FAILED', 'uncorrectable ECC error encountered'],
    [`fail_call=90:${cudaErrors.launchFailure}`, 'ERR_DEVICE_FAILED', 'unspecified launch failure'],
  ])('%s ends a merge with %s', async (field, code, message) => {
    setMachine(field)
    const out = join(temporaryDirectory(), 'out')
    const error: unknown = await api.fuse(left.path, right.path, { out, device: 'cuda' }).catch((reason) => reason)
    expect(error).toMatchObject({ code, message: expect.stringContaining(message) })
    expect((error as Error).message.endsWith(advice)).toBe(true)
    expect(existsSync(out)).toBe(false)
  })

  test('what a failed merge left with resume, the CPU finishes', async () => {
    const out = temporaryDirectory()
    const run = (name: string, device: 'cpu' | 'cuda') =>
      api.merge('(math & science) & coding', { models, out: join(out, name), device, resume: true })
    await run('expected', 'cpu')
    setMachine(`fail_launch=30:${cudaErrors.eccUncorrectable}`)
    await expect(run('out', 'cuda')).rejects.toMatchObject({ code: 'ERR_DEVICE_FAILED' })
    expect(fileNames(join(out, 'out'))).not.toEqual([])
    expect(looksComplete(join(out, 'out'))).toBe(false)
    expect(await run('out', 'cpu')).toMatchObject({ device: 'cpu', warnings: [], alreadyDone: false })
    expect(hashFiles(join(out, 'out'))).toEqual(hashFiles(join(out, 'expected')))
  })
})

test('a signal ends a merge on devices, which can be gone on with', async () => {
  const out = temporaryDirectory()
  const run = (name: string, device: 'cpu' | 'cuda', signal?: AbortSignal, onProgress?: () => void) =>
    api.fuse(left.path, right.path, { out: join(out, name), device, resume: true, signal, onProgress })
  await run('expected', 'cpu')
  setMachine('devices=2', 'milliseconds=5')
  const controller = new AbortController()
  const reason = new Error('enough')
  await expect(run('out', 'cuda', controller.signal, () => controller.abort(reason))).rejects.toBe(reason)
  expect(looksComplete(join(out, 'out'))).toBe(false)
  setMachine('devices=2')
  expect(await run('out', 'cuda')).toMatchObject({ device: expect.stringContaining('cuda:') })
  expect(hashFiles(join(out, 'out'))).toEqual(hashFiles(join(out, 'expected')))
})
