import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type InitOptions, init, merge, openCheckpoint } from '../../lib/index.js'
import { logarithm } from '../../lib/init/normalNumbers.js'
import { fileNames, hashFiles } from '../support/directoryContents.js'
import { decode } from '../support/floats.js'
import { readSafetensors } from '../support/readSafetensors.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'

const text = 'docs/fusion.md'
const small = { size: '1m', trainTokenizer: [text], vocabularySize: 400 } as const

async function made(options: Partial<InitOptions> = {}) {
  const out = join(temporaryDirectory(), 'model')
  return { out, summary: await init({ ...small, out, ...options } as InitOptions) }
}

const config = (fields: Record<string, unknown>) => ({
  model_type: 'qwen2',
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 512,
  tie_word_embeddings: false,
  ...fields,
})

function configFile(fields: Record<string, unknown>): string {
  const path = join(temporaryDirectory(), 'config.json')
  writeFileSync(path, JSON.stringify(config(fields)))
  return path
}

describe('init', () => {
  test('the same options give the same bytes, another seed other weights', async () => {
    const [one, two, other] = [await made(), await made(), await made({ seed: 43 })]
    expect(hashFiles(one.out)).toEqual(hashFiles(two.out))
    expect(fileNames(one.out)).toEqual(['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'])
    const changed = Object.entries(hashFiles(other.out)).filter(([name, hash]) => hash !== hashFiles(one.out)[name])
    expect(changed.map(([name]) => name)).toEqual(['model.safetensors'])
  })

  test('merge takes what it made', async () => {
    const [left, right] = [await made(), await made({ seed: 1 })]
    const out = join(temporaryDirectory(), 'merged')
    const merged = await merge('left & right', { models: { left: left.out, right: right.out }, out })
    expect([merged.parameters, merged.tensors]).toEqual([left.summary.parameters, left.summary.tensors])
  })

  test('matrices are normal, norms 1, biases 0', async () => {
    const { out } = await made({ dtype: 'F32' })
    const tensors = readSafetensors(join(out, 'model.safetensors'))
    const values = (name: string) => decode('F32', tensors.get(name)?.data as Uint8Array)
    const drawn = Array.from(values('model.embed_tokens.weight'))
    const moment = (k: number) => drawn.reduce((sum, x) => sum + (x / 0.02) ** k, 0) / drawn.length
    // Six standard errors of each moment of a normal sample.
    const error = 6 / Math.sqrt(drawn.length)
    expect(Math.abs(moment(1))).toBeLessThan(error)
    expect(Math.abs(moment(2) - 1)).toBeLessThan(error * Math.sqrt(2))
    expect(Math.abs(moment(3))).toBeLessThan(error * Math.sqrt(15))
    expect(Math.abs(moment(4) - 3)).toBeLessThan(error * Math.sqrt(96))
    expect(new Set(values('model.layers.0.input_layernorm.weight'))).toEqual(new Set([1]))
    expect(new Set(values('model.layers.0.self_attn.q_proj.bias'))).toEqual(new Set([0]))
    expect(values('model.layers.0.self_attn.q_proj.weight').slice(0, 4)).not.toEqual(
      values('model.layers.1.self_attn.q_proj.weight').slice(0, 4),
    )
  })

  test('BF16 and F16 are the F32 numbers rounded', async () => {
    const [wide, brain, half] = [await made({ dtype: 'F32' }), await made(), await made({ dtype: 'F16' })]
    const read = (out: string, dtype: 'F32' | 'BF16' | 'F16') =>
      decode(
        dtype,
        readSafetensors(join(out, 'model.safetensors')).get('model.embed_tokens.weight')?.data as Uint8Array,
      )
    const exact = read(wide.out, 'F32')
    for (const [out, dtype, bits, least] of [
      [brain.out, 'BF16', 8, 2 ** -126],
      [half.out, 'F16', 11, 2 ** -14],
    ] as const) {
      const rounded = read(out, dtype)
      for (const [i, x] of exact.entries()) {
        const spacing = 2 ** (Math.floor(Math.log2(Math.max(Math.abs(x), least))) + 1 - bits)
        const quotient = x / spacing
        const floor = Math.floor(quotient)
        const tie = quotient - floor === 0.5
        const nearest = tie ? floor + (floor & 1) : Math.round(quotient)
        if (rounded[i] !== nearest * spacing) expect(rounded[i]).toBe(nearest * spacing)
      }
    }
    expect(JSON.parse(readFileSync(join(half.out, 'config.json'), 'utf8')).torch_dtype).toBe('float16')
  })

  // The published parameter counts of models of each family, from their configurations.
  test.each([
    [
      'qwen2',
      {
        hidden_size: 896,
        intermediate_size: 4864,
        num_hidden_layers: 24,
        num_attention_heads: 14,
        vocab_size: 151936,
        tie_word_embeddings: true,
      },
      494_032_768,
    ],
    [
      'llama',
      {
        hidden_size: 2048,
        intermediate_size: 8192,
        num_hidden_layers: 16,
        num_attention_heads: 32,
        num_key_value_heads: 8,
        vocab_size: 128256,
        tie_word_embeddings: true,
        head_dim: 64,
      },
      1_235_814_400,
    ],
    [
      'qwen3',
      {
        hidden_size: 1024,
        intermediate_size: 3072,
        num_hidden_layers: 28,
        num_attention_heads: 16,
        num_key_value_heads: 8,
        vocab_size: 151936,
        tie_word_embeddings: true,
        head_dim: 128,
      },
      596_049_920,
    ],
  ])('%s has the tensors of the published models', async (model_type, fields, expected) => {
    const { decoderShape } = await import('../../lib/checkpoint/decoderShape.js')
    const { decoderTensors } = await import('../../lib/checkpoint/decoderTensors.js')
    const { elements } = await import('../../lib/init/writeNewWeights.js')
    const tensors = decoderTensors(decoderShape(config({ model_type, ...fields }), 'config.json'))
    expect(tensors.reduce((sum, tensor) => sum + elements(tensor), 0)).toBe(expected)
  })

  test('a configuration and an existing tokenizer', async () => {
    const base = await made()
    const { out, summary } = await made({
      size: undefined,
      trainTokenizer: undefined,
      vocabularySize: undefined,
      config: configFile({ model_type: 'llama', attention_bias: true }),
      tokenizer: base.out,
    })
    const { tensors } = await openCheckpoint(out)
    const names = tensors.map(({ name }) => name)
    expect(names).toContain('lm_head.weight')
    expect(names).toContain('model.layers.1.self_attn.o_proj.bias')
    expect(names).toHaveLength(summary.tensors)
    expect(hashFiles(out)['tokenizer.json']).toBe(hashFiles(base.out)['tokenizer.json'])
  })

  test.each<[string, Omit<Partial<InitOptions>, 'config'> & { config?: Record<string, unknown> }, string]>([
    ['no model', { size: undefined }, 'Expected a configuration (--config) or a size (--size)'],
    ['no tokenizer', { trainTokenizer: undefined }, 'Expected a tokenizer (--tokenizer) or text'],
    ['too few tokens', { vocabularySize: 258 }, 'Expected an integer from 259'],
    ['a misspelt option', { sead: 1 } as object, 'did you mean seed?'],
    ['another architecture', { size: undefined, config: { model_type: 'qwen' } }, '(qwen2?)'],
    [
      'a vocabulary that is too small',
      { size: undefined, config: { vocab_size: 300 } },
      'Expected at least 400 for vocab_size',
    ],
    [
      'heads that do not share',
      { size: undefined, config: { num_key_value_heads: 3 } },
      'a divisor of num_attention_heads',
    ],
  ])('%s is refused, and nothing is written', async (_, { config, ...options }, message) => {
    const out = join(temporaryDirectory(), 'model')
    const more = config ? { config: configFile(config) } : {}
    await expect(init({ ...small, out, ...options, ...more } as InitOptions)).rejects.toThrow(message)
    expect(fileNames(out)).toEqual([])
  })

  test('an abort leaves nothing', async () => {
    const out = join(temporaryDirectory(), 'model')
    const controller = new AbortController()
    const running = init({ ...small, size: '25m', out, signal: controller.signal })
    // While it writes; later only on a machine that gives this loop no time.
    const timer = setInterval(() => fileNames(out).length > 0 && controller.abort(new Error('enough')), 1)
    await expect(running.finally(() => clearInterval(timer))).rejects.toThrow('enough')
    expect(fileNames(out)).toEqual([])
  })

  test('the command tells what it made', async () => {
    const out = join(temporaryDirectory(), 'model')
    const args = [
      'init',
      '--size',
      '1m',
      '--family',
      'qwen3',
      '--train-tokenizer',
      text,
      '--vocab-size',
      '300',
      '--out',
      out,
    ]
    const { code, stdout } = await runCommand(args)
    expect([code, stdout]).toEqual([
      0,
      `Made a qwen3 model of 826.2 k random parameters and 300 tokens, BF16, seed 42\nThe checkpoint is in ${out}\n`,
    ])
    // It has no --overwrite to advise.
    expect((await runCommand(args)).stderr).toMatch(/holds \S+ and 3 more\. Choose another\. \[ERR_OUTPUT_EXISTS\]\n$/)
  })
})

test('the logarithm is right to the last bits', () => {
  for (let i = 1; i < 2000; i++) {
    const x = i / 2000
    expect(Math.abs(logarithm(x) / Math.log(x) - 1)).toBeLessThan(1e-14)
  }
  expect(Math.abs(logarithm(1e-300) / Math.log(1e-300) - 1)).toBeLessThan(1e-14)
})
