import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseSafetensorsMetadata } from '@huggingface/hub'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makePair } from '../bench/makePair.js'
import { fetchFrom } from './support/localHub.js'

let directory: string
let pair: Awaited<ReturnType<typeof makePair>>

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'branchmerge-pair-'))
  pair = await makePair('tiny', directory)
})
afterAll(() => rmSync(directory, { recursive: true }))

const json = (side: string, file: string) => JSON.parse(readFileSync(join(side, file), 'utf8'))
const weightsHash = (side: string) =>
  createHash('sha256')
    .update(readFileSync(join(side, 'model.safetensors')))
    .digest('hex')

test('an independent parser finds the tensors that the config promises', async () => {
  for (const side of [pair.left, pair.right]) {
    const parsed = await parseSafetensorsMetadata({
      repo: 'local/tiny',
      path: 'model.safetensors',
      computeParametersCount: true,
      fetch: fetchFrom(side),
    })
    if (parsed.sharded) throw new Error('Expected one file')
    const { vocab_size: vocabulary, hidden_size: hidden, num_hidden_layers: layers } = json(side, 'config.json')
    const { __metadata__, ...tensors } = parsed.header
    expect(parsed.parameterCount).toEqual({ BF16: pair.parameters })
    expect(tensors['model.embed_tokens.weight']).toMatchObject({ dtype: 'BF16', shape: [vocabulary, hidden] })
    expect(Object.keys(tensors)).toHaveLength(12 * layers + 2)
    expect(tensors['lm_head.weight']).toBeUndefined()
  }
})

test('the weights are two small changes of one base model', () => {
  const [left, right] = [pair.left, pair.right].map((side) => {
    const bytes = readFileSync(join(side, 'model.safetensors'))
    const begin = 8 + Number(bytes.readBigUInt64LE())
    const header = JSON.parse(bytes.toString('utf8', 8, begin))
    const words = (name: string) => bytes.subarray(...header[name].data_offsets.map((at: number) => begin + at))
    return { words, names: Object.keys(header).filter((name) => name !== '__metadata__') }
  })
  if (!left || !right) throw new Error('Expected two sides')
  const value = (bytes: Buffer, index: number) =>
    Buffer.from([0, 0, bytes[index] ?? 0, bytes[index + 1] ?? 0]).readFloatLE()
  const name = 'model.layers.1.mlp.up_proj.weight'
  const [a, b] = [left.words(name), right.words(name)]
  let [squares, differences] = [0, 0]
  for (let i = 0; i < a.length; i += 2) {
    squares += value(a, i) ** 2
    differences += (value(a, i) - value(b, i)) ** 2
  }
  expect(Math.sqrt(squares / (a.length / 2))).toBeCloseTo(0.02, 3)
  expect(Math.sqrt(differences / (a.length / 2))).toBeCloseTo(3e-4 * Math.SQRT2, 4)
  // Nothing is left of a small change to a weight near 1, so some norms come out equal as well.
  expect(left.words('model.norm.weight').equals(right.words('model.norm.weight'))).toBe(true)
  const equal = left.names.filter((tensor) => left.words(tensor).equals(right.words(tensor)))
  expect(equal.filter((tensor) => !tensor.includes('norm'))).toEqual([])
})

test('every merge of the tokenizer joins two of its tokens into a third', () => {
  const { model, added_tokens: added } = json(pair.left, 'tokenizer.json')
  const ids = [...Object.values<number>(model.vocab), ...added.map((token: { id: number }) => token.id)]
  expect(ids.toSorted((a, b) => a - b)).toEqual(ids.map((_, index) => index))
  for (const [first, second] of model.merges) {
    expect(model.vocab).toHaveProperty([first])
    expect(model.vocab).toHaveProperty([second])
    expect(model.vocab).toHaveProperty([first + second])
  }
  const config = json(pair.left, 'config.json')
  expect(added.find((token: { id: number }) => token.id === config.eos_token_id).content).toBe('<|im_end|>')
  expect(ids.length).toBeLessThanOrEqual(config.vocab_size)
})

test('the same arguments give the same bytes, another delta gives others, and a finished pair is left alone', async () => {
  const before = [weightsHash(pair.left), weightsHash(pair.right)]
  expect(before[0]).not.toBe(before[1])
  truncateSync(join(pair.left, 'model.safetensors'), 8)
  expect((await makePair('tiny', directory)).made).toBe(false)
  writeFileSync(join(directory, 'pair.json'), '')
  expect((await makePair('tiny', directory)).made).toBe(true)
  expect([weightsHash(pair.left), weightsHash(pair.right)]).toEqual(before)
  await makePair('tiny', directory, { delta: 2e-4 })
  expect(weightsHash(pair.left)).not.toBe(before[0])
})
