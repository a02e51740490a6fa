import { expect, test } from 'vitest'
import { type WeightKind, weightKind } from '../../lib/checkpoint/weightKind.js'

/** Names as the published checkpoints have them. */
const names: Record<WeightKind, string[]> = {
  embedding: ['model.embed_tokens.weight', 'transformer.wte.weight', 'model.language_model.embed_tokens.weight'],
  lm_head: ['lm_head.weight', 'lm_head.bias', 'language_model.lm_head.weight', 'embed_out.weight'],
  q_proj: [
    'model.layers.0.self_attn.q_proj.weight',
    'model.layers.3.self_attn.q_a_proj.weight',
    'model.layers.3.self_attn.q_b_proj.weight',
  ],
  k_proj: ['model.layers.27.self_attn.k_proj.weight'],
  v_proj: ['model.layers.27.self_attn.v_proj.weight'],
  qkv_proj: ['model.layers.0.self_attn.qkv_proj.weight', 'transformer.h.0.attn.c_attn.weight'],
  kv_proj: ['model.layers.0.self_attn.kv_a_proj_with_mqa.weight', 'model.layers.0.self_attn.kv_b_proj.weight'],
  o_proj: ['model.layers.0.self_attn.o_proj.weight', 'model.layers.0.self_attn.dense.weight', 'h.0.attn.c_proj.weight'],
  'attention bias': [
    'model.layers.0.self_attn.q_proj.bias',
    'model.layers.0.self_attn.v_proj.bias',
    'model.layers.0.self_attn.dense.bias',
  ],
  gate_proj: [
    'model.layers.0.mlp.gate_proj.weight',
    'model.layers.0.block_sparse_moe.experts.7.w1.weight',
    'model.layers.3.mlp.experts.63.gate_proj.weight',
  ],
  up_proj: [
    'model.layers.0.mlp.up_proj.weight',
    'model.layers.0.block_sparse_moe.experts.7.w3.weight',
    'model.layers.0.mlp.fc1.weight',
    'model.layers.0.mlp.shared_experts.up_proj.weight',
  ],
  gate_up_proj: ['model.layers.0.mlp.gate_up_proj.weight'],
  down_proj: [
    'model.layers.0.mlp.down_proj.weight',
    'model.layers.0.block_sparse_moe.experts.7.w2.weight',
    'model.layers.0.mlp.fc2.bias',
  ],
  router: [
    'model.layers.0.block_sparse_moe.gate.weight',
    'model.layers.3.mlp.gate.weight',
    'model.layers.3.mlp.gate.e_score_correction_bias',
    'model.layers.0.mlp.shared_expert_gate.weight',
  ],
  norm: [
    'model.norm.weight',
    'model.layers.0.input_layernorm.weight',
    'model.layers.0.pre_feedforward_layernorm.weight',
    'model.layers.0.self_attn.q_norm.weight',
    'model.layers.0.self_attn.kv_a_layernorm.weight',
    'transformer.h.0.ln_1.weight',
    'model.final_layernorm.bias',
  ],
  other: ['model.layers.0.self_attn.rotary_emb.inv_freq', 'weight', ''],
}

test.each(Object.entries(names))('%s', (kind, members) => {
  for (const name of members) expect([name, weightKind(name)]).toEqual([name, kind])
})
