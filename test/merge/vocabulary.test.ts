import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { finishMerge, merge, mergePart, openCheckpoint, reproduce, verify } from '../../lib/index.js'
import { readManifest } from '../../lib/merge/output/manifest.js'
import { resolveMergeRequest } from '../../lib/merge/plan/mergeRequest.js'
import { preflightMerge } from '../../lib/merge/plan/planMerge.js'
import { executeMerge } from '../../lib/merge/run/executeMerge.js'
import { hashFiles } from '../support/directoryContents.js'
import { byteSize, decode, encode, type FloatDtype } from '../support/floats.js'
import { readSafetensors, type TestTensor } from '../support/readSafetensors.js'
import { temporaryDirectory } from '../support/temporary.js'
import { drawModel, fineTune, qwen2Shapes, type Tensors, writeCheckpoint } from '../support/writeCheckpoint.js'

const embedding = 'model.embed_tokens.weight'
const head = 'lm_head.weight'
const sizes = { hidden: 16, intermediate: 48, layers: 2, heads: 4, keyValueHeads: 2 }

/** Fine-tunes of one base with vocabularies of their own; the embedding, and a head of its own where it has rows. */
function models(
  directory: string,
  vocabularies: Record<string, [embedding: number, head: number]>,
  dtype: FloatDtype = 'BF16',
) {
  const most = Math.max(...Object.values(vocabularies).flat())
  const shapes: [string, number[]][] = [...qwen2Shapes({ ...sizes, vocabulary: most }), [head, [most, 16]]]
  const base = drawModel({ shapes, dtype })
  return Object.entries(vocabularies).map(([name, [rows, headRows]], i) => {
    const tensors = fineTune(base, { seed: i + 2 })
    crop(tensors, embedding, rows)
    if (headRows > 0) crop(tensors, head, headRows)
    else tensors.delete(head)
    const config = { vocab_size: rows, tie_word_embeddings: headRows === 0 }
    return [name, writeCheckpoint(join(directory, name), { tensors, config })] as const
  })
}

function crop(tensors: Tensors, name: string, rows: number) {
  const { dtype, data } = tensors.get(name) as TestTensor
  tensors.set(name, { dtype, shape: [rows, 16], data: data.slice(0, rows * 16 * byteSize[dtype as FloatDtype]) })
}

describe('embeddings: common', () => {
  test('merges the rows that all models have, and config.json says so', async () => {
    const directory = temporaryDirectory()
    const own = models(directory, { math: [100, 100], science: [96, 96], coding: [104, 104] })
    const cropped = models(join(directory, 'cropped'), { math: [96, 96], science: [96, 96], coding: [96, 96] })
    // The same fine-tunes, cropped by hand: drawn from the same base, so only what is cut differs.
    for (const [i, [, path]] of own.entries()) {
      const tensors = readSafetensors(join(path, 'model.safetensors'))
      crop(tensors, embedding, 96)
      crop(tensors, head, 96)
      const config = { vocab_size: 96, tie_word_embeddings: false }
      writeCheckpoint(cropped[i]?.[1] as string, { tensors, config })
    }
    const expression = '(math & science) & coding'
    const [out, expected] = [join(directory, 'out'), join(directory, 'expected')]
    await merge({ expression, embeddings: 'common' }, { models: Object.fromEntries(own), out })
    await merge(expression, { models: Object.fromEntries(cropped), out: expected })
    const bytes = (path: string, name: string) => readFileSync(join(path, name))
    expect(bytes(out, 'model.safetensors').equals(bytes(expected, 'model.safetensors'))).toBe(true)
    expect(bytes(out, 'config.json').toString()).toBe(
      bytes(join(directory, 'math'), 'config.json').toString().replace('"vocab_size": 100', '"vocab_size": 96'),
    )
    expect((await verify(out)).problems).toEqual([])
    expect((await openCheckpoint(out)).problems).toEqual([])
  })

  test('changes nothing where vocabularies are the same', async () => {
    const directory = temporaryDirectory()
    const paths = Object.fromEntries(models(directory, { math: [96, 96], science: [96, 96] }))
    const [out, expected] = [join(directory, 'out'), join(directory, 'expected')]
    await merge({ expression: 'math & science', embeddings: 'common' }, { models: paths, out })
    await merge('math & science', { models: paths, out: expected })
    for (const name of ['model.safetensors', 'config.json']) {
      expect(readFileSync(join(out, name)).equals(readFileSync(join(expected, name)))).toBe(true)
    }
  })

  test('is refused where embedding and head would not fit together, and for other tensors', async () => {
    const directory = temporaryDirectory()
    const paths = Object.fromEntries(models(directory, { math: [100, 100], science: [96, 98] }))
    const out = join(directory, 'out')
    const recipe = { expression: 'math & science', embeddings: 'common' } as const
    await expect(merge(recipe, { models: paths, out })).rejects.toMatchObject({
      code: 'ERR_SHAPE_MISMATCH',
      message: expect.stringContaining('"lm_head.weight" has 98'),
    })
    const tensors = readSafetensors(join(paths.science as string, 'model.safetensors'))
    tensors.set('model.norm.weight', { dtype: 'BF16', shape: [8], data: new Uint8Array(16) })
    writeCheckpoint(paths.science as string, { tensors })
    await expect(merge(recipe, { models: paths, out })).rejects.toMatchObject({
      code: 'ERR_SHAPE_MISMATCH',
      message: expect.stringContaining('"model.norm.weight" is [16] in math and [8] in science'),
    })
  })
})

describe('embeddings: left, right', () => {
  const vocabularies = { math: 104, science: 96, coding: 100 }
  const expression = '(math & science) & coding'

  const weights = (path: string) => readSafetensors(join(path, 'model.safetensors'))

  /** The merge of the models cropped by hand, and behind it, by hand, the rest of one. */
  async function expectedTensors(
    directory: string,
    own: readonly (readonly [string, string])[],
    { keep, dtype }: { keep: string; dtype: FloatDtype },
  ): Promise<Tensors> {
    const cropped = own.map(([name, path]) => {
      const tensors = weights(path)
      const tied = !tensors.has(head)
      for (const each of tied ? [embedding] : [embedding, head]) crop(tensors, each, 96)
      const config = { vocab_size: 96, tie_word_embeddings: tied }
      return [name, writeCheckpoint(join(directory, 'cropped', name), { tensors, config })] as const
    })
    const out = join(directory, 'cropped', 'out')
    await merge(expression, { models: Object.fromEntries(cropped), out, dtype, overwrite: true })
    const tensors = weights(out)
    const source = weights(Object.fromEntries(own)[keep] as string)
    for (const name of [embedding, head].filter((each) => tensors.has(each))) {
      const { data } = tensors.get(name) as TestTensor
      const { dtype: stored, shape, data: all } = source.get(name) as TestTensor
      const rest = decode(stored as FloatDtype, all.slice(96 * 16 * byteSize[stored as FloatDtype]))
      tensors.set(name, { dtype, shape, data: Buffer.concat([data, encode(dtype, [...rest])]) })
    }
    return tensors
  }

  function expectTensors(path: string, expected: Tensors) {
    const found = weights(path)
    expect([...found.keys()].sort()).toEqual([...expected.keys()].sort())
    for (const [name, tensor] of expected) {
      expect(found.get(name)).toMatchObject({ dtype: tensor.dtype, shape: tensor.shape })
      expect(Buffer.compare((found.get(name) as TestTensor).data, tensor.data), name).toBe(0)
    }
  }

  test.each([
    ['left', 'BF16', 'BF16', 'untied'],
    ['left', 'F16', 'F16', 'tied'],
    ['left', 'F32', 'BF16', 'untied'],
    ['right', 'BF16', 'F32', 'tied'],
    ['right', 'F16', 'F32', 'untied'],
    ['right', 'F32', 'F32', 'tied'],
  ] as const)('%s: the further rows of that model, %s to %s, %s', async (side, dtype, outputDtype, heads) => {
    const directory = temporaryDirectory()
    const all = Object.entries(vocabularies).map(([name, rows]) => [name, [rows, heads === 'tied' ? 0 : rows]] as const)
    const own = models(directory, Object.fromEntries(all) as Record<string, [number, number]>, dtype)
    const keep = side === 'left' ? 'math' : 'coding'
    const expected = await expectedTensors(directory, own, { keep, dtype: outputDtype })
    const options = { models: Object.fromEntries(own), dtype: outputDtype, embeddings: side }
    const out = join(directory, 'out')
    const { bytesRead } = await merge(expression, { ...options, out })
    expectTensors(out, expected)
    // Of the kept model all rows are read, of the others those that are merged.
    const sizes = own.map(([name, path]) => {
      const rest = (name === keep ? 0 : vocabularies[name as keyof typeof vocabularies] - 96) * 16 * byteSize[dtype]
      const bytes = [...weights(path).values()].reduce((total, { data }) => total + data.length, 0)
      return bytes - rest * (heads === 'tied' ? 1 : 2)
    })
    expect(bytesRead).toBe(sizes.reduce((total, bytes) => total + bytes, 0))

    const { vocab_size: rows } = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'))
    expect(rows).toBe(vocabularies[keep])
    expect((await openCheckpoint(out)).problems).toEqual([])
    expect((await verify(out)).problems).toEqual([])
    const tensors = (await readManifest(join(out, 'branchmerge.json')))?.tensors ?? {}
    const copied = { model: keep, rows: vocabularies[keep] - 96 }
    expect(tensors[embedding]).toMatchObject({ shape: [vocabularies[keep], 16], copied })
    expect(tensors['model.norm.weight']).not.toHaveProperty('copied')

    const tight = join(directory, 'tight')
    // Less than `memory` allows: these tensors are small.
    const plan = await preflightMerge(resolveMergeRequest(expression, { ...options, out: tight, threads: 1 }))
    await executeMerge({ ...plan, memoryLimit: 1000 })
    expect(hashFiles(tight)).toEqual(hashFiles(out))
    const again = join(directory, 'again')
    await reproduce(out, { models: options.models, out: again })
    expect(hashFiles(again)).toEqual(hashFiles(out))
  })

  const untied = (directory: string) =>
    models(
      directory,
      Object.fromEntries(Object.entries(vocabularies).map(([name, rows]) => [name, [rows, rows]])) as never,
    )

  test('also cut off and gone on with, and in parts', async () => {
    const directory = temporaryDirectory()
    const options = { models: Object.fromEntries(untied(directory)), maxShardSize: '5KB', lambda: 2 }
    const recipe = { expression, embeddings: 'left' } as const
    const out = join(directory, 'out')
    await merge(recipe, { ...options, out })
    const [whole, cut] = [hashFiles(out), join(directory, 'cut')]
    for (const tensors of [1, 4, 12, 26]) {
      rmSync(cut, { recursive: true, force: true })
      let seen = 0
      const onTensor = () => {
        if (++seen === tensors) throw new Error('cut off')
      }
      const run = { ...options, out: cut, resume: true }
      await expect(merge(recipe, { ...run, onTensor })).rejects.toThrow('cut off')
      await merge(recipe, run)
      expect(hashFiles(cut)).toEqual(whole)
    }
    const parts = join(directory, 'parts')
    for (const part of [2, 1, 3]) await mergePart(recipe, { ...options, out: parts, part, parts: 3 })
    await finishMerge(parts)
    expect(hashFiles(parts)).toEqual(whole)
  })

  test('the tokenizer of another model: config.json tells the rows that there are, upwards too', async () => {
    const directory = temporaryDirectory()
    const paths = Object.fromEntries(untied(directory))
    const out = join(directory, 'out')
    const recipe = { expression, embeddings: 'left', output: { tokenizer: 'science' } } as const
    await merge(recipe, { models: paths, out })
    const text = (path: string) => readFileSync(join(path, 'config.json'), 'utf8')
    expect(text(out)).toBe(text(paths.science as string).replace('"vocab_size": 96', '"vocab_size": 104'))
  })

  test('a side that has no more rows than the others keeps the common ones', async () => {
    const directory = temporaryDirectory()
    const paths = Object.fromEntries(untied(directory))
    const [out, expected] = [join(directory, 'out'), join(directory, 'expected')]
    await merge({ expression: 'math & science', embeddings: 'right' }, { models: withoutCoding(paths), out })
    await merge({ expression: 'math & science', embeddings: 'common' }, { models: withoutCoding(paths), out: expected })
    for (const name of ['model.safetensors', 'config.json']) {
      expect(readFileSync(join(out, name)).equals(readFileSync(join(expected, name)))).toBe(true)
    }
  })

  test('another value is refused, from the recipe and from the call', async () => {
    const options = { models: { a: 'a', b: 'b' }, out: 'out' }
    const [expression, embeddings] = ['a & b', 'both' as never]
    await expect(merge({ expression, embeddings }, options)).rejects.toMatchObject({ code: 'ERR_RECIPE' })
    await expect(merge(expression, { ...options, embeddings })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringContaining('embeddings'),
    })
  })
})

const withoutCoding = ({ coding: _, ...rest }: Record<string, string>) => rest
