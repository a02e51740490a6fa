import type { FusionOptions } from './fuseOptionTypes.js'

/** The choices that define a fusion, see docs/fusion.md for the equations. */
export type FusionChoices = { [K in keyof FusionOptions]-?: Exclude<FusionOptions[K], undefined> }

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
