import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { merge, openCheckpoint, verify } from '../../lib/index.js'
import { readSafetensors, type TestTensor } from '../support/readSafetensors.js'
import { temporaryDirectory } from '../support/temporary.js'
import { drawModel, fineTune, qwen2Shapes, type Tensors, writeCheckpoint } from '../support/writeCheckpoint.js'

const embedding = 'model.embed_tokens.weight'
const head = 'lm_head.weight'
const sizes = { hidden: 16, intermediate: 48, layers: 2, heads: 4, keyValueHeads: 2 }

/** Fine-tunes of one base with vocabularies of their own, the embedding and a head of its own. */
function models(directory: string, vocabularies: Record<string, [embedding: number, head: number]>) {
  const most = Math.max(...Object.values(vocabularies).flat())
  const base = drawModel({ shapes: [...qwen2Shapes({ ...sizes, vocabulary: most }), [head, [most, 16]]] })
  return Object.entries(vocabularies).map(([name, [rows, headRows]], i) => {
    const tensors = fineTune(base, { seed: i + 2 })
    crop(tensors, embedding, rows)
    crop(tensors, head, headRows)
    const config = { vocab_size: rows, tie_word_embeddings: false }
    return [name, writeCheckpoint(join(directory, name), { tensors, config })] as const
  })
}

function crop(tensors: Tensors, name: string, rows: number) {
  const { dtype, data } = tensors.get(name) as TestTensor
  tensors.set(name, { dtype, shape: [rows, 16], data: data.slice(0, rows * 32) })
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
