/** The choices that define a fusion, see docs/fusion.md for the equations. */
export interface FusionChoices {
  /** What one softmax spans: a row (the last dimension) or the whole tensor. */
  scope: 'row' | 'tensor'
  /** P‖Q of the Kullback-Leibler divergence. */
  divergence: 'right||left' | 'left||right'
  /** Importance of an element: divergence × |Left − Right|, or × (Left − Right). */
  score: 'abs' | 'signed'
  /** Right where score ≥ threshold, or > threshold; 'soft' moves by max(0, score − threshold). */
  gate: 'ge' | 'gt' | 'soft'
  /** Threshold = median + lambda × (Q3 − Q1). From 0 to 1e6. */
  lambda: number
  /** Added to every softmax value: 0, or from 1e-30 to 1. */
  epsilon: number
  /** Quartile: the element at index floor(q·(n−1)), or linear interpolation. */
  quantile: 'lower' | 'linear'
  /** Quartiles over all elements, or over those that differ; 'changed' never takes an unchanged one. */
  population: 'all' | 'changed'
}

const paper = {
  scope: 'tensor',
  divergence: 'left||right',
  score: 'signed',
  gate: 'gt',
  lambda: 1.5,
  epsilon: 1e-8,
  quantile: 'lower',
  population: 'all',
} as const satisfies FusionChoices

/**
 * `arcee`: mergekit's arcee_fusion. `paper`: equations (1), (2) and (7) of the TinyR1 paper as printed. `paper-soft`:
 * equations (1), (2) and (3) as printed; its weight score − threshold is about 1e-11 for fine-tuned models, so it all
 * but returns Left.
 */
export const presets = {
  arcee: {
    scope: 'row',
    divergence: 'right||left',
    score: 'abs',
    gate: 'ge',
    lambda: 1.5,
    epsilon: 1e-8,
    quantile: 'lower',
    population: 'all',
  },
  paper,
  'paper-soft': { ...paper, gate: 'soft' },
} as const satisfies Record<string, FusionChoices>

/** A name of {@link presets}. */
export type PresetName = keyof typeof presets
for (const preset of Object.values(presets)) Object.freeze(preset)
Object.freeze(presets)
