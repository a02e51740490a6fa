import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type AnalyseOptions, type AnalysisGroup, analyse, merge, plan } from '../../lib/index.js'
import { fileNames } from '../support/directoryContents.js'
import { decode, encode, type FloatDtype } from '../support/floats.js'
import { Random } from '../support/random.js'
import { readSafetensors } from '../support/readSafetensors.js'
import { temporaryDirectory } from '../support/temporary.js'
import {
  dealToShards,
  drawModel,
  fineTune,
  qwen2Shapes,
  safetensorsBytes,
  type Tensors,
  writeCheckpoint,
} from '../support/writeCheckpoint.js'
import { dot, reference } from './reference.js'

/** A base and experts of it in directories, and what they hold. */
function written(models: Record<string, Tensors>, config: Record<string, unknown> = {}) {
  const directory = temporaryDirectory()
  const path = (name: string) => join(directory, name)
  for (const [name, tensors] of Object.entries(models)) writeCheckpoint(path(name), { tensors, config })
  return { directory, path }
}

const close = (value: unknown): unknown => {
  if (typeof value === 'number') return Number.isInteger(value) ? value : expect.closeTo(value, 10)
  if (Array.isArray(value)) return value.map(close)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, close(each)]))
}

/** What is compared with the reference: it knows nothing of gradients and counts of tensors. */
const compared = ({ elements, baseNorm, experts, pairs, merged }: AnalysisGroup) => ({
  elements,
  baseNorm,
  experts,
  pairs,
  merged,
})

describe('an analysis agrees with its definitions', () => {
  test.each([
    ['BF16', ['BF16', 'BF16', 'BF16']],
    ['F16', ['F16', 'F16', 'F16']],
    ['F32', ['F32', 'F32', 'F32']],
    ['F64', ['F64', 'F64', 'F64']],
    ['BF16', ['F32', 'BF16', 'F16']],
    ['F32', ['F64', 'BF16', 'F32']],
  ] as [FloatDtype, FloatDtype[]][])('base %s, experts %s', async (dtype, dtypes) => {
    const base = drawModel({ dtype })
    const as = (tensors: Tensors, to: FloatDtype): Tensors =>
      new Map(
        [...tensors].map(([name, { shape, data }]) => [
          name,
          { dtype: to, shape, data: encode(to, Array.from(decode(dtype, data))) },
        ]),
      )
    // Few changes in the last, so that supports are smaller than asked for.
    const sparse: Tensors = new Map(
      [...fineTune(base, { seed: 4 })].map(([name, tensor]) => {
        const data = Uint8Array.from((base.get(name) as typeof tensor).data)
        const size = data.length / 20 - ((data.length / 20) % 8)
        data.set(tensor.data.subarray(0, size))
        return [name, { ...tensor, data }]
      }),
    )
    const experts = {
      math: as(fineTune(base, { seed: 2 }), dtypes[0] as FloatDtype),
      science: as(fineTune(base, { seed: 3 }), dtypes[1] as FloatDtype),
      code: as(sparse, dtypes[2] as FloatDtype),
    }
    const merged = drawMerged(base, experts)
    const { path } = written({ base, ...experts, merged })
    const { results } = await analyse({
      base: path('base'),
      experts: { math: path('math'), science: path('science'), code: path('code') },
      merged: path('merged'),
    })
    const names = [...base.keys()]
    expect(compared(results.total)).toEqual(close(reference(names, { base, experts, merged })))
    for (const group of results.tensors)
      expect([group.name, compared(group)]).toEqual([
        group.name,
        close(reference([group.name], { base, experts, merged })),
      ])
    const layer = names.filter((name) => name.startsWith('model.layers.1.'))
    expect(compared(results.layers[1] as AnalysisGroup)).toEqual(close(reference(layer, { base, experts, merged })))
    const down = names.filter((name) => name.includes('down_proj'))
    expect(compared(results.kinds.find(({ kind }) => kind === 'down_proj') as AnalysisGroup)).toEqual(
      close(reference(down, { base, experts, merged })),
    )
  })

  /** Each element is an expert's, the base's or between. */
  function drawMerged(base: Tensors, experts: Record<string, Tensors>): Tensors {
    const random = new Random(9)
    return new Map(
      [...base].map(([name, { dtype, shape, data }]) => {
        const versions = [base, ...Object.values(experts)].map((tensors) => {
          const tensor = tensors.get(name) as { dtype: string; data: Uint8Array }
          return decode(tensor.dtype as FloatDtype, tensor.data)
        })
        const values = Array.from(decode(dtype as FloatDtype, data), (value, i) => {
          const choice = random.below(5)
          return choice < 4 ? (versions[choice]?.[i] as number) : value + 0.001
        })
        return [name, { dtype: 'F64', shape, data: encode('F64', values) }]
      }),
    )
  }
})

describe('closed forms', () => {
  const shapes: [string, number[]][] = [
    ['model.layers.0.mlp.up_proj.weight', [40, 50]],
    ['model.layers.1.mlp.up_proj.weight', [40, 50]],
  ]
  /** Tensors of 2000 elements, each by its position. */
  const model = (value: (i: number, tensor: number) => number): Tensors =>
    new Map(
      shapes.map(([name, shape], t) => [
        name,
        {
          dtype: 'F32',
          shape,
          data: encode(
            'F32',
            Array.from({ length: 2000 }, (_, i) => value(i, t)),
          ),
        },
      ]),
    )
  const compare = async (
    first: (i: number) => number,
    second: (i: number) => number,
    merged?: (i: number) => number,
  ) => {
    const base = model((i) => 1 + (i % 7))
    const on = (change: (i: number) => number) => model((i) => 1 + (i % 7) + change(i))
    const { path } = written({ base, a: on(first), b: on(second), ...(merged && { m: on(merged) }) })
    const options = { base: path('base'), experts: { a: path('a'), b: path('b') } }
    const { total } = (await analyse({ ...options, ...(merged && { merged: path('m') }) })).results
    return { ...total, pair: total.pairs[0] as AnalysisGroup['pairs'][number] }
  }
  const wave = (i: number) => ((i % 101) - 50) / 64

  test('identical changes', async () => {
    const { pair, experts } = await compare(wave, wave)
    expect(pair).toMatchObject({ cosine: 1, opposite: 0, oppositeWeight: 0 })
    for (const { overlap, opposite } of pair.supports) expect([overlap, opposite]).toEqual([1, 0])
    expect(experts.a).toEqual(experts.b)
  })

  test('opposite changes', async () => {
    const { pair } = await compare(wave, (i) => -wave(i))
    expect(pair).toMatchObject({ cosine: -1, opposite: 1, oppositeWeight: 1 })
    for (const { overlap, opposite } of pair.supports) expect([overlap, opposite]).toEqual([1, 1])
  })

  test('orthogonal changes: apart, and in the same places', async () => {
    const apart = await compare(
      (i) => (i < 1000 ? 1 : 0),
      (i) => (i < 1000 ? 0 : 2),
    )
    expect(apart.pair).toMatchObject({ cosine: 0, bothChanged: 0, opposite: null, oppositeWeight: null })
    expect(apart.pair.supports.map(({ overlap }) => overlap)).toEqual([0, 0, 0, 0])
    // √(2·1000·1) and √(2·1000·4).
    expect([apart.experts.a?.norm, apart.experts.b?.norm]).toEqual([Math.sqrt(2000), Math.sqrt(8000)])
    const together = await compare(
      () => 1,
      (i) => (i % 2 === 0 ? 1 : -1),
    )
    expect(together.pair).toMatchObject({ cosine: 0, bothChanged: 1, opposite: 0.5, oppositeWeight: 0.5 })
  })

  test('known supports: the largest 1, 5, 10 and 20 % lie in known places', async () => {
    // The largest of a are the first of a tensor, those of b begin 50 later.
    const { pair, experts } = await compare(
      (i) => (2000 - i) / 4096,
      (i) => (2000 - ((i + 1950) % 2000)) / 4096,
    )
    expect(experts.a?.supports.map(({ elements }) => elements)).toEqual([40, 200, 400, 800])
    expect(pair.supports.map(({ overlap, expected, ratio }) => [overlap, expected, ratio])).toEqual([
      [0, 0.01, 0],
      [0.5, 0.05, 10],
      [0.75, 0.1, expect.closeTo(7.5, 12)],
      [0.875, 0.2, expect.closeTo(4.375, 12)],
    ])
  })

  test('ties are all in a support, and what did not change never is', async () => {
    const { pair, experts } = await compare(
      (i) => (i < 500 ? 1 : 0),
      (i) => (i < 30 ? 1 : 0),
    )
    expect(experts.a?.supports.map(({ elements }) => elements)).toEqual([1000, 1000, 1000, 1000])
    expect(experts.b?.supports.map(({ elements }) => elements)).toEqual([60, 60, 60, 60])
    // 60 of the mean of 1000 and 60; by chance 2 · 500·30/2000.
    expect(pair.supports[0]).toMatchObject({ overlap: 60 / 530, expected: 15 / 530, ratio: 4 })
  })

  test('the base as merged model keeps nothing, an expert all of itself, and the sum of both all of both', async () => {
    const [first, second] = [(i: number) => (i < 1000 ? wave(i) : 0), (i: number) => (i < 1000 ? 0 : wave(i))]
    expect((await compare(first, second, () => 0)).merged).toMatchObject({
      norm: 0,
      changed: 0,
      fromExperts: null,
      experts: { a: { projection: 0, cosine: null, taken: 0, undone: 1, neither: 0 } },
    })
    expect((await compare(first, second, first)).merged).toMatchObject({
      fromExperts: 1,
      experts: {
        a: { projection: 1, cosine: 1, taken: 1, undone: 0, neither: 0 },
        b: { projection: 0, cosine: 0, taken: 0, undone: 1, neither: 0 },
      },
    })
    const sum = (await compare(first, second, (i) => first(i) + second(i))).merged
    expect(sum).toMatchObject({ fromExperts: 1, experts: { a: { projection: 1, taken: 1 }, b: { projection: 1 } } })
    const half = (await compare(first, first, (i) => first(i) / 2)).merged
    expect(half?.experts.a).toMatchObject({ projection: 0.5, cosine: expect.closeTo(1, 12), neither: 1 })
  })

  test('an expert that did not change has no direction', async () => {
    const { pair, experts } = await compare(() => 0, wave)
    expect(experts.a).toMatchObject({ norm: 0, relativeNorm: 0, changed: 0, largest: 0 })
    expect(pair.cosine).toBeNull()
    expect(pair.supports[0]).toEqual({ percent: 1, overlap: 0, expected: 0, ratio: null, opposite: null })
  })
})

const pairOf = (dtype: FloatDtype = 'BF16') => {
  const base = drawModel({ dtype })
  return { base, math: fineTune(base, { seed: 2 }), science: fineTune(base, { seed: 3 }) }
}
const optionsOf = (path: (name: string) => string): AnalyseOptions => ({
  base: path('base'),
  experts: { math: path('math'), science: path('science') },
})

test('gradients are compared with each other, with experts and without', async () => {
  const models = pairOf()
  const gradient = (seed: number) => drawModel({ dtype: 'F32', seed })
  const gradients = { math: gradient(5), science: gradient(6), code: gradient(7) }
  const { path } = written({ ...models, gm: gradients.math, gs: gradients.science, gc: gradients.code })
  const given = { math: path('gm'), science: path('gs'), code: path('gc') }
  const { results } = await analyse({ ...optionsOf(path), gradients: given })
  const values = Object.values(gradients).map((tensors) =>
    [...tensors.values()].flatMap(({ data }) => [...decode('F32', data)]),
  ) as [number[], number[], number[]]
  const norm = (x: number[]) => Math.sqrt(dot(x, x))
  expect(results.total.gradients).toEqual(
    close({
      norms: { math: norm(values[0]), science: norm(values[1]), code: norm(values[2]) },
      pairs: [
        [0, 1],
        [0, 2],
        [1, 2],
      ].map(([i, j]) => {
        const [x, y] = [values[i as number] as number[], values[j as number] as number[]]
        const names = Object.keys(gradients)
        return {
          domains: [names[i as number], names[j as number]],
          product: dot(x, y),
          cosine: dot(x, y) / (norm(x) * norm(y)),
        }
      }),
    }),
  )
  const alone = (await analyse({ base: path('base'), gradients: given })).results
  expect(alone.total.gradients).toEqual(results.total.gradients)
  expect(alone.total).toMatchObject({ baseNorm: null, experts: {}, pairs: [], merged: null })
})

test('the same numbers at any number of threads and whatever the memory, and in shards', async () => {
  const { path } = written(pairOf())
  const expected = (await analyse({ ...optionsOf(path), threads: 1 })).results
  for (const threads of [2, 3]) {
    const { results } = await analyse({ ...optionsOf(path), threads, memory: '1MB' })
    expect(results.total).toEqual(expected.total)
    expect(results.tensors).toEqual(expected.tensors)
  }
  const tensors = readSafetensors(join(path('math'), 'model.safetensors'))
  writeCheckpoint(path('sharded'), { tensors, shards: dealToShards(tensors, 3) })
  const sharded = await analyse({ ...optionsOf(path), experts: { math: path('sharded'), science: path('science') } })
  expect(sharded.results.total).toEqual(expected.total)
})

test('what a merge did is seen: all of an expert where its tensors were taken', async () => {
  const { path } = written(pairOf())
  await merge('task_arithmetic(base, math, science; weight=[1, 0])', {
    models: { base: path('base'), math: path('math'), science: path('science') },
    out: path('merged'),
  })
  const { total } = (await analyse({ ...optionsOf(path), merged: path('merged') })).results
  expect(total.merged?.experts.math).toMatchObject({ projection: expect.closeTo(1, 3) })
  expect(total.merged?.experts.math?.taken).toBeGreaterThan(0.99)
})

describe('tensors', () => {
  test('a stored head that is tied is left out, and one that is not the embedding refused', async () => {
    const models = pairOf()
    const withHead = (tensors: Tensors) =>
      new Map([...tensors, ['lm_head.weight', tensors.get('model.embed_tokens.weight') as never]]) as Tensors
    const { path } = written({ ...models, math: withHead(models.math) })
    const { results } = await analyse(optionsOf(path))
    expect(results.leftOut).toEqual([{ name: 'lm_head.weight', reason: 'tied to the embedding' }])
    expect(results.total.tensors).toBe(models.base.size)
    const other = new Map([...models.math, ['lm_head.weight', models.base.get('model.embed_tokens.weight') as never]])
    writeCheckpoint(path('math'), { tensors: other as Tensors })
    await expect(analyse(optionsOf(path))).rejects.toMatchObject({ code: 'ERR_TIED_WEIGHTS' })
  })

  test('integers are named and not compared', async () => {
    const models = pairOf()
    const withIds = (tensors: Tensors) =>
      new Map([...tensors, ['model.position_ids', { dtype: 'I64', shape: [2], data: new Uint8Array(16) }]])
    const { path } = written({
      base: withIds(models.base),
      math: withIds(models.math),
      science: withIds(models.science),
    })
    const { results } = await analyse(optionsOf(path))
    expect(results.leftOut).toEqual([{ name: 'model.position_ids', reason: 'of dtype I64' }])
  })

  test.each([
    [
      'ERR_TENSOR_MISSING',
      (tensors: Tensors) => tensors.delete('model.norm.weight'),
      /"model.norm.weight" is in the base but not in expert math, .*math$/,
    ],
    [
      'ERR_TENSOR_MISSING',
      (tensors: Tensors) => tensors.set('extra', { dtype: 'F32', shape: [1], data: new Uint8Array(4) }),
      /"extra" is in expert math, .*, but not in the base$/,
    ],
    [
      'ERR_SHAPE_MISMATCH',
      (tensors: Tensors) => tensors.set('model.norm.weight', { dtype: 'F32', shape: [4, 4], data: new Uint8Array(64) }),
      /"model.norm.weight" is \[16\] in the base and \[4, 4\] in expert math$/,
    ],
    [
      'ERR_DTYPE_UNSUPPORTED',
      (tensors: Tensors) =>
        tensors.set('model.norm.weight', { dtype: 'F8_E4M3', shape: [16], data: new Uint8Array(16) }),
      /"model.norm.weight" is F8_E4M3 in expert math$/,
    ],
    [
      'ERR_NON_FINITE',
      (tensors: Tensors) => {
        const { shape, data } = tensors.get('model.norm.weight') as { shape: number[]; data: Uint8Array }
        const values = [...decode('BF16', data)]
        values[3] = Number.NaN
        tensors.set('model.norm.weight', { dtype: 'BF16', shape, data: encode('BF16', values) })
      },
      /math\/model.safetensors: tensor 'model.norm.weight' holds NaN at element 3. Repair the checkpoint.$/,
    ],
  ] as [string, (tensors: Tensors) => unknown, RegExp][])('%s', async (code, spoil, message) => {
    const models = pairOf()
    const math = new Map(models.math)
    spoil(math)
    const { path } = written({ ...models, math })
    const out = path('out')
    await expect(analyse({ ...optionsOf(path), out })).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    })
    expect(fileNames(path('.'))).not.toContain('out')
  })
})

describe('options', () => {
  test.each([
    [{}, /Expected experts or gradients to compare/],
    [{ merged: 'm' }, /Expected experts or gradients/],
    [{ gradients: { a: 'a' }, merged: 'm' }, /Expected experts \(--expert NAME=PATH\) beside the merged model/],
    [{ experts: { 'a/b': 'x' } }, /Expected names of letters, digits, . _ and -, 64 at most, for experts but received/],
    [{ experts: ['a'] }, /Expected paths by name for experts/],
    [{ experts: Object.fromEntries(Array.from({ length: 17 }, (_, i) => [`e${i}`, 'x'])) }, /at most 16 names/],
    [{ experts: { a: 'x' }, memory: 8 }, /Expected 1MB or more/],
    [{ expert: { a: 'x' } }, /did you mean experts\?/],
  ])('%j', async (options, message) => {
    await expect(analyse({ base: 'base', ...options } as unknown as AnalyseOptions)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringMatching(message),
    })
  })

  test('an abort rejects with its reason, before and while it reads', async () => {
    const { path } = written(pairOf())
    const reason = new Error('enough')
    await expect(analyse({ ...optionsOf(path), signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
    const controller = new AbortController()
    const run = analyse({ ...optionsOf(path), signal: controller.signal, onProgress: () => controller.abort(reason) })
    await expect(run).rejects.toBe(reason)
  })

  test('progress ends with all bytes and tensors', async () => {
    const { path } = written(pairOf())
    let last: unknown
    const { bytesRead } = await analyse({
      ...optionsOf(path),
      onProgress: (progress) => {
        last = progress
      },
    })
    const tensors = qwen2Shapes().length
    expect(last).toEqual({ bytesDone: bytesRead, bytesTotal: bytesRead, tensorsDone: tensors, tensorsTotal: tensors })
  })

  test('a plan reads nothing', async () => {
    const { path } = written(pairOf())
    const record = await plan.analyse(optionsOf(path))
    expect(record.bytesToRead).toBe(3 * [...drawModel().values()].reduce((sum, { data }) => sum + data.length, 0))
    expect(record.models.map(({ role, name }) => `${role} ${name}`)).toEqual([
      'base base',
      'expert math',
      'expert science',
    ])
    expect(record.memoryBytes).toBeGreaterThan(record.bytesToRead)
  })
})

describe('files', () => {
  test('tables and heat maps; again over an earlier analysis, not over other files, and not into an input', async () => {
    const { path, directory } = written({ ...pairOf(), merged: pairOf().math })
    const out = join(directory, 'deep', 'out')
    const options = { ...optionsOf(path), merged: path('merged'), out }
    const { files, results } = await analyse(options)
    expect(fileNames(out).sort()).toEqual([
      'alignment.svg',
      'analysis.csv',
      'analysis.json',
      'analysis.md',
      'changes.svg',
      'conflicts.svg',
      'overlap.svg',
      'survival.svg',
    ])
    expect(files[0]).toBe(join(out, 'analysis.json'))
    expect(JSON.parse(readFileSync(files[0] as string, 'utf8'))).toEqual(results)
    const before = readFileSync(files[0] as string)
    const { merged: _, ...without } = options
    await analyse(without)
    expect(fileNames(out)).not.toContain('survival.svg')
    await analyse(options)
    expect(readFileSync(files[0] as string)).toEqual(before)
    await expect(analyse({ ...options, out: path('math') })).rejects.toMatchObject({ code: 'ERR_OUTPUT_IS_INPUT' })
    writeFileSync(join(out, 'analysis.json'), '{}')
    await expect(analyse(options)).rejects.toMatchObject({ code: 'ERR_OUTPUT_EXISTS' })
    await analyse({ ...options, overwrite: true })
  })

  test('one file is a checkpoint, too', async () => {
    const models = pairOf()
    const directory = temporaryDirectory()
    for (const [name, tensors] of Object.entries(models))
      writeFileSync(join(directory, `${name}.safetensors`), safetensorsBytes(tensors))
    const file = (name: string) => join(directory, `${name}.safetensors`)
    const { total } = (await analyse(optionsOf(file))).results
    expect(compared(total)).toEqual(
      close(
        reference([...models.base.keys()], {
          base: models.base,
          experts: { math: models.math, science: models.science },
        }),
      ),
    )
  })
})
