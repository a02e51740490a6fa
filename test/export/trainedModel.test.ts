import { copyFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { exportGguf, init } from '../../lib/index.js'
import { readWithLlama } from '../llama/llama.js'
import { Random } from '../support/random.js'
import { temporaryDirectory } from '../support/temporary.js'
import { runFields, type TestDocument, train, writeData } from '../support/trainer.js'

const vocabulary = 320

/** Mean of −log p of the tokens that follow. */
function loss(logits: Float64Array[], tokens: readonly number[]): number {
  let sum = 0
  for (let t = 0; t + 1 < tokens.length; t++) {
    const row = logits[t] as Float64Array
    const largest = row.reduce((a, b) => Math.max(a, b))
    const total = row.reduce((partial, x) => partial + Math.exp(x - largest), 0)
    sum += largest + Math.log(total) - (row[tokens[t + 1] as number] as number)
  }
  return sum / (tokens.length - 1)
}

// The validation loss at the end of a run is the trainer's own forward pass over the weights that it writes.
test.for(['qwen2', 'llama', 'qwen3'])(
  'llama.cpp has the loss that the trainer measured of the %s model it wrote',
  async (model_type) => {
    const directory = temporaryDirectory()
    const [config, text, base, output] = ['config.json', 'text.txt', 'base', 'expert'].map((name) =>
      join(directory, name),
    )
    writeFileSync(text as string, 'a small text to learn a tokenizer from, again and again. '.repeat(40))
    writeFileSync(
      config as string,
      JSON.stringify({
        model_type,
        hidden_act: 'silu',
        hidden_size: 48,
        intermediate_size: 96,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: model_type === 'qwen3' ? 16 : 12,
        vocab_size: vocabulary,
        max_position_embeddings: 256,
        rms_norm_eps: 1e-6,
        rope_theta: 10000,
        initializer_range: 0.1,
        tie_word_embeddings: model_type === 'llama',
      }),
    )
    const made = { out: base, config, trainTokenizer: [text], vocabularySize: 280, dtype: 'F32' as const }
    await init(made as Parameters<typeof init>[0])

    const random = new Random(2)
    const tokens = Array.from({ length: 48 }, () => random.below(300))
    const document: TestDocument = { tokens, spans: [[1, tokens.length]], source: 0, row: 0 }
    const data = writeData(join(directory, 'data'), [[document]], { vocabulary, shards: 1 })
    const run = { ...runFields, model: base as string, output: output as string, data, validationData: data }
    const { code, events, stderr } = await train({ ...run, epochs: 12, gradientAccumulation: 1, learningRate: 1e-2 })
    expect(code, stderr).toBe(0)
    const measured = events.findLast(({ event }) => event === 'validation')?.loss as number
    const first = events.find(({ event }) => event === 'step')?.loss as number
    expect(measured).toBeLessThan(first - 1)

    for (const name of ['config.json', 'tokenizer.json', 'tokenizer_config.json']) {
      copyFileSync(join(base as string, name), join(output as string, name))
    }
    const out = join(directory, 'expert.gguf')
    await exportGguf(output as string, { out, dtype: 'F32' })
    await readWithLlama(out, tokens, ({ logits }) => {
      expect(Math.abs(loss(logits, tokens) - measured)).toBeLessThan(2e-6 * Math.max(1, measured))
    })
  },
)
