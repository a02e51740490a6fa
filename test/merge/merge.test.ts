import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import {
  fuse,
  type MergedTensorStats,
  merge,
  openCheckpoint,
  readRecipe,
  type TensorStats,
  verify,
} from '../../lib/index.js'
import { fileNames, hashFiles, stampFiles } from '../support/directoryContents.js'
import { type Experts, writeExperts } from '../support/experts.js'
import { decode, encode, type FloatDtype } from '../support/floats.js'
import { readSafetensors } from '../support/readSafetensors.js'
import { temporaryDirectory } from '../support/temporary.js'
import { drawModel, fineTune, type Tensors, writeCheckpoint } from '../support/writeCheckpoint.js'

const recipeFile = (name: string) => new URL(`../../recipes/${name}.yaml`, import.meta.url).pathname
const manifestOf = (directory: string) => JSON.parse(readFileSync(join(directory, 'branchmerge.json'), 'utf8'))

/** Hashes of all files but the manifest and the model card, which tell how they were made. */
function weightsAndSideFiles(directory: string): Record<string, string> {
  const { 'branchmerge.json': _, 'README.md': __, ...others } = hashFiles(directory)
  return others
}

type Pair = [left: string, right: string]

/** Fuses one after the other through checkpoints on disk; a later fusion names an earlier one by its position. */
async function fuseInSteps({ paths }: Experts, pairs: Pair[], directory: string) {
  const results: Record<string, string> = { ...paths }
  const stats: TensorStats[][] = []
  for (const [i, [left, right]] of pairs.entries()) {
    const out = join(directory, `step${i}`)
    const seen: TensorStats[] = []
    await fuse(results[left] as string, results[right] as string, { out, onTensor: (each) => seen.push(each) })
    results[`${i}`] = out
    stats.push(seen)
  }
  return { out: results[`${pairs.length - 1}`] as string, stats }
}

const recipes: [name: string, pairs: Pair[]][] = [
  [
    'tinyr1-32b',
    [
      ['science', 'math'],
      ['coding', '0'],
    ],
  ],
  [
    'tinyr1-paper',
    [
      ['math', 'science'],
      ['0', 'coding'],
    ],
  ],
  [
    'tinyr1-ablation-math-coding',
    [
      ['math', 'coding'],
      ['0', 'science'],
    ],
  ],
  [
    'tinyr1-ablation-math-science',
    [
      ['math', 'science'],
      ['0', 'coding'],
    ],
  ],
]

describe('a sequence in one pass has the bytes of separate fusions through checkpoints', () => {
  test.each(recipes)('recipes/%s.yaml', async (name, pairs) => {
    const directory = temporaryDirectory()
    const experts = writeExperts(directory)
    const separate = await fuseInSteps(experts, pairs, directory)
    const out = join(directory, 'out')
    await merge(await readRecipe(recipeFile(name)), { models: experts.paths, out })
    expect(weightsAndSideFiles(out)).toEqual(weightsAndSideFiles(separate.out))
  })

  test.each<FloatDtype>(['BF16', 'F16', 'F32', 'F64'])('%s, with 1, 2 and 7 threads', async (dtype) => {
    const directory = temporaryDirectory()
    const experts = writeExperts(directory, { dtype })
    const separate = await fuseInSteps(
      experts,
      [
        ['math', 'science'],
        ['0', 'coding'],
        ['coding', '1'],
      ],
      directory,
    )
    const manifests = new Set<string>()
    for (const threads of [1, 2, 7]) {
      const out = join(directory, `out${threads}`)
      await merge('coding & ((math & science) & coding)', { models: experts.paths, out, threads })
      expect(weightsAndSideFiles(out)).toEqual(weightsAndSideFiles(separate.out))
      manifests.add(readFileSync(join(out, 'branchmerge.json'), 'utf8'))
    }
    expect(manifests.size).toBe(1)
  })

  test('mixed dtypes, equal integers, and a conversion at the end', async () => {
    const directory = temporaryDirectory()
    const base: Tensors = new Map(
      (['BF16', 'F16', 'F32', 'F64'] as const).map((dtype) => [
        dtype,
        drawModel({ dtype, shapes: [['w', [32, 16]]] }).get('w') as never,
      ]),
    )
    base.set('ids', { dtype: 'I64', shape: [3], data: new Uint8Array(new BigInt64Array([1n, -2n, 3n]).buffer) })
    base.set('flags', { dtype: 'BOOL', shape: [3], data: Uint8Array.of(0, 1, 0) })
    const experts = writeExperts(directory, { base })
    const mid = join(directory, 'mid')
    const [separate, out] = [join(directory, 'separate'), join(directory, 'out')]
    const options = { dtype: 'F32', maxShardSize: 4000 } as const
    await fuse(experts.paths.math, experts.paths.science, { out: mid })
    await fuse(mid, experts.paths.coding, { out: separate, ...options })
    const summary = await merge('math & science & coding', { models: experts.paths, out, ...options })
    expect(weightsAndSideFiles(out)).toEqual(weightsAndSideFiles(separate))
    expect(fileNames(out).filter((name) => /^model-\d+-of-\d+\.safetensors$/.test(name)).length).toBeGreaterThan(1)
    expect(summary.merges.map(({ identical }) => identical)).toEqual([2, 2])
  })

  test('each merge tells what its separate fusion tells, also where the next one looks at it twice or not at all', async () => {
    const directory = temporaryDirectory()
    const experts = writeExperts(directory)
    // (math & science) & coding, where coding is what math & science gives: the second fusion copies.
    const first = join(directory, 'first')
    await fuse(experts.paths.math, experts.paths.science, { out: first })
    const models = { ...experts.paths, coding: first }
    const separate = await fuseInSteps(
      { ...experts, paths: models },
      [
        ['math', 'science'],
        ['coding', '0'],
      ],
      directory,
    )
    const seen: MergedTensorStats[] = []
    const out = join(directory, 'out')
    const summary = await merge('coding & (math & science)', { models, out, onTensor: (each) => seen.push(each) })
    for (const [i, stats] of separate.stats.entries()) {
      const own = seen.map(({ name, shape, dtype, elements, steps }) => ({ name, shape, dtype, elements, ...steps[i] }))
      expect(own).toEqual(stats)
      expect(summary.merges[i]?.kept).toBe(stats.reduce((total, { kept }) => total + kept, 0))
    }
    expect(summary.merges[1]?.identical).toBe(seen.length)
  })

  test('also tensors of several blocks, whose figures and hashes are put together from pieces', async () => {
    const directory = temporaryDirectory()
    const shapes: [string, number[]][] = [
      ['a.norm', [77]],
      ['a.weight', [1001, 701]],
      ['b.norm', [3]],
      ['b.weight', [300, 4096]],
      ['c.weight', [1]],
    ]
    const experts = writeExperts(directory, { base: drawModel({ shapes }) })
    const separate = await fuseInSteps(
      experts,
      [
        ['math', 'science'],
        ['coding', '0'],
      ],
      directory,
    )
    for (const threads of [1, 2, 7]) {
      const seen: MergedTensorStats[] = []
      const out = join(directory, `out${threads}`)
      const onTensor = (each: MergedTensorStats) => seen.push(each)
      await merge('coding & (math & science)', { models: experts.paths, out, threads, onTensor })
      expect(weightsAndSideFiles(out)).toEqual(weightsAndSideFiles(separate.out))
      for (const [i, stats] of separate.stats.entries()) {
        expect(seen.map(({ steps }) => steps[i]?.kept)).toEqual(stats.map(({ kept }) => kept))
      }
      for (const count of [1, 3]) expect((await verify(out, { threads: count })).problems).toEqual([])
    }
    const manifest = (out: string) => readFileSync(join(directory, out, 'branchmerge.json'), 'utf8')
    expect(manifest('out7')).toBe(manifest('out1'))
  })

  test('float32 between steps is another result, and the same for every thread count', async () => {
    const directory = temporaryDirectory()
    const { paths: models } = writeExperts(directory)
    // A soft gate makes values that bfloat16 has not.
    const recipe = (intermediate: 'storage' | 'float32') => ({
      expression: '(fuse(math, science; preset=paper-soft, scope=row, score=abs) & coding)',
      intermediate,
    })
    await merge(recipe('storage'), { models, out: join(directory, 'storage') })
    await merge(recipe('float32'), { models, out: join(directory, 'float32'), threads: 1 })
    await merge(recipe('float32'), { models, out: join(directory, 'again'), threads: 7 })
    expect(hashFiles(join(directory, 'again'))).toEqual(hashFiles(join(directory, 'float32')))
    expect(manifestOf(join(directory, 'float32')).recipe.intermediate).toBe('float32')
  })
})

describe('a merge', () => {
  test('tells what it did, and touches no input', async () => {
    const directory = temporaryDirectory()
    const { paths: models, tensors } = writeExperts(directory)
    const before = Object.values(models).map(stampFiles)
    const out = join(directory, 'out')
    const summary = await merge('(math & science) & coding', { models, out })
    const parameters = [...tensors.math.values()].reduce((total, { data }) => total + data.length / 2, 0)
    expect(summary).toEqual({
      tensors: tensors.math.size,
      parameters,
      models: ['math', 'science', 'coding'],
      merges: [
        expect.objectContaining({ id: 'math & science', method: 'fuse', identical: 1, degenerate: [] }),
        expect.objectContaining({ id: '(math & science) & coding', method: 'fuse', identical: 1, degenerate: [] }),
      ],
      bytesRead: 3 * 2 * parameters,
      bytesWritten: expect.any(Number),
      seconds: expect.any(Number),
      alreadyDone: false,
      notes: ['Not copied from math: README.md'],
      device: 'cpu',
      deviceReason: expect.any(String),
      warnings: [],
    })
    for (const { kept, keptFraction } of summary.merges) expect(keptFraction).toBe(kept / parameters)
    expect(Object.values(models).map(stampFiles)).toEqual(before)
    expect((await openCheckpoint(out)).problems).toEqual([])
  })

  test('a fusion is the merge of two: the same weights, and the same manifest but for names', async () => {
    const directory = temporaryDirectory()
    const { paths } = writeExperts(directory)
    const [fused, merged] = [join(directory, 'fused'), join(directory, 'merged')]
    await fuse(paths.math, paths.science, { out: fused, lambda: 2, preset: 'paper', scope: 'row' })
    const models = { left: paths.math, right: paths.science }
    const options = { lambda: 2, preset: 'paper', scope: 'row', nonFinite: 'error' } as const
    await merge('left & right', { models, out: merged, ...options })
    const { models: _, ...fusedRecipe } = manifestOf(fused).recipe
    expect(hashFiles(merged)['README.md']).toBe(hashFiles(fused)['README.md'])
    expect(weightsAndSideFiles(merged)).toEqual(weightsAndSideFiles(fused))
    expect(manifestOf(merged)).toEqual(manifestOf(fused))
    expect(fusedRecipe.options).toEqual(options)
  })

  test('options by tensor: each tensor has the bytes of a merge with its options', async () => {
    const directory = temporaryDirectory()
    const models = pick(writeExperts(directory).paths)
    const out = join(directory, 'out')
    const recipe = {
      expression: 'math & science',
      options: { lambda: 1 },
      rules: [
        { match: '*.mlp.*', options: { lambda: 3 } },
        { layers: [1, 2] as [number, number], options: { preset: 'paper' } },
      ],
    }
    await merge(recipe, { models, out })
    const alone = async (name: string, options: object) => {
      await merge('math & science', { models, out: join(directory, name), ...options })
      return readAll(join(directory, name))
    }
    const [one, three, paper, paperThree] = [
      await alone('one', { lambda: 1 }),
      await alone('three', { lambda: 3 }),
      await alone('paper', { preset: 'paper' }),
      await alone('paperThree', { preset: 'paper', lambda: 3 }),
    ]
    for (const [name, { data }] of readAll(out)) {
      const mlp = name.includes('.mlp.')
      const inLayer = name.startsWith('model.layers.1.')
      const expected = inLayer ? (mlp ? paperThree : paper) : mlp ? three : one
      expect(data, name).toEqual(expected.get(name)?.data)
    }
  })

  test.each(['storage', 'float32'] as const)(
    'models of several dtypes, read in one, merge as if they had been stored in it (intermediate: %s)',
    async (intermediate) => {
      const directory = temporaryDirectory()
      const stored = { math: 'F32', science: 'F16', coding: 'BF16' } as const
      const base = drawModel({ dtype: 'F64' })
      const [own, same] = [{}, {}] as Record<string, string>[] as [Record<string, string>, Record<string, string>]
      for (const [i, [name, dtype]] of Object.entries(stored).entries()) {
        const trained = fineTune(base, { seed: i + 2 })
        const cast = (tensors: Tensors, from: FloatDtype, to: FloatDtype): Tensors =>
          new Map(
            [...tensors].map(([key, { shape, data }]) => [
              key,
              { dtype: to, shape, data: encode(to, Array.from(decode(from, data))) },
            ]),
          )
        const tensors = cast(trained, 'F64', dtype)
        own[name] = writeCheckpoint(join(directory, name), { tensors, config: { torch_dtype: 'x' } })
        const path = join(directory, 'same', name)
        same[name] = writeCheckpoint(path, { tensors: cast(tensors, dtype, 'BF16'), config: { torch_dtype: 'x' } })
      }
      const expression = 'fuse(math, science; preset=paper-soft, scope=row, score=abs) & coding'
      const models = Object.fromEntries(Object.keys(stored).map((name) => [name, { dtype: 'bfloat16' as const }]))
      const [out, expected] = [join(directory, 'out'), join(directory, 'expected')]
      for (const threads of [1, 7]) {
        await merge({ models, expression, intermediate }, { models: own, out, threads, overwrite: true })
        await merge({ expression, intermediate }, { models: same, out: expected, overwrite: true })
        expect(hashFiles(out)['model.safetensors']).toEqual(hashFiles(expected)['model.safetensors'])
      }
      // math was stored in float32, the output is not.
      expect(JSON.parse(readFileSync(join(out, 'config.json'), 'utf8')).torch_dtype).toBe('bfloat16')
      await expect(merge(expression, { models: own, out: join(directory, 'x') })).rejects.toMatchObject({
        code: 'ERR_DTYPE_MISMATCH',
        message: expect.stringContaining('Choose a dtype to read them in'),
      })
    },
  )

  test('configuration and tokenizer come from the model that the recipe names', async () => {
    const directory = temporaryDirectory()
    const { paths: models } = writeExperts(directory)
    writeCheckpoint(models.science, { tensors: readAll(models.science), files: { 'tokenizer.json': '{"own":1}' } })
    const out = join(directory, 'out')
    await merge({ expression: 'math & science', output: { tokenizer: 'science' } }, { models: pick(models), out })
    expect(readFileSync(join(out, 'tokenizer.json'), 'utf8')).toBe('{"own":1}')
    // The weights are still laid out as those of math.
    expect(fileNames(out)).toContain('model-00003-of-00003.safetensors')
  })

  test('out, dtype and shard size may stand in the recipe, and the call wins', async () => {
    const directory = temporaryDirectory()
    const { paths } = writeExperts(directory)
    const output = { path: join(directory, 'a'), dtype: 'F32', maxShardSize: '4KB' } as const
    await merge({ expression: 'math & science', output }, { models: pick(paths) })
    expect(fileNames(join(directory, 'a')).length).toBeGreaterThan(8)
    const options = { models: pick(paths), out: join(directory, 'b'), dtype: 'BF16', maxShardSize: '1GB' } as const
    await merge({ expression: 'math & science', output }, options)
    expect([...readSafetensors(join(directory, 'b', 'model.safetensors')).values()][0]?.dtype).toBe('BF16')
    await expect(merge('math & science', { models: pick(paths) })).rejects.toThrow(
      "(or the recipe's output.path) for out",
    )
  })

  test('other methods are steps like fusion', async () => {
    const directory = temporaryDirectory()
    const { paths: models, tensors } = writeExperts(directory)
    const out = join(directory, 'out')
    const summary = await merge('passthrough(math) & linear(science, coding)', { models, out })
    expect(summary.merges.map(({ method }) => method)).toEqual(['passthrough', 'linear', 'fuse'])
    const copy = join(directory, 'copy')
    await merge('passthrough(math)', { models: { math: models.math }, out: copy })
    for (const [name, { data }] of readAll(copy)) expect(data).toEqual(tensors.math.get(name)?.data)
    const metadata = Object.fromEntries((await openCheckpoint(copy)).files[0]?.metadata ?? [])
    expect(metadata['branchmerge.method']).toBe('passthrough')
  })
})

const pick = ({ math, science }: Experts['paths']) => ({ math, science })

function readAll(directory: string): Tensors {
  const files = readdirSync(directory).filter((name) => name.endsWith('.safetensors'))
  return new Map(files.flatMap((name) => [...readSafetensors(join(directory, name))]))
}
