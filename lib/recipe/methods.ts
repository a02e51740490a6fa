import { fusionKeys, recipeFusionKeys } from '../fusion/fuseKeys.js'
import { presets } from '../fusion/presets.js'
import type { BooleanOption, ChoiceOption, NumberOption } from '../options/option.js'

/** Parameters of one name and one meaning can be set for several methods at once. Without `default` one must be given. */
export type Parameter = ((NumberOption & { default?: number }) | BooleanOption | ChoiceOption) & {
  /** One value for each input; a single value serves them all. */
  perInput?: true
  /** How mergekit calls it where the name differs; null where mergekit has no such parameter. */
  mergekit?: string | null
}

/** What a recipe can say about one method. The arithmetic is the native side's, one file a method. */
export interface Method {
  /** One line for lists and help. */
  summary: string
  /** Other names that are understood. */
  aliases?: readonly string[]
  /** The model that differences are taken from: first in an expression where required, `base=` where optional. */
  base: 'none' | 'optional' | 'required'
  /** How many inputs, the base not counted. */
  inputs: { least: number; most: number }
  parameters: Readonly<Record<string, Parameter>>
  /** What is wrong with values that are right each on its own; undefined when nothing is. */
  conflict?: (values: Readonly<Record<string, unknown>>) => string | undefined
}

/** A merge holds a slice of each input in memory; the largest published soups have about 40. */
const many = 64

const weight: Parameter = {
  type: 'number',
  least: -1e6,
  most: 1e6,
  default: 1,
  perInput: true,
  meaning: 'share of an input',
}
const density: Parameter = {
  type: 'number',
  least: 0,
  most: 1,
  default: 1,
  perInput: true,
  meaning: 'fraction of the difference from the base that is kept',
}
const lambda: Parameter = {
  type: 'number',
  least: -1e6,
  most: 1e6,
  default: 1,
  meaning: 'factor of the merged difference from the base',
}
const seed: Parameter = {
  type: 'integer',
  least: 0,
  most: 2 ** 32 - 1,
  default: 0,
  meaning: 'start of the random numbers',
  mergekit: null,
}
const normalize = (value: boolean): Parameter => ({
  type: 'boolean',
  default: value,
  meaning: 'divide by the sum of the weights',
})
const rescale = (value: boolean): Parameter => ({
  type: 'boolean',
  default: value,
  meaning: 'restore the L1 norm that a difference had before it was thinned out',
})

const taskVectors = (summary: string, parameters: Record<string, Parameter>): Method => ({
  summary,
  base: 'required',
  inputs: { least: 1, most: many },
  parameters: { weight, ...parameters, lambda },
})

/** The same without an election of signs, which would have sums of its own. */
const summedTaskVectors = (summary: string, parameters: Record<string, Parameter>): Method => ({
  ...taskVectors(summary, parameters),
  conflict: normalizedWeights,
})

const epsilonOfDella: Parameter = {
  type: 'number',
  least: 0,
  most: 0.5,
  default: 0.15,
  perInput: true,
  meaning: 'half the spread of the keep probabilities around density',
}
const gamma: Parameter = {
  type: 'number',
  least: 0,
  most: 1,
  default: 0.01,
  perInput: true,
  meaning: 'fraction of the largest differences that is dropped',
}

const { preset, nonFinite } = recipeFusionKeys

/** The parameters of the fusion are the fields of FusionChoices, see docs/fusion.md. */
const fusionParameters: Record<string, Parameter> = {
  preset: { ...preset, mergekit: null },
  ...Object.fromEntries(
    (Object.keys(fusionKeys) as (keyof typeof fusionKeys)[]).map((name) => [
      name,
      { ...fusionKeys[name], default: presets[preset.default][name], mergekit: null } as Parameter,
    ]),
  ),
  nonFinite: { ...nonFinite, mergekit: null },
}

/** Defaults are mergekit's, except that weights, which it demands, default to 1. */
const table = {
  fuse: {
    summary: 'Arcee Fusion: the elements of Right whose change matters, those of Left elsewhere',
    aliases: ['arcee_fusion'],
    base: 'none',
    inputs: { least: 2, most: 2 },
    parameters: fusionParameters,
  },
  linear: {
    summary: 'Weighted mean',
    base: 'none',
    inputs: { least: 1, most: many },
    parameters: { weight, normalize: normalize(true) },
    conflict: normalizedWeights,
  },
  slerp: {
    summary: 'Spherical interpolation from the first input (t = 0) to the second (t = 1)',
    base: 'none',
    inputs: { least: 2, most: 2 },
    parameters: { t: { type: 'number', least: 0, most: 1, meaning: 'how far from the first input to the second' } },
  },
  task_arithmetic: summedTaskVectors('Base plus the weighted sum of differences', { normalize: normalize(false) }),
  ties: taskVectors('Trimmed differences, those that agree with the elected sign', {
    density,
    normalize: normalize(true),
    rescale: rescale(false),
  }),
  dare_linear: summedTaskVectors('Differences dropped at random, summed', {
    density,
    normalize: normalize(false),
    rescale: rescale(true),
    seed,
  }),
  dare_ties: taskVectors('Differences dropped at random, those that agree with the elected sign', {
    density,
    normalize: normalize(false),
    rescale: rescale(true),
    seed,
  }),
  della: {
    ...taskVectors('Differences dropped at random, small ones more often, then sign election', {
      density,
      epsilon: epsilonOfDella,
      normalize: normalize(true),
      rescale: rescale(true),
      seed,
    }),
    conflict: dellaConflict,
  },
  della_linear: {
    ...taskVectors('Differences dropped at random, small ones more often, summed', {
      density,
      epsilon: epsilonOfDella,
      normalize: normalize(false),
      rescale: rescale(true),
      seed,
    }),
    conflict: (values) => dellaConflict(values) ?? normalizedWeights(values),
  },
  breadcrumbs: summedTaskVectors('Differences without the largest and the smallest, summed', {
    density,
    gamma,
    normalize: normalize(false),
    rescale: rescale(false),
  }),
  breadcrumbs_ties: taskVectors('Differences without the largest and the smallest, then sign election', {
    density,
    gamma,
    normalize: normalize(false),
    rescale: rescale(false),
  }),
  model_stock: {
    summary: 'Between base and mean, by the angle between the differences',
    base: 'required',
    inputs: { least: 2, most: many },
    parameters: {
      filterWise: {
        type: 'boolean',
        default: false,
        meaning: 'an angle for each row instead of one for the tensor',
        mergekit: 'filter_wise',
      },
    },
  },
  sce: {
    summary: 'Differences of high variance, weighted by their energy, then sign election',
    base: 'required',
    inputs: { least: 2, most: many },
    parameters: {
      selectTopk: {
        type: 'number',
        least: 0,
        most: 1,
        default: 1,
        meaning: 'fraction of the elements that vary which is merged',
        mergekit: 'select_topk',
      },
    },
  },
  nearswap: {
    summary: 'The second input where it is near the first, the first elsewhere',
    base: 'none',
    inputs: { least: 2, most: 2 },
    parameters: {
      t: { type: 'number', least: 1e-30, most: 1e6, meaning: 'difference up to which the second input is taken whole' },
    },
  },
  nuslerp: {
    summary: 'Spherical interpolation of two inputs, or of their differences from a base',
    base: 'optional',
    inputs: { least: 2, most: 2 },
    parameters: {
      weight,
      rowWise: {
        type: 'boolean',
        default: false,
        meaning: 'vectors along the first dimension instead of the last',
        mergekit: 'nuslerp_row_wise',
      },
      flatten: {
        type: 'boolean',
        default: true,
        meaning: 'one vector a tensor',
        mergekit: 'nuslerp_flatten',
      },
    },
    conflict: ({ rowWise, flatten, weight }) =>
      rowWise === true && flatten === true ? 'Expected flatten: false with rowWise: true' : cancelling(weight),
  },
  multislerp: {
    summary: 'Spherical weighted mean in the tangent space at the linear one',
    base: 'optional',
    inputs: { least: 2, most: many },
    parameters: {
      weight,
      normalizeWeights: {
        type: 'boolean',
        default: true,
        meaning: 'make the weights sum to 1',
        mergekit: 'normalize_weights',
      },
      epsilon: {
        type: 'number',
        least: 0,
        most: 1,
        default: 1e-8,
        meaning: 'added to norms before dividing by them',
        mergekit: 'eps',
      },
    },
    conflict: ({ normalizeWeights, weight }) => (normalizeWeights === true ? cancelling(weight) : undefined),
  },
  karcher: {
    summary: 'Riemannian mean of the directions, times the mean norm',
    base: 'none',
    inputs: { least: 2, most: many },
    parameters: {
      maxIterations: {
        type: 'integer',
        least: 1,
        most: 1000,
        default: 10,
        meaning: 'most steps to the mean',
        mergekit: 'max_iter',
      },
      tolerance: {
        type: 'number',
        least: 0,
        most: 1,
        default: 1e-5,
        meaning: 'length of a step that ends the search',
        mergekit: 'tol',
      },
    },
  },
  ram: {
    summary: 'Elements that one input changed are taken, those that several changed are averaged',
    base: 'required',
    inputs: { least: 1, most: many },
    parameters: {
      epsilon: { type: 'number', least: 0, most: 1, default: 1e-5, meaning: 'difference up to which nothing changed' },
    },
  },
  passthrough: {
    summary: 'One input, as it is or scaled',
    base: 'none',
    inputs: { least: 1, most: 1 },
    parameters: {
      scale: { type: 'number', least: -1e6, most: 1e6, default: 1, perInput: true, meaning: 'factor of the input' },
    },
  },
} as const satisfies Record<string, Method>

export type MethodName = keyof typeof table
export const methods: Readonly<Record<MethodName, Method>> = table
export const methodNames = Object.keys(table) as MethodName[]

/** Every name that an expression or a recipe may use for a method. */
export const methodSpellings: readonly string[] = methodNames.flatMap((name) => [
  name,
  ...(methods[name].aliases ?? []),
])

/** The method of that name or alias. */
export function methodFromName(name: string): MethodName | undefined {
  return methodNames.find((method) => method === name || methods[method].aliases?.includes(name))
}

/** The parameter of that name, undefined when the method has none. */
export function parameterOf(method: MethodName, name: string): Parameter | undefined {
  const { parameters } = methods[method]
  return Object.hasOwn(parameters, name) ? parameters[name] : undefined
}

/** Keep probabilities run from density − epsilon to density + epsilon and must stay inside (0, 1). */
/** Weights whose sum is within this factor of the sum of their magnitudes cancel (native/methods/weights.h). */
const cancellingWeights = 1e-8

function normalizedWeights({ normalize, weight }: Readonly<Record<string, unknown>>): string | undefined {
  return normalize === true ? cancelling(weight) : undefined
}

/** What is wrong with weights by whose sum something is divided; of gradients nothing is known yet. */
function cancelling(weights: unknown): string | undefined {
  if (!Array.isArray(weights) || !weights.every((weight) => typeof weight === 'number')) return undefined
  const sum = weights.reduce((total, weight) => total + weight, 0)
  const magnitudes = weights.reduce((total, weight) => total + Math.abs(weight), 0)
  if (Math.abs(sum) > cancellingWeights * magnitudes) return undefined
  return `Expected weights that do not cancel but received ${weights.join(', ')}: the result is divided by their sum`
}

function dellaConflict({ density, epsilon }: Readonly<Record<string, unknown>>): string | undefined {
  if (!Array.isArray(density) || !Array.isArray(epsilon)) return undefined
  const wrong = density.findIndex((d, i) => d > 0 && d < 1 && (d - epsilon[i] <= 0 || d + epsilon[i] >= 1))
  if (wrong < 0) return undefined
  return (
    'Expected density − epsilon and density + epsilon between 0 and 1 ' +
    `but received density ${density[wrong]}, epsilon ${epsilon[wrong]}`
  )
}
