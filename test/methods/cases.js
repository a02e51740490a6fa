/**
 * Golden cases of the merge methods, made from seeds and the references: what the engine is held to.
 *
 * @typedef {import('../support/floats.js').FloatDtype} FloatDtype
 * @typedef {import('../support/random.js').Random} Generator
 * @typedef {keyof typeof references} MethodName
 * @typedef {Record<string, number | boolean | number[]>} Parameters resolved: all present, one value for each input where a
 *   parameter is per input
 *
 * @typedef {object} MethodInput
 * @property {MethodName} method
 * @property {Parameters} parameters
 * @property {FloatDtype} dtype
 * @property {FloatDtype} outputDtype
 * @property {number[]} shape
 * @property {string} tensor its name, which random numbers depend on
 * @property {Uint8Array[]} inputs the bytes of the tensor in each input
 * @property {Uint8Array} [base]
 *
 * @typedef {MethodInput & { name: string } & Expectation} GoldenCase
 *
 * @typedef {object} Expectation
 * @property {Float64Array} exact the result before it is rounded
 * @property {Uint8Array} expected its bytes in the output dtype
 * @property {Float64Array} magnitude what the error of an element is relative to
 * @property {Uint8Array} undecided 1 where an element is not compared: rounding of a sum may decide either way
 *
 * @typedef {object} Variant one setting of a method
 * @property {number} count of inputs
 * @property {boolean} based whether there is a base
 * @property {Parameters} parameters
 *
 * @typedef {(random: Generator, count: number, dtype: FloatDtype) => { base: number, inputs: number[] }} Draw one element
 */
import { decode, encode } from '../support/floats.js'
import { Random } from '../support/random.js'
import { references } from './reference/references.js'

export const methodNames = /** @type {MethodName[]} */ (Object.keys(references))

/** @template T @param {number} count @param {(index: number) => T} make @returns {T[]} */
const times = (count, make) => Array.from({ length: count }, (_, i) => make(i))

const least = { BF16: 2 ** -133, F16: 2 ** -24, F32: 2 ** -149, F64: 2 ** -300 }

/** @type {Record<string, Draw>} */
const draws = {
  fineTuned: (random, count) => {
    const base = 0.02 * random.normal()
    return { base, inputs: times(count, () => base + 1e-3 * random.normal()) }
  },
  sparse: (random, count) => {
    const base = 0.02 * random.normal()
    return { base, inputs: times(count, () => (random.uniform() < 0.6 ? base : base + 1e-3 * random.normal())) }
  },
  heavyTailed: (random, count) => {
    const base = 0.02 * random.normal() * Math.exp(1.5 * Math.abs(random.normal()))
    const spread = () => 1e-4 * random.normal() * Math.exp(2 * Math.abs(random.normal()))
    return { base, inputs: times(count, () => base + spread()) }
  },
  unrelated: (random, count) => ({ base: random.normal(), inputs: times(count, () => random.normal()) }),
  /** On a binary grid: equal magnitudes and differences that cancel exactly. */
  gridded: (random, count) => {
    const base = (random.below(9) - 4) / 64
    return { base, inputs: times(count, () => base + (random.below(5) - 2) / 1024) }
  },
  equal: (random, count) => {
    const base = 0.02 * random.normal()
    const input = base + 1e-3 * random.normal()
    return { base, inputs: times(count, () => input) }
  },
  unchanged: (random, count) => {
    const base = 0.02 * random.normal()
    return { base, inputs: times(count, () => base) }
  },
  opposite: (random, count) => {
    const base = (random.below(9) - 4) / 64
    const difference = (1 + random.below(4)) / 1024
    return { base, inputs: times(count, (m) => base + (m % 2 === 0 ? difference : -difference)) }
  },
  zeros: (_, count) => ({ base: 0, inputs: times(count, () => 0) }),
  firstZero: (random, count) => ({ base: 0, inputs: times(count, (m) => (m === 0 ? 0 : random.normal())) }),
  smallest: (random, count, dtype) => {
    const value = () => random.pick([0, -0, least[dtype] * (random.below(200) - 100), 0.02 * random.normal()])
    return { base: value(), inputs: times(count, value) }
  },
}

const dtypes = /** @type {const} */ (['BF16', 'F32', 'F16', 'F64'])
/** Around vector and block sizes, of every rank; 9 of them and 4 dtypes, so that in turn each meets each. */
const shapes = [[12, 33], [257], [5, 64], [3, 4, 17], [1], [1, 1025], [20, 257], [], [7]]

const oneWeight = [1, 1, 1]
const unevenWeights = [0.7, 0.4, -0.2]

/** @param {Parameters} parameters @param {Parameters[]} changes @param {number} [count] @returns {Variant[]} */
const based = (parameters, changes, count = 3) =>
  changes.map((change) => ({ count, based: true, parameters: { ...parameters, ...change } }))

/** @param {number} count @param {Parameters[]} settings @returns {Variant[]} */
const baseless = (count, settings) => settings.map((parameters) => ({ count, based: false, parameters }))

const common = { weight: oneWeight, lambda: 1 }
const thinned = { ...common, density: [0.5, 0.2, 0.9] }
const uneven = { weight: unevenWeights, lambda: 0.8 }
const limits = { density: [1, 0, 0.001] }

/** The settings that are tried. @type {Record<MethodName, Variant[]>} */
export const variants = {
  linear: [
    ...baseless(3, [{ weight: oneWeight, normalize: true }]),
    ...baseless(3, [{ weight: unevenWeights, normalize: true }]),
    ...baseless(2, [{ weight: [0.3, 1.9], normalize: false }]),
  ],
  slerp: baseless(2, [{ t: 0.3 }, { t: 0 }, { t: 1 }, { t: 0.5 }]),
  nuslerp: [
    { weight: [1, 1], rowWise: false, flatten: true },
    { weight: [0.3, 1.2], rowWise: false, flatten: false },
    { weight: [2, 0.5], rowWise: true, flatten: false },
  ].flatMap((parameters) => [
    { count: 2, based: false, parameters },
    { count: 2, based: true, parameters },
  ]),
  multislerp: [
    ...baseless(2, [{ weight: [1, 1], normalizeWeights: true, epsilon: 1e-8 }]),
    ...baseless(2, [{ weight: [0.6, 0.7], normalizeWeights: false, epsilon: 1e-3 }]),
    ...based({ weight: [0.5, 0.7, 0.3], normalizeWeights: true, epsilon: 0 }, [{}]),
  ],
  karcher: [
    ...baseless(3, [{ maxIterations: 10, tolerance: 1e-5 }]),
    ...baseless(2, [{ maxIterations: 10, tolerance: 1e-3 }]),
    ...baseless(3, [
      { maxIterations: 1, tolerance: 0 },
      { maxIterations: 50, tolerance: 0 },
    ]),
  ],
  task_arithmetic: based({ ...common, normalize: false }, [{}, uneven, { normalize: true }]),
  ties: based({ ...thinned, normalize: true, rescale: false }, [
    {},
    { density: [1, 1, 1] },
    { ...uneven, rescale: true },
    { ...limits, normalize: false },
  ]),
  dare_linear: based({ ...thinned, normalize: false, rescale: true, seed: 0 }, [
    {},
    { seed: 2 ** 32 - 1, normalize: true },
    { ...uneven, rescale: false },
    limits,
  ]),
  dare_ties: based({ ...thinned, normalize: false, rescale: true, seed: 0 }, [
    {},
    { seed: 7, normalize: true },
    { ...uneven, rescale: false },
    limits,
  ]),
  della: based({ ...thinned, epsilon: [0.15, 0.1, 0.05], normalize: true, rescale: true, seed: 0 }, [
    {},
    { seed: 7, normalize: false },
    { ...uneven, rescale: false },
    { density: [1, 0, 0.5] },
  ]),
  della_linear: based({ ...thinned, epsilon: [0.15, 0.1, 0.05], normalize: false, rescale: true, seed: 0 }, [
    {},
    { seed: 7, normalize: true },
    { ...uneven, rescale: false },
    { density: [1, 0, 0.5], epsilon: [0, 0, 0] },
  ]),
  breadcrumbs: based({ ...thinned, gamma: [0.01, 0.2, 0.3], normalize: false, rescale: false }, [
    {},
    { ...uneven, rescale: true, normalize: true },
    { ...limits, gamma: [0.5, 0, 1] },
    { gamma: [0, 0, 0] },
  ]),
  breadcrumbs_ties: based({ ...thinned, gamma: [0.01, 0.2, 0.3], normalize: false, rescale: false }, [
    {},
    { ...uneven, rescale: true, normalize: true },
    { ...limits, gamma: [0.5, 0, 1] },
    { gamma: [0, 0, 0] },
  ]),
  model_stock: [
    ...based({}, [{ filterWise: false }, { filterWise: true }]),
    ...based({}, [{ filterWise: false }, { filterWise: true }], 2),
  ],
  sce: [
    ...based({}, [{ selectTopk: 1 }, { selectTopk: 0.3 }, { selectTopk: 0 }]),
    ...based({ selectTopk: 0.5 }, [{}], 2),
  ],
  nearswap: baseless(2, [{ t: 1e-3 }, { t: 1e-4 }, { t: 10 }, { t: 1e-30 }]),
  ram: [...based({}, [{ epsilon: 1e-5 }, { epsilon: 0 }, { epsilon: 1e-3 }]), ...based({ epsilon: 1e-5 }, [{}], 1)],
  passthrough: baseless(1, [{ scale: [1] }, { scale: [-0.37] }, { scale: [0] }]),
}

/** @param {MethodInput} input @returns {Expectation} */
export function expectationOf({ method, parameters, dtype, outputDtype, shape, tensor, inputs, base }) {
  const problem = {
    dtype,
    shape,
    name: tensor,
    inputs: inputs.map((bytes) => Float64Array.from(decode(dtype, bytes))),
    ...(base && { base: Float64Array.from(decode(dtype, base)) }),
  }
  const reference = /** @type {import('./reference/references.js').Reference} */ (references[method])
  const { result, magnitude, undecided } = reference(problem, /** @type {never} */ (parameters))
  return { exact: result, expected: encode(outputDtype, result), magnitude, undecided }
}

/**
 * One tensor of every model.
 *
 * @param {Random} random @param {Draw} draw @param {Variant} variant @param {FloatDtype} dtype @param {number[]} shape
 */
function drawTensors(random, draw, variant, dtype, shape) {
  const elements = times(
    shape.reduce((a, b) => a * b, 1),
    () => draw(random, variant.count, dtype),
  )
  return {
    inputs: times(variant.count, (m) =>
      encode(
        dtype,
        elements.map(({ inputs }) => Number(inputs[m])),
      ),
    ),
    ...(variant.based && {
      base: encode(
        dtype,
        elements.map(({ base }) => base),
      ),
    }),
  }
}

/** Parameters that are per input, cut to the number of inputs. @param {Variant} variant @returns {Parameters} */
const fitted = ({ parameters, count }) =>
  Object.fromEntries(
    Object.entries(parameters).map(([key, value]) => [key, Array.isArray(value) ? value.slice(0, count) : value]),
  )

/**
 * One case, of any size.
 *
 * @param {MethodName} method
 * @param {Variant} variant
 * @param {string} kind of tensors: a key of `draws`
 * @param {{ dtype: FloatDtype, outputDtype?: FloatDtype, shape: number[], tensor: string, seed: number }} tensor
 * @returns {GoldenCase}
 */
export function goldenCase(method, variant, kind, { dtype, outputDtype = dtype, shape, tensor, seed }) {
  const draw = /** @type {Draw} */ (draws[kind])
  /** @type {MethodInput} */
  const input = {
    method,
    parameters: fitted(variant),
    dtype,
    outputDtype,
    shape,
    tensor,
    ...drawTensors(new Random(seed), draw, variant, dtype, shape),
  }
  const conversion = outputDtype === dtype ? dtype : `${dtype}→${outputDtype}`
  return { name: `${method} ${kind} ${conversion} [${shape}]`, ...input, ...expectationOf(input) }
}

/**
 * All cases of a method: each variant on each kind of tensors, dtypes and shapes in turn. The same at every call.
 *
 * @param {MethodName} method @returns {GoldenCase[]}
 */
export function goldenCases(method) {
  const settings = variants[method].flatMap((variant, v) => Object.keys(draws).map((kind) => ({ variant, kind, v })))
  return settings.map(({ variant, kind, v }, turn) => {
    const dtype = /** @type {FloatDtype} */ (dtypes[turn % dtypes.length])
    const golden = goldenCase(method, variant, kind, {
      dtype,
      outputDtype: turn % 7 === 3 && dtype !== 'F64' ? 'F32' : dtype,
      shape: /** @type {number[]} */ (shapes[turn % shapes.length]),
      tensor: turn % 5 === 0 ? '' : `model.layers.${turn}.mlp.up_proj.weight`,
      seed: 1000 * methodNames.indexOf(method) + turn,
    })
    return { ...golden, name: `${golden.name}, setting ${v}` }
  })
}

/** What must be refused, whatever the dtype. @returns {(MethodInput & { name: string })[]} */
export function refusedCases() {
  const bytes = (/** @type {number[]} */ values) => encode('F32', values)
  const pair = [bytes([1, 2, 3]), bytes([3, 2, 1])]
  const base = bytes([0, 0, 0])
  const tensor = {
    dtype: /** @type {const} */ ('F32'),
    outputDtype: /** @type {const} */ ('F32'),
    shape: [3],
    tensor: 'w',
  }
  const cancelling = { weight: [0.3, -0.3] }
  const summed = { ...cancelling, normalize: true, lambda: 1, rescale: false, density: [1, 1], seed: 0 }
  return [
    { name: 'linear', method: 'linear', parameters: { ...cancelling, normalize: true }, inputs: pair },
    { name: 'nuslerp', method: 'nuslerp', parameters: { ...cancelling, rowWise: false, flatten: true }, inputs: pair },
    {
      name: 'multislerp',
      method: 'multislerp',
      parameters: { ...cancelling, normalizeWeights: true, epsilon: 1e-8 },
      inputs: pair,
    },
    {
      name: 'multislerp of directions that cancel',
      method: 'multislerp',
      parameters: { weight: [0.5, 0.25, 0.25], normalizeWeights: true, epsilon: 1e-8 },
      inputs: [bytes([1, 0, 0]), bytes([-1, 0, 0]), bytes([-2, 0, 0])],
    },
    {
      name: 'task_arithmetic',
      method: 'task_arithmetic',
      parameters: { ...cancelling, normalize: true, lambda: 1 },
      inputs: pair,
      base,
    },
    { name: 'dare_linear', method: 'dare_linear', parameters: summed, inputs: pair, base },
    { name: 'della_linear', method: 'della_linear', parameters: { ...summed, epsilon: [0, 0] }, inputs: pair, base },
    { name: 'breadcrumbs', method: 'breadcrumbs', parameters: { ...summed, gamma: [0, 0] }, inputs: pair, base },
  ].map((refused) => /** @type {MethodInput & { name: string }} */ ({ ...tensor, ...refused }))
}
