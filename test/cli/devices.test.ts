import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { fileNames, hashFiles, isPartial, looksComplete } from '../support/directoryContents.js'
import { buildEmulatedAddon, cudaErrors, machine } from '../support/emulatedDevices.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory, temporaryDirectoryOfFile } from '../support/temporary.js'
import { type Tensors, writeCheckpoint, writePair } from '../support/writeCheckpoint.js'

// The command on a machine with CUDA devices: they are emulated, and everything else is what users have.

beforeAll(buildEmulatedAddon)

const directory = temporaryDirectoryOfFile()
const pair = writePair(directory)
const [left, right] = [pair.left.path, pair.right.path]
const models = ['--model', `a=${left}`, '--model', `b=${right}`]

describe('doctor', () => {
  const rows = async (...fields: string[]) => {
    const { code, stdout } = await runCommand(['doctor'], { env: machine(...fields) })
    expect(code).toBe(0)
    return stdout.split('\n').filter((line) => /^(CUDA|cuda:)/.test(line))
  }

  test.each([
    [
      ['devices=2', 'memory=80000000'],
      [
        'CUDA          13.0, driver for 13.0',
        'cuda:0        Emulated device 0, 80.0 MB, 80.0 MB free, sm_90',
        'cuda:1        Emulated device 1, 80.0 MB, 80.0 MB free, sm_90',
      ],
    ],
    [
      ['devices=2', 'memory=80000000', 'old=1'],
      [
        'CUDA          13.0, driver for 13.0',
        'cuda:0        Emulated device 0, 80.0 MB, 80.0 MB free, sm_90',
        'cuda:1        Emulated device 1, not used: compute capability 7.5, and 8.0 is the oldest that has kernels',
      ],
    ],
    [
      ['devices=0'],
      [
        'CUDA          13.0, driver for 13.0; not used: the NVIDIA driver shows no device; CUDA_VISIBLE_DEVICES and the container decide which it shows',
      ],
    ],
    [
      ['driver=12040'],
      [
        'CUDA          13.0, driver for 12.4; not used: the NVIDIA driver is too old: it supports CUDA 12.4, and this build needs 13.0',
      ],
    ],
  ])('%j', async (fields, expected) => {
    expect(await rows(...fields)).toEqual(expected)
  })

  test('--json has what devices() has', async () => {
    const { stdout } = await runCommand(['doctor', '--json'], { env: machine('devices=2', 'old=0') })
    const { native } = JSON.parse(stdout)
    expect(native.path).toContain('emulated')
    expect(native.cuda).toMatchObject({ compiled: true, runtime: '13.0', driver: '13.0' })
    expect(native.cuda).not.toHaveProperty('unavailable')
    expect(native.cuda.devices).toEqual([
      expect.objectContaining({
        index: 0,
        computeCapability: '7.5',
        unusable: expect.stringContaining('8.0 is the oldest'),
      }),
      expect.objectContaining({ index: 1, name: 'Emulated device 1', computeCapability: '9.0' }),
    ])
  })
})

/** Much to do by its size, and little in fact: zeros. */
function writePadded(directory: string, { path, tensors }: { path: string; tensors: Tensors }, count: number): string {
  const zeros = { dtype: 'BF16', shape: [2048, 2048], data: Buffer.alloc(2 ** 23) }
  const padding = Array.from({ length: count }, (_, i) => [`model.layers.9.padding.${i}.weight`, zeros] as const)
  return writeCheckpoint(join(directory, basename(path)), { tensors: new Map([...tensors, ...padding]) })
}

describe('a merge on devices', () => {
  test('says on which, for people and as JSON, and writes what the CPU writes', async () => {
    const out = temporaryDirectory()
    const run = (name: string, ...options: string[]) =>
      runCommand(
        [
          'merge',
          '(a & b) & a',
          ...models,
          '--out',
          join(out, name),
          '--stats',
          join(out, `${name}.jsonl`),
          ...options,
        ],
        {
          env: machine('devices=2'),
        },
      )
    const [cpu, cuda, second] = await Promise.all([
      run('cpu', '--device', 'cpu'),
      run('cuda', '--device', 'cuda'),
      run('second', '--device', 'cuda:1', '--json'),
    ])
    for (const { code, stderr } of [cpu, cuda, second]) expect([code, stderr]).toEqual([0, ''])
    expect(cpu.stdout).toMatch(/^Computed on the CPU, as asked for$/m)
    expect(cuda.stdout).toMatch(/^Computed on cuda:0,1, as asked for$/m)
    expect(JSON.parse(second.stdout)).toMatchObject({ device: 'cuda:1', deviceReason: 'asked for', warnings: [] })
    const expected = hashFiles(join(out, 'cpu'))
    for (const name of ['cuda', 'second']) expect(hashFiles(join(out, name))).toEqual(expected)
    const statistics = (name: string) => readFileSync(join(out, `${name}.jsonl`), 'utf8')
    for (const name of ['cuda', 'second']) expect(statistics(name)).toBe(statistics('cpu'))
  })

  test('of a batch says once on which', async () => {
    const out = temporaryDirectory()
    const files = ['one', 'two'].map((name) => {
      const file = join(out, `${name}.yaml`)
      writeFileSync(file, 'models: {a: {}, b: {}}\nexpression: a & b\n')
      return file
    })
    const run = ['batch', ...files, ...models, '--out', out, '--device', 'cuda:1']
    const { code, stdout } = await runCommand(run, { env: machine('devices=2') })
    expect(code).toBe(0)
    expect(stdout.split('\n').filter((line) => line.startsWith('Computed'))).toEqual([
      'Computed on cuda:1, as asked for',
    ])
    expect(hashFiles(join(out, 'one'))).toEqual(hashFiles(join(out, 'two')))
  })

  test('that did not ask for them takes the CPU where that is quicker, and says so', async () => {
    const out = join(temporaryDirectory(), 'out')
    const { code, stdout } = await runCommand(['fuse', left, right, '--out', out], { env: machine('devices=2') })
    expect(code).toBe(0)
    expect(stdout).toMatch(/^Computed on the CPU: \w.*$/m)
  })

  test.each([
    [
      'gpu',
      2,
      "Expected 'auto', 'cpu', 'cuda' or numbers of devices as 'cuda:0,2' for device but received 'gpu' of type string [ERR_INVALID_ARGUMENT]",
    ],
    [
      'cuda:',
      2,
      "Expected 'auto', 'cpu', 'cuda' or numbers of devices as 'cuda:0,2' for device but received 'cuda:' of type string [ERR_INVALID_ARGUMENT]",
    ],
    [
      'cuda:0,0',
      2,
      "Expected 'auto', 'cpu', 'cuda' or numbers of devices as 'cuda:0,2' for device but received 'cuda:0,0' of type string [ERR_INVALID_ARGUMENT]",
    ],
    [
      'cuda:2',
      1,
      "Expected usable CUDA devices for device 'cuda:2' but there is no cuda:2, only cuda:0, cuda:1. Run with device 'cpu' (--device cpu) or 'auto'. [ERR_DEVICE_UNAVAILABLE]",
    ],
  ])('--device %s: exit code %i', async (device, expected, message) => {
    const out = join(temporaryDirectory(), 'out')
    const run = ['fuse', left, right, '--out', out, '--device', device]
    const { code, stdout, stderr } = await runCommand(run, { env: machine('devices=2') })
    expect([code, stdout, stderr]).toEqual([expected, '', `branchmerge: ${message}\n`])
    expect(fileNames(out)).toEqual([])
  })

  test('whose device is lost exits with 1 and leaves what --resume finishes on the CPU', async () => {
    const out = temporaryDirectory()
    const run = (name: string, options: string[], env: Record<string, string>) =>
      runCommand(['merge', '(a & b) & a', ...models, '--out', join(out, name), '--resume', '--json', ...options], {
        env,
      })
    const lost = await run('out', ['--device', 'cuda'], machine(`fail_launch=25:${cudaErrors.eccUncorrectable}`))
    expect(lost.code).toBe(1)
    const { error } = JSON.parse(lost.stdout)
    expect(error).toEqual({
      code: 'ERR_DEVICE_FAILED',
      message: expect.stringMatching(
        /^CUDA device 0 failed to .*: uncorrectable ECC error encountered \(cudaErrorECCUncorrectable\)\. Run again with device 'cpu'/,
      ),
    })
    expect(fileNames(join(out, 'out')).some(isPartial)).toBe(true)
    expect(looksComplete(join(out, 'out'))).toBe(false)
    const [finished, whole] = [await run('out', ['--device', 'cpu'], {}), await run('whole', ['--device', 'cpu'], {})]
    expect([finished.code, whole.code]).toEqual([0, 0])
    expect(hashFiles(join(out, 'out'))).toEqual(hashFiles(join(out, 'whole')))
  })

  test('chosen by auto, whose device is lost, goes on on the CPU with one warning', async () => {
    // On a busy machine the device seems slow, too: then with more to do.
    let isChosen = false
    for (let padding = 8; !isChosen && padding <= 256; padding *= 2) isChosen = await losesItsDevice(padding)
    expect(isChosen).toBe(true)
  })

  /** Whether the device was chosen. */
  async function losesItsDevice(padding: number): Promise<boolean> {
    const directory = temporaryDirectory()
    const [left, right] = [pair.left, pair.right].map((one) => writePadded(directory, one, padding)) as [string, string]
    // Slow on the CPU; the device seems quick while it is measured, and its third kernel after that fails.
    const slow = { BRANCHMERGE_INSTRUCTION_SET: 'scalar' }
    const lost = machine('idle_until_registered=1', `fail_launch=3:${cudaErrors.eccUncorrectable}`)
    const run = (name: string, options: string[], env: Record<string, string>) => {
      const fusion = ['fuse', left, right, '--preset', 'paper-soft', '--out', join(directory, name)]
      return runCommand([...fusion, ...options], { env })
    }
    // One after the other: beside others a device of the CPU is as slow as the CPU.
    const expected = await run('cpu', [], {})
    const text = await run('text', ['--threads', '1'], { ...slow, ...lost })
    const json = await run('json', ['--threads', '1', '--json'], { ...slow, ...lost })
    expect([expected.code, text.code, json.code]).toEqual([0, 0, 0])
    const lines = text.stdout.split('\n').filter((line) => line.startsWith('Warning'))
    const { warnings } = JSON.parse(json.stdout)
    for (const name of ['text', 'json']) {
      expect(hashFiles(join(directory, name))).toEqual(hashFiles(join(directory, 'cpu')))
    }
    if (lines.length === 0 || warnings.length === 0) return false
    // Which of its calls tells of a kernel's failure depends on when that failed.
    const error = String.raw`uncorrectable ECC error encountered \(cudaErrorECCUncorrectable\)`
    const warning = String.raw`CUDA device 0 failed to [a-z ]+: ${error}\. The merge went on without it\.$`
    expect(lines).toEqual([expect.stringMatching(`^Warning: ${warning}`)])
    expect(text.stdout).toMatch(/^Computed on the CPU: Emulated device 0: /m)
    expect(JSON.parse(json.stdout)).toMatchObject({
      device: 'cpu',
      deviceReason: expect.stringMatching(/^Emulated device 0: /),
      warnings: [expect.stringMatching(`^${warning}`)],
    })
    return true
  }

  test('ends with 130 after Ctrl-C, and --resume goes on', async () => {
    const out = join(temporaryDirectory(), 'out')
    const run = ['fuse', left, right, '--out', out, '--device', 'cuda', '--resume']
    const interrupt = (milliseconds: number) =>
      runCommand(run, {
        env: machine('devices=2', `milliseconds=${milliseconds}`),
        onStart: (child) => {
          const timer = setInterval(() => {
            if (!fileNames(out).some(isPartial)) return
            clearInterval(timer)
            child.kill('SIGINT')
          }, 5)
          child.on('exit', () => clearInterval(timer))
        },
      })
    let interrupted = await interrupt(50)
    // It was done before this process saw that it had begun.
    for (let milliseconds = 200; interrupted.code === 0; milliseconds *= 4) {
      rmSync(out, { recursive: true })
      interrupted = await interrupt(milliseconds)
    }
    expect(interrupted).toMatchObject({ code: 130, signal: null, stdout: '' })
    expect(interrupted.stderr).toContain('Interrupted by SIGINT; unfinished files were kept')
    expect(looksComplete(out)).toBe(false)
    const { code, stdout } = await runCommand(run, { env: machine('devices=2') })
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^Computed on cuda:[01](,1)?, as asked for$/m)])
    expect(looksComplete(out)).toBe(true)
  })
})
