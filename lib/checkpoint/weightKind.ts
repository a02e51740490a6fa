/** Kinds of weights in the order a model uses them, as the summary lists them. */
export const weightKinds = [
  'embedding',
  'q_proj',
  'k_proj',
  'v_proj',
  'qkv_proj',
  'kv_proj',
  'o_proj',
  'attention bias',
  'gate_proj',
  'up_proj',
  'gate_up_proj',
  'down_proj',
  'router',
  'norm',
  'lm_head',
  'other',
] as const

export type WeightKind = (typeof weightKinds)[number]

/** A module of this name anywhere in a dotted tensor name. */
const module = (names: string): RegExp => new RegExp(`(^|\\.)(${names})(\\.|$)`)

/** The first pattern that fits decides. Names of Qwen, Llama, Mistral, Mixtral, Phi, Gemma, DeepSeek and GPT-2. */
const rules: [WeightKind, RegExp][] = [
  [
    'router',
    module('router|shared_expert_gate|(mlp|block_sparse_moe|feed_forward|moe)\\.gate|gate\\.e_score_correction_bias'),
  ],
  ['norm', /norm|(^|\.)ln_\w+\./],
  ['lm_head', module('lm_head|embed_out')],
  ['embedding', module('embed_tokens|embed_in|tok_embeddings|word_embeddings|wte|wpe')],
  ['attention bias', /(^|\.)((q|k|v|o|qkv)_proj|(self_)?attn\.(dense|c_attn|c_proj|qkv))\.bias$/],
  ['q_proj', module('q_proj|q_a_proj|q_b_proj|wq')],
  ['k_proj', module('k_proj|wk')],
  ['v_proj', module('v_proj|wv')],
  ['qkv_proj', module('qkv_proj|query_key_value|c_attn|Wqkv')],
  ['kv_proj', module('kv_a_proj_with_mqa|kv_b_proj')],
  ['o_proj', module('o_proj|wo|(self_)?attn\\.(dense|c_proj)')],
  ['gate_up_proj', module('gate_up_proj')],
  ['gate_proj', module('gate_proj|w1')],
  ['up_proj', module('up_proj|w3|fc1|c_fc|dense_h_to_4h')],
  ['down_proj', module('down_proj|w2|fc2|mlp\\.c_proj|dense_4h_to_h')],
]

/** What a tensor does in the model, as its name tells. */
export function weightKind(name: string): WeightKind {
  return rules.find(([, pattern]) => pattern.test(name))?.[0] ?? 'other'
}
