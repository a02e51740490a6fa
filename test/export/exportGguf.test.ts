import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Tokenizer } from '@huggingface/tokenizers'
import { describe, expect, test } from 'vitest'
import { exportGguf, init } from '../../lib/index.js'
import { readWithLlama } from '../llama/llama.js'
import { isPartial } from '../support/directoryContents.js'
import { decode, encode } from '../support/floats.js'
import { Random } from '../support/random.js'
import { readSafetensors } from '../support/readSafetensors.js'
import { temporaryDirectory } from '../support/temporary.js'
import { safetensorsBytes } from '../support/writeCheckpoint.js'
import { slowLogits } from './slowDecoder.js'

const text = `The quick brown fox jumps over the lazy dog. 1234567890 + 42 = ?
Größe, naïve, 你好世界, مرحبا بالعالم, नमस्ते, 🙂🚀 — "quotes" isn't it? They'll see.
    indented\tcode { return x**2 }   \r\n\r\n  end
`

const common = {
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 10000,
  vocab_size: 400,
  initializer_range: 0.2,
  hidden_act: 'silu',
}

const qwen2 = { ...common, model_type: 'qwen2', tie_word_embeddings: false }
const models: Record<string, Record<string, unknown>> = {
  qwen2,
  'llama, tied, Llama 3 frequencies': {
    ...common,
    model_type: 'llama',
    tie_word_embeddings: true,
    rope_theta: 500000,
    rope_scaling: {
      rope_type: 'llama3',
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 64,
    },
  },
  'llama with biases': { ...common, model_type: 'llama', attention_bias: true, mlp_bias: true },
  'qwen3, wide heads': { ...common, model_type: 'qwen3', head_dim: 16, tie_word_embeddings: true },
  'qwen2, linear frequencies': { ...common, model_type: 'qwen2', rope_scaling: { rope_type: 'linear', factor: 4 } },
  'qwen2, yarn': {
    ...common,
    model_type: 'qwen2',
    rope_scaling: { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 128 },
  },
}

/** A checkpoint of random weights whose norms and biases are random too. */
async function makeModel(directory: string, config: Record<string, unknown>, change = {}): Promise<string> {
  const [configPath, textPath] = [join(directory, 'c.json'), join(directory, 'text.txt')]
  writeFileSync(configPath, JSON.stringify({ ...config, ...change }))
  writeFileSync(textPath, text.repeat(3))
  const out = join(directory, 'model')
  await init({ out, config: configPath, trainTokenizer: [textPath], vocabularySize: 380, dtype: 'F32', seed: 5 })
  const random = new Random(11)
  const path = join(out, 'model.safetensors')
  const tensors = readSafetensors(path)
  for (const [name, tensor] of tensors) {
    if (tensor.shape.length > 1) continue
    const centre = name.endsWith('bias') ? 0 : 1
    const values = Array.from({ length: tensor.shape[0] as number }, () => centre + 0.3 * random.normal())
    tensor.data = encode('F32', values)
  }
  writeFileSync(path, safetensorsBytes(tensors as never))
  return out
}

type Round = (tensor: string, values: Float64Array) => Float64Array

function modelAt(directory: string, round: Round = (_, values) => values) {
  const tensors = readSafetensors(join(directory, 'model.safetensors'))
  const decoded = new Map(
    [...tensors].map(
      ([name, { dtype, data }]) => [name, round(name, Float64Array.from(decode(dtype as 'F32', data)))] as const,
    ),
  )
  const config = JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8'))
  return { config, tensor: (name: string) => decoded.get(name) }
}

const largest = (rows: Float64Array[]) =>
  Math.max(...rows.map((row) => row.reduce((m, x) => Math.max(m, Math.abs(x)), 0)))
const distance = (a: Float64Array[], b: Float64Array[]) =>
  largest(a.map((row, i) => row.map((x, j) => x - ((b[i] as Float64Array)[j] as number))))

const random = new Random(3)
const tokens = Array.from({ length: 40 }, () => random.below(370))

describe('llama.cpp computes the same logits as a decoder in float64', () => {
  for (const [name, config] of Object.entries(models)) {
    test(`${name}: F32`, async () => {
      const directory = await makeModel(temporaryDirectory(), config)
      const out = join(directory, 'model.gguf')
      await exportGguf(directory, { out, dtype: 'F32' })
      const expected = slowLogits(modelAt(directory), tokens)
      await readWithLlama(out, tokens, ({ logits }) => {
        expect(logits[0]?.length).toBe(400)
        expect(distance(logits, expected) / largest(expected)).toBeLessThan(2e-6)
      })
    })
  }

  for (const [dtype, tolerance] of [
    ['F16', 2e-3],
    ['BF16', 2e-2],
  ] as const) {
    test(`rounded weights: ${dtype}`, async () => {
      const directory = await makeModel(temporaryDirectory(), qwen2)
      const out = join(directory, 'model.gguf')
      await exportGguf(directory, { out, dtype })
      const rounded = modelAt(directory, (tensor, values) =>
        /norm|bias/.test(tensor) ? values : Float64Array.from(decode(dtype, encode(dtype, [...values]))),
      )
      const expected = slowLogits(rounded, tokens)
      // llama.cpp rounds activations to the weights' dtype too.
      await readWithLlama(out, tokens, ({ logits }) => {
        expect(distance(logits, expected) / largest(expected)).toBeLessThan(tolerance)
      })
    })
  }
})

test('the tokenizer and the chat template come along', async () => {
  const directory = await makeModel(temporaryDirectory(), qwen2)
  const out = join(directory, 'model.gguf')
  await exportGguf(directory, { out })
  const json = (name: string) => JSON.parse(readFileSync(join(directory, name), 'utf8'))
  const tokenizer = new Tokenizer(json('tokenizer.json'), json('tokenizer_config.json'))
  await readWithLlama(out, [0], ({ tokenize, chatTemplate }) => {
    for (const line of [...text.split('\n'), text, '<|im_start|>user\nHi<|im_end|>\n']) {
      expect(tokenize(line)).toEqual([...tokenizer.encode(line, { add_special_tokens: false }).ids])
    }
    expect(chatTemplate).toBe(json('tokenizer_config.json').chat_template)
  })
})

test('further chat templates come along by their names, and buffers that models compute do not', async () => {
  const directory = await makeModel(temporaryDirectory(), qwen2)
  mkdirSync(join(directory, 'additional_chat_templates'))
  writeFileSync(join(directory, 'additional_chat_templates', 'tool-use.jinja'), 'tools')
  writeFileSync(join(directory, 'chat_template.jinja'), 'the default')
  const weights = join(directory, 'model.safetensors')
  const frequencies = { dtype: 'F32', shape: [4], data: new Uint8Array(16) }
  writeFileSync(
    weights,
    safetensorsBytes(
      new Map([...readSafetensors(weights), ['model.layers.0.self_attn.rotary_emb.inv_freq', frequencies]]),
    ),
  )
  const out = join(directory, 'model.gguf')
  await exportGguf(directory, { out })
  await readWithLlama(out, [0], ({ chatTemplate }) => expect(chatTemplate).toBe('the default'))
  const text = readFileSync(out, 'latin1')
  expect(text).toContain('tokenizer.chat_template.tool_use')
  expect(text).toContain('tokenizer.chat_templates')
  expect(text).not.toContain('inv_freq')
})

describe('refuses, and leaves nothing', () => {
  const cases: [string, Record<string, unknown>, string, RegExp][] = [
    [
      'a rope that llama.cpp lacks',
      { rope_scaling: { rope_type: 'dynamic', factor: 2 } },
      'ERR_MODEL_UNSUPPORTED',
      /dynamic/,
    ],
    ['a sliding window', { use_sliding_window: true }, 'ERR_MODEL_UNSUPPORTED', /use_sliding_window/],
    ['another activation', { hidden_act: 'gelu' }, 'ERR_MODEL_UNSUPPORTED', /gelu/],
    ['a size that is not the weights', { intermediate_size: 64 }, 'ERR_SHAPE_MISMATCH', /mlp\.gate_proj/],
    ['a layer that is not there', { num_hidden_layers: 3 }, 'ERR_TENSOR_MISSING', /layers\.2/],
    ['a layer too many', { num_hidden_layers: 1 }, 'ERR_MODEL_UNSUPPORTED', /layers\.1/],
  ]
  test.for(cases)('%s', async ([, change, code, message]) => {
    const directory = await makeModel(temporaryDirectory(), qwen2)
    const path = join(directory, 'config.json')
    writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...change }))
    const before = readdirSync(directory)
    const failure = exportGguf(directory, { out: join(directory, 'x.gguf') })
    await expect(failure).rejects.toMatchObject({ code, message: expect.stringMatching(message) })
    expect(readdirSync(directory)).toEqual(before)
  })

  test('a tokenizer whose text is split in another way', async () => {
    const directory = await makeModel(temporaryDirectory(), qwen2)
    const path = join(directory, 'tokenizer.json')
    const tokenizer = JSON.parse(readFileSync(path, 'utf8'))
    tokenizer.pre_tokenizer.pretokenizers[0].pattern.Regex = '\\s+'
    writeFileSync(path, JSON.stringify(tokenizer))
    await expect(exportGguf(directory, { out: join(directory, 'x.gguf') })).rejects.toMatchObject({
      code: 'ERR_TOKENIZER',
    })
  })

  test.for([
    ['no JSON', '{'],
    ['another kind of model', '{"model":{"type":"Unigram","vocab":[]}}'],
    ['no merges', '{"model":{"type":"BPE","vocab":{"a":0}}}'],
    ['more tokens than rows', '{"model":{"type":"BPE","vocab":{"a":400},"merges":[]}}'],
  ] as const)('a tokenizer.json with %s', async ([, content]) => {
    const directory = await makeModel(temporaryDirectory(), qwen2)
    writeFileSync(join(directory, 'tokenizer.json'), content)
    const failure = exportGguf(directory, { out: join(directory, 'x.gguf') })
    await expect(failure).rejects.toMatchObject({ code: 'ERR_TOKENIZER', message: expect.stringContaining(directory) })
  })

  test('a file of weights, which has neither configuration nor tokenizer', async () => {
    const directory = await makeModel(temporaryDirectory(), qwen2)
    const failure = exportGguf(join(directory, 'model.safetensors'), { out: join(directory, 'x.gguf') })
    await expect(failure).rejects.toMatchObject({
      code: 'ERR_CONFIG_JSON',
      message: expect.stringContaining('directory'),
    })
  })

  test.for<[string, number, 'BF16' | 'F16' | 'F32', RegExp | undefined]>([
    ['70000 in F16', 70000, 'F16', /down_proj\.weight' of .*model\.safetensors: element 5 is 70000, more than F16/],
    ['70000 in BF16', 70000, 'BF16', undefined],
    ['3.4e38 in BF16', 3.4e38, 'BF16', /element 5 is 3\.4e\+38, more than BF16/],
    ['3.4e38 in F32', 3.4e38, 'F32', undefined],
    ['NaN in F32', Number.NaN, 'F32', /element 5 is NaN/],
    ['minus infinity in F16', Number.NEGATIVE_INFINITY, 'F16', /element 5 is infinite/],
  ])('what is not finite in the file: %s', async ([, value, dtype, message]) => {
    const directory = await makeModel(temporaryDirectory(), qwen2)
    const path = join(directory, 'model.safetensors')
    const tensors = readSafetensors(path)
    const tensor = tensors.get('model.layers.1.mlp.down_proj.weight') as { data: Uint8Array }
    const values = decode('F32', tensor.data)
    values[5] = value
    tensor.data = encode('F32', [...values])
    writeFileSync(path, safetensorsBytes(tensors as never))
    const before = readdirSync(directory)
    const result = exportGguf(directory, { out: join(directory, 'x.gguf'), dtype })
    if (!message) {
      await result
      return
    }
    await expect(result).rejects.toMatchObject({ code: 'ERR_NON_FINITE', message: expect.stringMatching(message) })
    expect(readdirSync(directory)).toEqual(before)
  })

  test('a file that is there, unless it may be replaced', async () => {
    const directory = await makeModel(temporaryDirectory(), qwen2)
    const out = join(directory, 'x.gguf')
    writeFileSync(out, 'mine')
    await expect(exportGguf(directory, { out })).rejects.toMatchObject({ code: 'ERR_OUTPUT_EXISTS' })
    expect(readFileSync(out, 'utf8')).toBe('mine')
    await exportGguf(directory, { out, overwrite: true })
    expect(readFileSync(out).toString('latin1', 0, 4)).toBe('GGUF')
  })

  test('what a killed export left is removed by the next one of the same name', async () => {
    const directory = await makeModel(temporaryDirectory(), qwen2)
    const before = readdirSync(directory)
    const out = join(directory, 'x.gguf')
    const script = `
      import { exportGguf } from ${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)}
      await exportGguf(${JSON.stringify(directory)}, {
        out: ${JSON.stringify(out)},
        onProgress: () => process.kill(process.pid, 'SIGKILL'),
      })`
    const { signal } = spawnSync(process.execPath, ['--input-type=module', '-e', script])
    expect(signal).toBe('SIGKILL')
    expect(readdirSync(directory).filter(isPartial)).toHaveLength(1)
    await exportGguf(directory, { out })
    expect(readdirSync(directory).sort()).toEqual([...before, 'x.gguf'].sort())
  })

  test('after a callback that throws', async () => {
    const directory = await makeModel(temporaryDirectory(), qwen2)
    const before = readdirSync(directory)
    const failure = exportGguf(directory, {
      out: join(directory, 'x.gguf'),
      onProgress: () => {
        throw new Error('enough')
      },
    })
    await expect(failure).rejects.toThrow('enough')
    expect(readdirSync(directory)).toEqual(before)
  })
})
