/**
 * Shapes and side files of a Qwen2 checkpoint as Hugging Face lays it out.
 *
 * @typedef {object} Qwen2Shape
 * @property {number} hidden
 * @property {number} intermediate
 * @property {number} layers
 * @property {number} heads
 * @property {number} keyValueHeads
 * @property {number} vocabulary rows of the embedding; the tokenizer may use fewer
 *
 * @typedef {object} TensorPlan
 * @property {string} name
 * @property {number[]} shape
 * @property {number} mean of the base model's weights: 1 for norms
 * @property {number} std of the base model's weights
 */

/**
 * The weights of a model with tied embeddings, in the order in which they are dealt out to shards.
 * @param {Qwen2Shape} model
 * @returns {TensorPlan[]}
 */
export function qwen2Tensors({ hidden, intermediate, layers, heads, keyValueHeads, vocabulary }) {
  const keyValue = (hidden / heads) * keyValueHeads
  const matrix = (/** @type {string} */ name, /** @type {number[]} */ ...shape) => ({ name, shape, mean: 0, std: 0.02 })
  const norm = (/** @type {string} */ name) => ({ name, shape: [hidden], mean: 1, std: 0.5 })
  const layer = (/** @type {string} */ prefix) => [
    norm(`${prefix}.input_layernorm.weight`),
    matrix(`${prefix}.mlp.down_proj.weight`, hidden, intermediate),
    matrix(`${prefix}.mlp.gate_proj.weight`, intermediate, hidden),
    matrix(`${prefix}.mlp.up_proj.weight`, intermediate, hidden),
    norm(`${prefix}.post_attention_layernorm.weight`),
    matrix(`${prefix}.self_attn.k_proj.bias`, keyValue),
    matrix(`${prefix}.self_attn.k_proj.weight`, keyValue, hidden),
    matrix(`${prefix}.self_attn.o_proj.weight`, hidden, hidden),
    matrix(`${prefix}.self_attn.q_proj.bias`, hidden),
    matrix(`${prefix}.self_attn.q_proj.weight`, hidden, hidden),
    matrix(`${prefix}.self_attn.v_proj.bias`, keyValue),
    matrix(`${prefix}.self_attn.v_proj.weight`, keyValue, hidden),
  ]
  return [
    matrix('model.embed_tokens.weight', vocabulary, hidden),
    ...Array.from({ length: layers }, (_, index) => layer(`model.layers.${index}`)).flat(),
    norm('model.norm.weight'),
  ]
}

/**
 * config.json.
 * @param {Qwen2Shape} model
 * @param {{ begin: number, end: number }} tokens ids that begin and end a text
 */
export function qwen2Config({ hidden, intermediate, layers, heads, keyValueHeads, vocabulary }, { begin, end }) {
  return {
    architectures: ['Qwen2ForCausalLM'],
    attention_dropout: 0,
    bos_token_id: begin,
    eos_token_id: end,
    hidden_act: 'silu',
    hidden_size: hidden,
    initializer_range: 0.02,
    intermediate_size: intermediate,
    max_position_embeddings: 32768,
    max_window_layers: layers,
    model_type: 'qwen2',
    num_attention_heads: heads,
    num_hidden_layers: layers,
    num_key_value_heads: keyValueHeads,
    rms_norm_eps: 1e-6,
    rope_scaling: null,
    rope_theta: 1000000,
    sliding_window: null,
    tie_word_embeddings: true,
    torch_dtype: 'bfloat16',
    transformers_version: '4.57.1',
    use_cache: true,
    use_sliding_window: false,
    vocab_size: vocabulary,
  }
}
