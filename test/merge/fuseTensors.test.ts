import { describe, expect, test } from 'vitest'
import { type FuseOptions, fuse, type Tensor } from '../../lib/index.js'
import { decode, encode, type FloatDtype } from '../support/floats.js'
import { Random } from '../support/random.js'

/** A pair of one tensor before and after training, as bytes. */
function pairOf(dtype: FloatDtype, shape: number[]) {
  const random = new Random(7)
  const count = shape.reduce((product, size) => product * size, 1)
  const base = Array.from({ length: count }, () => random.normal() * 0.02)
  const left = encode(dtype, base)
  const right = encode(
    dtype,
    Array.from(base, (value) => value + random.normal() * 2e-3),
  )
  return { left, right }
}

const shape = [24, 40]
const tensor = <D extends ArrayBufferView>(dtype: string, data: D, of = shape): Tensor<D> => ({
  dtype,
  shape: of,
  data,
})

describe('the result', () => {
  test("each element is Left's or Right's, and kept counts Right's", async () => {
    const { left, right } = pairOf('BF16', shape)
    const { tensor: fused, stats } = await fuse(tensor('BF16', left), tensor('BF16', right))
    const words = (bytes: ArrayBufferView) => new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2)
    const [a, b, c] = [words(left), words(right), words(fused.data)]
    let takenFromRight = 0
    for (let i = 0; i < c.length; i++) {
      expect([a[i], b[i]]).toContain(c[i])
      if (c[i] !== a[i]) takenFromRight++
    }
    expect(stats).toMatchObject({ dtype: 'BF16', shape, elements: 960, identical: false, degenerate: false })
    expect(stats.kept).toBeGreaterThanOrEqual(takenFromRight)
    expect(takenFromRight).toBeGreaterThan(0)
    expect(stats.kept).toBeLessThan(480)
  })

  test("data has the class of Left's", async () => {
    const { left, right } = pairOf('F32', shape)
    const of = async <D extends ArrayBufferView>(data: D) =>
      (await fuse(tensor('F32', data), tensor('F32', right))).tensor.data
    const aligned = left.slice()
    expect(await of(new Float32Array(aligned.buffer))).toBeInstanceOf(Float32Array)
    expect((await of(new Float32Array(aligned.buffer))).constructor.name).toBe('Float32Array')
    expect(Buffer.isBuffer(await of(Buffer.from(left)))).toBe(true)
    expect(await of(new DataView(aligned.buffer))).toBeInstanceOf(DataView)
    expect((await of(aligned)).constructor).toBe(Uint8Array)
  })

  test('a view at an odd place of its buffer is read where it is', async () => {
    const { left, right } = pairOf('BF16', shape)
    const expected = await fuse(tensor('BF16', left), tensor('BF16', right))
    const shift = (bytes: Uint8Array, by: number) => {
      const room = new Uint8Array(bytes.length + 16).fill(0xff)
      room.set(bytes, by)
      return room.subarray(by, by + bytes.length)
    }
    const { tensor: fused } = await fuse(tensor('BF16', shift(left, 1)), tensor('BF16', shift(right, 3)))
    expect(Buffer.from(fused.data as Uint8Array).equals(Buffer.from(expected.tensor.data as Uint8Array))).toBe(true)
  })

  test('another output dtype comes in its own class, each value rounded once', async () => {
    const { left, right } = pairOf('BF16', shape)
    const kept = await fuse(tensor('BF16', left), tensor('BF16', right))
    const { tensor: fused } = await fuse(tensor('bfloat16', left), tensor('BF16', right), { dtype: 'float32' })
    expect(fused.dtype).toBe('F32')
    expect(fused.data).toBeInstanceOf(Float32Array)
    expect(fused.data).toEqual(decode('BF16', kept.tensor.data as Uint8Array))
    const { tensor: half } = await fuse(tensor('BF16', left), tensor('BF16', right), { dtype: 'F16' })
    expect(half.data).toBeInstanceOf(Uint16Array)
    const { tensor: double } = await fuse(tensor('BF16', left), tensor('BF16', right), { dtype: 'F64' })
    expect(double.data).toBeInstanceOf(Float64Array)
  })

  test('options reach the kernel', async () => {
    const { left, right } = pairOf('F32', shape)
    const kept = async (options: FuseOptions) =>
      (await fuse(tensor('F32', left), tensor('F32', right), options)).stats.kept
    const [none, some, most] = [await kept({ lambda: 100 }), await kept({}), await kept({ lambda: 0 })]
    expect(none).toBe(0)
    expect(some).toBeGreaterThan(0)
    expect(most).toBeGreaterThan(some)
  })

  test('scalars, empty tensors, and equal integers', async () => {
    const one = new Float32Array([1])
    expect((await fuse(tensor('F32', one, []), tensor('F32', new Float32Array([2]), []))).stats.elements).toBe(1)
    const none = new Float32Array(0)
    expect((await fuse(tensor('F32', none, [0, 4]), tensor('F32', none, [0, 4]))).tensor.data).toEqual(none)
    const ids = new BigInt64Array([1n, 2n])
    const { tensor: fused, stats } = await fuse(tensor('I64', ids, [2]), tensor('I64', ids, [2]), { dtype: 'F32' })
    expect(fused).toEqual({ dtype: 'I64', shape: [2], data: ids })
    expect(stats.identical).toBe(true)
  })
})

describe('what is refused, and how', () => {
  const good = tensor('F32', new Float32Array(960))
  const bad = (change: object) => ({ ...good, ...change }) as Tensor
  const cases: [Tensor, string, string][] = [
    [bad({ dtype: 'F31' }), 'ERR_INVALID_ARGUMENT', "for right.dtype but received 'F31' of type string"],
    [bad({ dtype: 'toString' }), 'ERR_INVALID_ARGUMENT', 'for right.dtype'],
    [bad({ dtype: 'F8_E4M3' }), 'ERR_DTYPE_UNSUPPORTED', 'not F8_E4M3'],
    [bad({ shape: [24, -40] }), 'ERR_INVALID_ARGUMENT', 'array of non-negative integers for right.shape'],
    [bad({ shape: [2 ** 40, 2 ** 40] }), 'ERR_INVALID_ARGUMENT', 'fewer than 2^53 elements for right.shape'],
    [bad({ shape: '24' }), 'ERR_INVALID_ARGUMENT', "for right.shape but received '24' of type string"],
    [
      bad({ data: new Float32Array(959) }),
      'ERR_INVALID_ARGUMENT',
      'Expected 3840 bytes for right.data (F32 [24, 40]) but received 3836',
    ],
    [bad({ data: new Float32Array(961) }), 'ERR_INVALID_ARGUMENT', 'but received 3844'],
    [bad({ data: Array(960).fill(0) }), 'ERR_INVALID_ARGUMENT', 'typed array, Buffer or DataView for right.data'],
    [
      bad({ data: new Float32Array(new SharedArrayBuffer(3840)) }),
      'ERR_INVALID_ARGUMENT',
      'neither shared nor resizable',
    ],
    [bad({ extra: 1 }), 'ERR_INVALID_ARGUMENT', "Unknown option 'extra'"],
    [tensor('F64', new Float64Array(960)), 'ERR_DTYPE_MISMATCH', 'left is F32, right is F64'],
    [tensor('F32', new Float32Array(960), [40, 24]), 'ERR_SHAPE_MISMATCH', 'left is [24, 40], right is [40, 24]'],
    [
      null as unknown as Tensor,
      'ERR_INVALID_ARGUMENT',
      'Expected a tensor { dtype, shape, data } for right but received null',
    ],
    ['path' as unknown as Tensor, 'ERR_INVALID_ARGUMENT', 'Expected a tensor, as for left, for right'],
  ]
  test.each(cases)('%#', async (right, code, message) => {
    await expect(fuse(good, right)).rejects.toMatchObject({ code, message: expect.stringContaining(message) })
  })

  test('a path and a tensor', async () => {
    await expect(fuse('left' as never, good)).rejects.toThrow('Expected a path, as for left, for right')
  })

  test('memory that can shrink', async () => {
    const Resizable = ArrayBuffer as unknown as new (bytes: number, options: object) => ArrayBuffer
    const data = new Float32Array(new Resizable(3840, { maxByteLength: 8000 }))
    await expect(fuse(good, bad({ data }))).rejects.toThrow('neither shared nor resizable')
  })

  test('NaN, named by side, unless a side is to be kept', async () => {
    const spoiled = tensor('F32', new Float32Array(960).fill(1, 0, 959).fill(Number.NaN, 959))
    await expect(fuse(good, spoiled)).rejects.toMatchObject({
      code: 'ERR_NON_FINITE',
      message: expect.stringMatching(/right/i),
    })
    const { tensor: left, stats } = await fuse(good, spoiled, { nonFinite: 'left' })
    expect(left.data).toEqual(good.data)
    expect(stats.nonFinite).toBe('left')
    expect((await fuse(good, spoiled, { nonFinite: 'right' })).tensor.data).toEqual(spoiled.data)
  })

  test('integers that differ', async () => {
    const ids = (last: number) => tensor('I32', new Int32Array([1, 2, last]), [3])
    await expect(fuse(ids(3), ids(4))).rejects.toMatchObject({ code: 'ERR_INTEGER_MISMATCH' })
  })
})

describe('running', () => {
  const count = 1024 * 4096
  const data = Float32Array.from({ length: count }, (_, i) => Math.sin(i))
  const big = tensor('F32', data, [1024, 4096])
  const other = tensor(
    'F32',
    data.map((value) => value + 0.001 * Math.cos(value * 100)),
    [1024, 4096],
  )

  test('progress rises to the end and stops before the promise settles', async () => {
    const seen: number[] = []
    let settled = false
    await fuse(big, other, {
      onProgress: ({ bytesDone, bytesTotal }) => {
        expect(settled).toBe(false)
        seen.push(bytesDone / bytesTotal)
      },
    })
    settled = true
    expect(seen).toEqual(seen.toSorted((a, b) => a - b))
    expect(seen.at(-1) ?? 1).toBeLessThanOrEqual(1)
    await new Promise((resolve) => setTimeout(resolve, 20))
  })

  test("an abort rejects with the signal's reason", async () => {
    const controller = new AbortController()
    const reason = new Error('enough')
    const result = fuse(big, other, { signal: controller.signal, threads: 1 })
    controller.abort(reason)
    await expect(result).rejects.toBe(reason)
    await expect(fuse(big, other, { signal: controller.signal })).rejects.toBe(reason)
  })
})
