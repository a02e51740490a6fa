import { availableParallelism } from 'node:os'
import { describe, expect, test } from 'vitest'
import { resolveFuseCheckpointsOptions, resolveFuseOptions } from '../../lib/fusion/fuseOptions.js'
import { presets } from '../../lib/fusion/presets.js'

const arcee = {
  scope: 'row',
  divergence: 'right||left',
  score: 'abs',
  gate: 'ge',
  lambda: 1.5,
  epsilon: 1e-8,
  quantile: 'lower',
  population: 'all',
}
const paper = { ...arcee, scope: 'tensor', divergence: 'left||right', score: 'signed', gate: 'gt' }

test('presets are those of the definition', () => {
  expect(presets).toEqual({ arcee, paper, 'paper-soft': { ...paper, gate: 'soft' } })
})

test('presets cannot be changed under others', () => {
  expect(() => Object.assign(presets.arcee, { lambda: 2 })).toThrow(TypeError)
})

test('without options: arcee, all cores, the dtype of the inputs', () => {
  expect(resolveFuseOptions({})).toMatchObject({
    preset: 'arcee',
    fusion: { ...arcee, nonFinite: 'error' },
    overrides: {},
    dtype: undefined,
    threads: availableParallelism(),
  })
})

test('each field overrides the preset on its own, and undefined does not', () => {
  const options = { preset: 'paper', gate: 'ge', lambda: 0, epsilon: 0, population: undefined } as const
  const { fusion, overrides } = resolveFuseOptions(options)
  expect(fusion).toEqual({ ...paper, gate: 'ge', lambda: 0, epsilon: 0, nonFinite: 'error' })
  expect(overrides).toEqual({ gate: 'ge', lambda: 0, epsilon: 0 })
})

test('dtypes go by either name', () => {
  for (const dtype of ['BF16', 'bfloat16', 'bf16'] as 'BF16'[]) expect(resolveFuseOptions({ dtype }).dtype).toBe('BF16')
  expect(resolveFuseOptions({ dtype: 'float64' }).dtype).toBe('F64')
})

describe('shard sizes are read as Hugging Face reads them', () => {
  const sizes: [string | number, number][] = [
    [1000, 1000],
    ['5GB', 5e9],
    ['500MB', 5e8],
    ['2GiB', 2 * 2 ** 30],
    ['1.5 kb', 1500],
    ['7000', 7000],
  ]
  test.each(sizes)('%s', (maxShardSize, bytes) => {
    expect(resolveFuseCheckpointsOptions({ out: 'out', maxShardSize }).maxShardBytes).toBe(bytes)
  })
})

test('memory, of 1 MB or more', () => {
  const resolved = ['1MB', '8GiB', 1e6].map(
    (memory) => resolveFuseCheckpointsOptions({ out: 'out', memory }).memoryBytes,
  )
  expect(resolved).toEqual([1e6, 8 * 2 ** 30, 1e6])
})

describe('what is refused, and how', () => {
  const cases: [options: unknown, message: string][] = [
    [{ threads: -1 }, 'Expected an integer from 1 to 1024 for threads but received -1 of type number'],
    [{ threads: 1.5 }, 'Expected an integer from 1 to 1024 for threads but received 1.5 of type number'],
    [{ threads: '2' }, "Expected an integer from 1 to 1024 for threads but received '2' of type string"],
    [{ threads: 1025 }, 'Expected an integer from 1 to 1024 for threads but received 1025 of type number'],
    [{ lambda: -0.1 }, 'Expected a number from 0 to 1000000 for lambda but received -0.1 of type number'],
    [{ lambda: Number.NaN }, 'Expected a number from 0 to 1000000 for lambda but received NaN of type number'],
    [{ lambda: null }, 'Expected a number from 0 to 1000000 for lambda but received null of type null'],
    [{ epsilon: 1e-31 }, 'Expected 0 or a number from 1e-30 to 1 for epsilon but received 1e-31 of type number'],
    [{ epsilon: 2 }, 'Expected 0 or a number from 1e-30 to 1 for epsilon but received 2 of type number'],
    [{ gate: 'gee' }, "one of ge, gt, soft for gate but received 'gee' of type string (did you mean ge?)"],
    [{ preset: 'toString' }, 'Expected one of arcee, paper, paper-soft for preset'],
    [{ nonFinite: true }, 'Expected one of error, left, right for nonFinite but received true of type boolean'],
    [{ dtype: 'F8_E4M3' }, "Expected one of BF16, F16, F32, F64 for dtype but received 'F8_E4M3' of type string"],
    [{ signal: {} }, 'Expected an AbortSignal for signal but received {} of type object'],
    [{ onProgress: 1 }, 'Expected a function for onProgress but received 1 of type number'],
    [{ thread: 2 }, "Unknown option 'thread': did you mean threads?"],
    [{ maxshardsize: 2 }, "Unknown option 'maxshardsize': did you mean maxShardSize?"],
    [{ zzz: 2 }, "Unknown option 'zzz': expected one of preset, scope"],
    [{ out: '' }, "Expected a path for out but received '' of type string"],
    [{ out: undefined }, 'Expected a path for out but received undefined'],
    [{ out: 'a\0b' }, 'Expected a path for out'],
    [{ overwrite: 1 }, 'Expected true or false for overwrite but received 1 of type number'],
    [{ maxShardSize: 0 }, "'2GiB' for maxShardSize but received 0 of type number"],
    [{ maxShardSize: '5 parsecs' }, "'2GiB' for maxShardSize but received '5 parsecs' of type string"],
    [{ maxShardSize: '-5GB' }, "'2GiB' for maxShardSize but received '-5GB' of type string"],
    [
      { maxShardSize: '5' },
      "Expected 1KB or more, with a unit as '8GB' or '8GiB' (a bare number is in bytes), for maxShard",
    ],
    [
      { memory: '8' },
      "Expected 1MB or more, with a unit as '8GB' or '8GiB' (a bare number is in bytes), for memory but",
    ],
    [{ memory: 16 }, 'for memory but received 16 of type number'],
    [{ memory: '999kB' }, "for memory but received '999kB' of type string"],
    [{ memory: '8 gigs' }, "for memory but received '8 gigs' of type string"],
    [[], 'Expected an object for options but received [] of type array'],
    [null, 'Expected an object for options but received null of type null'],
  ]
  test.each(cases)('%o', (options, message) => {
    const given = Array.isArray(options) || options === null ? options : { out: 'out', ...(options as object) }
    const resolve = () => resolveFuseCheckpointsOptions(given as Parameters<typeof resolveFuseCheckpointsOptions>[0])
    expect(resolve).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }))
    expect(resolve).toThrow(message)
  })

  test('options of checkpoints are unknown to tensors', () => {
    expect(() => resolveFuseOptions({ out: 'x' } as object)).toThrow("Unknown option 'out'")
  })
})
