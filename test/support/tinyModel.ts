import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { init } from '../../lib/index.js'
import { temporaryDirectory } from './temporary.js'

/** A model of random weights with a tokenizer and ChatML as its template: what it writes is nonsense, the same every time. */
export async function tinyModel({
  dtype = 'F32' as 'F32' | 'BF16' | 'F16',
  context = 256,
  files = {} as Record<string, string>,
  seed = 42,
  directory = temporaryDirectory(),
} = {}): Promise<string> {
  const [config, text, out] = ['config.json', 'text.txt', 'model'].map((name) => join(directory, name)) as [
    string,
    string,
    string,
  ]
  writeFileSync(text, 'a small text to learn a tokenizer from, again and again. '.repeat(40))
  writeFileSync(
    config,
    JSON.stringify({
      model_type: 'qwen2',
      hidden_act: 'silu',
      hidden_size: 48,
      intermediate_size: 96,
      num_hidden_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      vocab_size: 320,
      max_position_embeddings: context,
      rms_norm_eps: 1e-6,
      rope_theta: 10000,
      initializer_range: 0.3,
      tie_word_embeddings: false,
    }),
  )
  await init({ out, config, trainTokenizer: [text], vocabularySize: 280, dtype, seed })
  for (const [name, content] of Object.entries(files)) writeFileSync(join(out, name), content)
  return out
}
