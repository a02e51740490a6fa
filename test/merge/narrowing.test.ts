import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { fuse } from '../../lib/index.js'
import { looksComplete } from '../support/directoryContents.js'
import { buildFaults, faults } from '../support/faults.js'
import { encode, type FloatDtype } from '../support/floats.js'
import { rounds } from '../support/rounds.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'
import { writeCheckpoint, writePair } from '../support/writeCheckpoint.js'

/** A checkpoint of one tensor `w` with `value` as its element 5. */
function checkpointWith(directory: string, name: string, dtype: FloatDtype, value: number, spread = 0): string {
  const values = Array.from({ length: 64 }, (_, i) => (i === 5 ? value : 0.01 * i + spread * (i % 3)))
  const path = join(directory, name)
  writeCheckpoint(path, { tensors: new Map([['w', { dtype, shape: [8, 8], data: encode(dtype, values) }]]) })
  return path
}

describe('a value that does not fit the dtype of the output is an error and not infinity', () => {
  const narrowings: [FloatDtype, 'F16' | 'BF16' | 'F32', number, string][] = [
    ['F32', 'F16', 70000, 'BF16 or F32'],
    ['BF16', 'F16', -65536, 'BF16 or F32'],
    ['F32', 'BF16', 3.4e38, 'F32'],
    ['F64', 'F32', 1e300, 'F64'],
  ]

  test.each(narrowings)('fused, identical or not: %s → %s of %d', async (from, dtype, value, wider) => {
    const directory = temporaryDirectory()
    const left = checkpointWith(directory, 'left', from, value)
    for (const spread of [0, 0.001]) {
      const right = checkpointWith(directory, `right-${spread}`, from, value, spread)
      const out = join(directory, `out-${spread}`)
      await expect(fuse(left, right, { out, dtype })).rejects.toMatchObject({
        code: 'ERR_NON_FINITE',
        message: expect.stringMatching(
          new RegExp(`'w': .*element 5 is .*does not fit ${dtype} \\(.*Choose dtype ${wider} instead\\.`),
        ),
      })
      expect(looksComplete(out)).toBe(false)
    }
  })

  test.each(['linear(a, b)', 'slerp(a, b; t=0.5)', 'nuslerp(a, b)'])('by %s', async (expression) => {
    const directory = temporaryDirectory()
    const models = ['a', 'b'].flatMap((name, i) => [
      '--model',
      `${name}=${checkpointWith(directory, name, 'F32', 70000, 0.001 * i)}`,
    ])
    const out = ['--dtype', 'F16', '--out', join(directory, 'out')]
    const { code, stderr } = await runCommand(['merge', expression, ...models, ...out])
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/'w': .* is 7\d{4}.*does not fit F16 .*\[ERR_NON_FINITE\]/s),
    ])
  })

  test('what fits is written, to the largest', async () => {
    const directory = temporaryDirectory()
    const [left, right] = [0, 0.001].map((spread, i) => checkpointWith(directory, `m${i}`, 'F32', 65519, spread))
    const out = join(directory, 'out')
    await fuse(left as string, right as string, { out, dtype: 'F16' })
    const bytes = readFileSync(join(out, 'model.safetensors'))
    expect(bytes.readUInt16LE(bytes.length - 128 + 10)).toBe(0x7bff)
  })
})

describe('what a machine lacks', () => {
  beforeAll(buildFaults)
  const fuseWith = async (variables: Parameters<typeof faults>[0], ...more: string[]) => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory)
    const out = join(directory, 'out')
    const result = await runCommand(['fuse', left.path, right.path, '--out', out, '--device', 'cpu', ...more], {
      // Debian's Node 20 reads files by io_uring, too, and a kernel that takes it back ends such a process.
      env: { ...faults(variables), UV_USE_IO_URING: '0' },
    })
    return {
      ...result,
      bytes: existsSync(join(out, 'model.safetensors')) && readFileSync(join(out, 'model.safetensors')),
    }
  }

  test('threads: an error, and no end of the process', async () => {
    const { code, signal, stderr } = await fuseWith({ FAULT_THREADS: '40' }, '--threads', '64')
    expect([code, signal, stderr]).toEqual([1, null, expect.stringMatching(/Use fewer threads.*\[ERR_THREADS\]/)])
  })

  // However many start: in the pool, in the queue of reads, in what reads ahead, each of which starts several.
  test('threads, at each that a merge starts', { timeout: 600_000 }, async () => {
    const step = rounds({ all: 1, quick: 5 })
    let started = 20
    for (; started < 200; started += step) {
      const { code, signal, stderr } = await fuseWith(
        { FAULT_THREADS: String(started), FAULT_IO_URING: '1' },
        '--threads',
        '3',
      )
      if (code === 0) break
      expect([code, signal, stderr]).toEqual([1, null, expect.stringMatching(/Use fewer threads.*\[ERR_THREADS\]/)])
    }
    expect(started).toBeGreaterThan(25)
    expect(started).toBeLessThan(200)
  })

  test('io_uring, and uninterrupted system calls: the same bytes', async () => {
    const plain = await fuseWith({})
    expect(plain.code, plain.stderr).toBe(0)
    const { code, stderr, bytes } = await fuseWith({ FAULT_IO_URING: '1', FAULT_INTERRUPT: '1' })
    expect(code, stderr).toBe(0)
    expect(bytes).toEqual(plain.bytes)
  })
})
