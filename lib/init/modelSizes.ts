import type { ConfigJson, Family } from '../checkpoint/decoderShape.js'

const architectures: Record<Family, string> = {
  qwen2: 'Qwen2ForCausalLM',
  llama: 'LlamaForCausalLM',
  qwen3: 'Qwen3ForCausalLM',
}

/** hidden, intermediate, layers, heads and key-value heads of the sizes that --size names; heads are 32 or 64 wide. */
const sizes = {
  '1m': [128, 384, 4, 4, 2],
  '5m': [256, 768, 6, 4, 2],
  '25m': [512, 1536, 8, 8, 2],
  '100m': [768, 3072, 12, 12, 4],
} as const satisfies Record<string, readonly [number, number, number, number, number]>

export type SizeName = keyof typeof sizes
export const sizeNames = Object.keys(sizes) as SizeName[]

/** A configuration of one of the sizes, without those fields that the tokenizer decides. */
export function configOfSize(size: SizeName, family: Family): ConfigJson {
  const [hidden, intermediate, layers, heads, keyValueHeads] = sizes[size]
  return {
    architectures: [architectures[family]],
    attention_dropout: 0,
    ...(family === 'qwen2' ? {} : { attention_bias: false, head_dim: hidden / heads }),
    ...(family === 'llama' ? { mlp_bias: false } : {}),
    hidden_act: 'silu',
    hidden_size: hidden,
    initializer_range: 0.02,
    intermediate_size: intermediate,
    max_position_embeddings: 4096,
    model_type: family,
    num_attention_heads: heads,
    num_hidden_layers: layers,
    num_key_value_heads: keyValueHeads,
    rms_norm_eps: 1e-6,
    rope_scaling: null,
    rope_theta: 10000,
    tie_word_embeddings: true,
    use_cache: true,
  }
}
