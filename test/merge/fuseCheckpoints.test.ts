import { createHash } from 'node:crypto'
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseSafetensorsMetadata } from '@huggingface/hub'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { fuse, openCheckpoint, type TensorStats, version } from '../../lib/index.js'
import { native } from '../../lib/native/native.js'
import { decode } from '../support/floats.js'
import { fetchFrom } from '../support/localHub.js'
import { readSafetensors } from '../support/readSafetensors.js'
import { temporaryDirectory } from '../support/temporary.js'
import {
  dealToShards,
  drawModel,
  fineTune,
  type Tensors,
  writeCheckpoint,
  writePair,
} from '../support/writeCheckpoint.js'

afterEach(() => {
  vi.unstubAllEnvs()
})

const index = 'model.safetensors.index.json'
const names = (directory: string) => readdirSync(directory).sort()
const text = (directory: string, name: string) => readFileSync(join(directory, name), 'utf8')
const json = (directory: string, name: string) => JSON.parse(text(directory, name))

/** Hash of every file, by name. */
function contents(directory: string): Record<string, string> {
  const hash = (name: string) =>
    createHash('sha256')
      .update(readFileSync(join(directory, name)))
      .digest('hex')
  return Object.fromEntries(names(directory).map((name) => [name, hash(name)]))
}

/** All tensors of all files of a directory. */
function tensorsIn(directory: string): Tensors {
  const files = names(directory).filter((name) => name.endsWith('.safetensors'))
  return new Map(files.flatMap((name) => [...readSafetensors(join(directory, name))]))
}

describe('a fused checkpoint', () => {
  test('holds what fusing each tensor on its own gives', async () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory)
    const out = join(directory, 'out')
    const seen = new Map<string, TensorStats>()
    const summary = await fuse(left.path, right.path, { out, onTensor: (stats) => seen.set(stats.name, stats) })
    const fused = tensorsIn(out)
    expect([...fused.keys()].sort()).toEqual([...left.tensors.keys()].sort())
    let kept = 0
    for (const [name, tensor] of left.tensors) {
      const alone = await fuse(tensor, right.tensors.get(name) as typeof tensor)
      expect(Buffer.from(alone.tensor.data as Uint8Array).equals(fused.get(name)?.data as Uint8Array)).toBe(true)
      expect(seen.get(name)).toEqual({ name, ...alone.stats })
      kept += alone.stats.kept
    }
    const parameters = [...left.tensors.values()].reduce((total, { data }) => total + data.length / 2, 0)
    expect(summary).toEqual({
      tensors: left.tensors.size,
      parameters,
      kept,
      keptFraction: kept / parameters,
      degenerate: [],
      identical: 1,
      bytesRead: parameters * 4,
      bytesWritten: expect.any(Number),
      seconds: expect.any(Number),
      alreadyDone: false,
      notes: ['Not copied from Left: README.md'],
      preset: 'arcee',
      device: 'cpu',
      deviceReason: expect.any(String),
      warnings: [],
    })
    expect(summary.bytesWritten).toBeGreaterThanOrEqual(parameters * 2)
  })

  test("has Left's side files byte for byte, a record of its making, and nothing else", async () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory)
    const out = join(directory, 'out')
    await fuse(left.path, right.path, { out })
    const sideFiles = [
      'LICENSE',
      'config.json',
      'generation_config.json',
      'merges.txt',
      'tokenizer.json',
      'tokenizer_config.json',
      'vocab.json',
    ]
    expect(names(out)).toEqual([...sideFiles, 'README.md', 'branchmerge.json', 'model.safetensors'].sort())
    for (const name of sideFiles) expect(text(out, name)).toBe(text(left.path, name))
  })

  test('opens in an independent reader and in ours', async () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory, { leftShards: 3 })
    const out = join(directory, 'out')
    await fuse(left.path, right.path, { out })
    const parsed = await parseSafetensorsMetadata({
      repo: 'local/out',
      fetch: fetchFrom(out),
      computeParametersCount: true,
    })
    if (!parsed.sharded) throw new Error('Expected shards')
    const count = [...left.tensors.values()].reduce((total, { data }) => total + data.length / 2, 0)
    expect(parsed.parameterCount).toEqual({ BF16: count })
    const checkpoint = await openCheckpoint(out)
    expect(checkpoint).toMatchObject({ layout: 'sharded', problems: [], parameters: count })
    for (const { metadata } of checkpoint.files) {
      expect(Object.fromEntries(metadata)).toEqual({
        format: 'pt',
        branchmerge: version,
        'branchmerge.fusion': 'arcee',
      })
    }
  })

  test('has the same bytes for every instruction set, thread count, path and time', async () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory, { leftShards: 2, rightShards: 3 })
    const options = { preset: 'paper', scope: 'row', gate: 'ge' } as const
    await fuse(left.path, right.path, { out: join(directory, 'out'), ...options })
    const expected = contents(join(directory, 'out'))
    const elsewhere = join(temporaryDirectory(), 'moved')
    cpSync(left.path, elsewhere, { recursive: true })
    for (const instructionSet of native.info().instructionSets) {
      for (const threads of [1, 2, 7]) {
        vi.stubEnv('BRANCHMERGE_INSTRUCTION_SET', instructionSet)
        const out = join(temporaryDirectory(), 'deep', 'er', 'out')
        await fuse(elsewhere, right.path, { out, threads, ...options })
        expect(contents(out)).toEqual(expected)
      }
    }
  })
})

describe('output files', () => {
  test("are Left's shards by default, however Right is laid out", async () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory, { leftShards: 3 })
    const out = join(directory, 'out')
    await fuse(left.path, right.path, { out })
    expect(json(out, index)).toEqual(json(left.path, index))
    expect(text(out, index)).toBe(`${JSON.stringify(json(out, index), null, 2)}\n`)
    expect(Object.keys(json(out, index).weight_map)).toEqual(Object.keys(json(out, index).weight_map).sort())
  })

  test('one file from shards, and shards from one file, with equal tensors', async () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory, { rightShards: 2 })
    await fuse(left.path, right.path, { out: join(directory, 'one') })
    await fuse(left.path, right.path, { out: join(directory, 'many'), maxShardSize: '4KB' })
    expect(names(join(directory, 'one')).filter((name) => name.includes('safetensors'))).toEqual(['model.safetensors'])
    const shards = names(join(directory, 'many')).filter((name) => /^model-\d{5}-of-\d{5}\.safetensors$/.test(name))
    expect(shards.length).toBeGreaterThan(3)
    expect(tensorsIn(join(directory, 'many'))).toEqual(tensorsIn(join(directory, 'one')))
    for (const name of shards) {
      const bytes = [...readSafetensors(join(directory, 'many', name)).values()].map(({ data }) => data.length)
      expect(bytes.length === 1 || bytes.reduce((a, b) => a + b) <= 4000).toBe(true)
    }
  })

  test('single files in, a directory out, without side files', async () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory)
    cpSync(join(left.path, 'model.safetensors'), join(directory, 'a.safetensors'))
    cpSync(join(right.path, 'model.safetensors'), join(directory, 'b.safetensors'))
    const out = join(directory, 'out')
    await fuse(join(directory, 'a.safetensors'), join(directory, 'b.safetensors'), { out })
    expect(names(out)).toEqual(['README.md', 'branchmerge.json', 'model.safetensors'])
    await fuse(left.path, right.path, { out: join(directory, 'whole') })
    expect(tensorsIn(out)).toEqual(tensorsIn(join(directory, 'whole')))
  })

  test('converted: floats in the new dtype, and config.json says so, each other byte as it was', async () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory)
    const plain = join(directory, 'plain')
    const out = join(directory, 'out')
    await fuse(left.path, right.path, { out: plain })
    await fuse(left.path, right.path, { out, dtype: 'float32' })
    for (const [name, tensor] of tensorsIn(plain)) {
      const converted = tensorsIn(out).get(name)
      expect(converted?.dtype).toBe('F32')
      expect(decode('F32', converted?.data as Uint8Array)).toEqual(decode('BF16', tensor.data))
    }
    expect(text(out, 'config.json')).toBe(text(left.path, 'config.json').replace('"bfloat16"', '"float32"'))
    expect(text(out, 'config.json')).toContain('1000000.0')
  })

  test('a conversion that changes nothing leaves config.json alone', async () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory)
    const out = join(directory, 'out')
    await fuse(left.path, right.path, { out, dtype: 'BF16' })
    expect(text(out, 'config.json')).toBe(text(left.path, 'config.json'))
  })

  test('mixed dtypes and equal integers go through', async () => {
    const directory = temporaryDirectory()
    const shapes: [string, number[]][] = [['w', [32, 16]]]
    const base: Tensors = new Map(
      (['BF16', 'F16', 'F32', 'F64'] as const).map((dtype) => [dtype, drawModel({ dtype, shapes }).get('w') as never]),
    )
    base.set('ids', { dtype: 'I64', shape: [3], data: new Uint8Array(new BigInt64Array([1n, -2n, 3n]).buffer) })
    base.set('flags', { dtype: 'BOOL', shape: [3], data: Uint8Array.of(0, 1, 0) })
    const sides = [2, 3].map((seed) =>
      writeCheckpoint(join(directory, `${seed}`), { tensors: fineTune(base, { seed, frozen: [] }) }),
    )
    const out = join(directory, 'out')
    const summary = await fuse(sides[0] as string, sides[1] as string, { out, dtype: 'F32' })
    expect(summary.identical).toBe(2)
    const fused = tensorsIn(out)
    expect([...fused].map(([name, { dtype }]) => `${name} ${dtype}`)).toEqual([
      'ids I64',
      'BF16 F32',
      'F16 F32',
      'F32 F32',
      'F64 F32',
      'flags BOOL',
    ])
    expect(fused.get('ids')?.data).toEqual(base.get('ids')?.data)
  })
})

describe('the record of its making', () => {
  test('names options, inputs and outputs, and no place', async () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory, { rightShards: 2 })
    const out = join(directory, 'out')
    const summary = await fuse(left.path, right.path, { out, lambda: 2, threads: 2, nonFinite: 'left' })
    const record = json(out, 'branchmerge.json')
    expect(record).toMatchObject({
      format: 2,
      branchmerge: version,
      recipe: {
        models: { left: {}, right: {} },
        expression: 'left & right',
        options: { preset: 'arcee', lambda: 2, nonFinite: 'left' },
        output: { tokenizer: 'left' },
      },
      merges: [
        {
          method: 'fuse',
          inputs: [{ model: 'left' }, { model: 'right' }],
          parameters: { preset: 'arcee', scope: 'row', lambda: 2, nonFinite: 'left' },
          kept: summary.kept,
          identical: 1,
        },
      ],
      tiedWeights: [],
      output: { files: [{ name: 'model.safetensors', tensors: summary.tensors }], tensors: summary.tensors },
    })
    const rightFiles = (await openCheckpoint(right.path)).files
    expect(record.models.right.files).toEqual(rightFiles.map(({ bytes, headerHash }) => ({ bytes, headerHash })))
    const tensors = Object.entries<{ models: string[]; hash: string; steps: object[] }>(record.tensors)
    expect(tensors.map(([name]) => name)).toEqual([...readSafetensors(join(out, 'model.safetensors')).keys()])
    for (const [name, { models, hash, steps }] of tensors) {
      for (const each of [...models, hash]) expect(each).toMatch(/^[0-9a-f]{16}$/)
      // The frozen tensor has one hash on both sides, a trained one has two.
      expect(models[0] === models[1]).toBe(name === 'model.norm.weight')
      expect(steps).toHaveLength(1)
    }
    expect(text(out, 'branchmerge.json')).not.toContain(directory)
    const { metadata } = (await openCheckpoint(out)).files[0] as { metadata: [string, string][] }
    expect(Object.fromEntries(metadata)['branchmerge.fusion']).toBe('arcee lambda=2')
  })
})

describe('tied weights', () => {
  const head = 'lm_head.weight'
  const embedding = 'model.embed_tokens.weight'
  /** `stored`: whether each side stores a head; `tied`: what its config.json says; `own`: a head unlike the embedding. */
  function sides(options: { stored: [boolean, boolean]; tied: [boolean, boolean]; own?: boolean }) {
    const directory = temporaryDirectory()
    const base = drawModel()
    const paths = [0, 1].map((i) => {
      const tensors = fineTune(base, { seed: i + 2 })
      const source = options.own ? fineTune(tensors, { seed: 9 }) : tensors
      if (options.stored[i]) tensors.set(head, source.get(embedding) as never)
      return writeCheckpoint(join(directory, `${i}`), { tensors, config: { tie_word_embeddings: options.tied[i] } })
    })
    return { left: paths[0] as string, right: paths[1] as string, out: join(directory, 'out') }
  }

  const bothStored: [boolean, boolean] = [true, true]
  const bothTied: [boolean, boolean] = [true, true]

  test.each<[boolean, boolean]>([
    [true, true],
    [true, false],
    [false, true],
  ])('a tied head that is stored (Left %s, Right %s) is left out', async (...stored) => {
    const { left, right, out } = sides({ stored, tied: bothTied })
    await fuse(left, right, { out })
    expect(tensorsIn(out).has(head)).toBe(false)
    expect(tensorsIn(out).has(embedding)).toBe(true)
    expect(json(out, 'branchmerge.json').tiedWeights).toEqual([head])
  })

  test('a stored head that is not its embedding is refused, with both names', async () => {
    const { left, right, out } = sides({ stored: bothStored, tied: bothTied, own: true })
    await expect(fuse(left, right, { out })).rejects.toMatchObject({
      code: 'ERR_TIED_WEIGHTS',
      message: expect.stringMatching(/lm_head\.weight to model\.embed_tokens\.weight/),
    })
    expect(() => readdirSync(out)).toThrow('ENOENT')
  })

  test('heads of their own are fused like any tensor', async () => {
    const { left, right, out } = sides({ stored: bothStored, tied: [false, false], own: true })
    await fuse(left, right, { out })
    expect(tensorsIn(out).has(head)).toBe(true)
  })

  test('a head that one model lacks although its configuration does not tie it is refused', async () => {
    const { left, right, out } = sides({ stored: [true, false], tied: [false, false] })
    await expect(fuse(left, right, { out })).rejects.toMatchObject({
      code: 'ERR_TENSOR_MISSING',
      message: expect.stringContaining(`"${head}" is in Left but not in Right`),
    })
  })

  test.each<[boolean, boolean]>([
    [false, true],
    [true, false],
  ])('one stored by both and tied by one (%s, %s) is left out where it is the embedding', async (a, b) => {
    const { left, right, out } = sides({ stored: bothStored, tied: [a, b] })
    await fuse(left, right, { out })
    expect(tensorsIn(out).has(head)).toBe(false)
  })
})

describe('calls that fail', () => {
  test('leave no output directory behind', async () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory)
    const spoiled = new Map(right.tensors)
    spoiled.set('model.norm.weight', { dtype: 'BF16', shape: [16], data: new Uint8Array(32).fill(0xff) })
    writeCheckpoint(right.path, { tensors: spoiled })
    const out = join(directory, 'deep', 'out')
    await expect(fuse(left.path, right.path, { out })).rejects.toMatchObject({
      code: 'ERR_NON_FINITE',
      message: expect.stringContaining('model.norm.weight'),
    })
    expect(names(directory)).toEqual(['left', 'right'])
    const summary = await fuse(left.path, right.path, { out, nonFinite: 'left' })
    expect(summary.tensors).toBe(right.tensors.size)
    expect(tensorsIn(out).get('model.norm.weight')).toEqual(left.tensors.get('model.norm.weight'))
  })

  test('an onTensor or onProgress that throws fails the call with its own error and leaves nothing', async () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory)
    const mine = new Error('mine')
    const fail = () => {
      throw mine
    }
    const out = join(directory, 'out')
    await expect(fuse(left.path, right.path, { out, onTensor: fail })).rejects.toBe(mine)
    expect(names(directory)).toEqual(['left', 'right'])
  })

  test('an abort from a callback is obeyed, with its reason', async () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory)
    const controller = new AbortController()
    const options = { signal: controller.signal, onTensor: () => controller.abort('enough') }
    await expect(fuse(left.path, right.path, { out: join(directory, 'out'), ...options })).rejects.toBe('enough')
    expect(names(directory)).toEqual(['left', 'right'])
  })

  test('two fusions to one place: one succeeds, the other is refused', async () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory)
    const out = join(directory, 'out')
    const outcomes = await Promise.allSettled([1, 2].map(() => fuse(left.path, right.path, { out })))
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(outcomes.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { code: 'ERR_OUTPUT_EXISTS' },
    })
    expect((await openCheckpoint(out)).problems).toEqual([])
  })

  test('an instruction set that is not there', async () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory)
    vi.stubEnv('BRANCHMERGE_INSTRUCTION_SET', 'sse9')
    await expect(fuse(left.path, right.path, { out: join(directory, 'out') })).rejects.toThrow(
      'Expected one of scalar, avx2, avx512 for BRANCHMERGE_INSTRUCTION_SET',
    )
  })

  test('a malformed configuration of either side', async () => {
    for (const side of ['left', 'right'] as const) {
      const directory = temporaryDirectory()
      const pair = writePair(directory)
      writeFileSync(join(pair[side].path, 'config.json'), '{')
      await expect(fuse(pair.left.path, pair.right.path, { out: join(directory, 'out') })).rejects.toMatchObject({
        code: 'ERR_CONFIG_JSON',
      })
    }
  })

  test('tensors that do not match', async () => {
    const directory = temporaryDirectory()
    const { left, right } = writePair(directory)
    rmSync(right.path, { recursive: true })
    const [, ...rest] = right.tensors
    writeCheckpoint(right.path, { tensors: new Map(rest), shards: dealToShards(new Map(rest), 2) })
    await expect(fuse(left.path, right.path, { out: join(directory, 'out') })).rejects.toMatchObject({
      code: 'ERR_TENSOR_MISSING',
    })
  })
})
