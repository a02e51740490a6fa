import type { ReportStep, ReportTensor } from '../../lib/report/fractionGrid.js'

/** A tensor of a thousand elements of which `permille` came from Right. */
export const tensorOf = (name: string, permille: number, marks: Partial<ReportTensor> = {}): ReportTensor => ({
  name,
  shape: [10, 100],
  elements: 1000,
  kept: permille,
  degenerate: false,
  identical: false,
  ...marks,
})

const modules = ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'self_attn.o_proj', 'mlp.gate_proj']

/** A step over a model of so many layers: five matrices and a norm each, embedding, final norm and head outside. */
export function stepOf(name: string, layers: number): ReportStep {
  const layer = (index: number) => [
    ...modules.map((module, i) => tensorOf(`model.layers.${index}.${module}.weight`, 100 + i * 20 + (index % 20))),
    tensorOf(`model.layers.${index}.input_layernorm.weight`, 90),
  ]
  return {
    name,
    tensors: [
      tensorOf('lm_head.weight', 150),
      tensorOf('model.embed_tokens.weight', 120),
      ...Array.from({ length: layers }, (_, index) => layer(index)).flat(),
      tensorOf('model.norm.weight', 1000, { identical: true }),
    ],
  }
}
