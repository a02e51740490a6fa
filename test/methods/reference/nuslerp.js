/** docs/methods/nuslerp.md */
import { column, columnsOf, differences, divisorOf, outcome, total } from './problem.js'
import { cosine, norm } from './vectors.js'

/**
 * The elements of each vector.
 *
 * @param {number[]} shape @param {number} size @param {boolean} flatten @param {boolean} rowWise @returns {number[][]}
 */
export function vectorsOf(shape, size, flatten, rowWise) {
  const all = Array.from({ length: size }, (_, i) => i)
  if (flatten) return [all]
  const columns = columnsOf(shape)
  // Along the last dimension a vector is a quotient class of the index, along the first a residue class.
  const stride = size / (shape[0] ?? 1)
  const vectorOf = rowWise
    ? (/** @type {number} */ i) => i % stride
    : (/** @type {number} */ i) => Math.floor(i / columns)
  /** @type {number[][]} */
  const vectors = []
  for (const i of all) {
    const members = vectors[vectorOf(i)] ?? []
    members.push(i)
    vectors[vectorOf(i)] = members
  }
  return vectors
}

/** @param {Float64Array} first @param {Float64Array} second @param {number} t */
function coefficientsOf(first, second, t) {
  const linear = { coefficients: [1 - t, t], undecided: false }
  if (norm(first) === 0 || norm(second) === 0) return linear
  const cosTheta = cosine(first, second)
  const theta = Math.acos(cosTheta)
  const sinTheta = Math.sin(theta)
  if (sinTheta < 1e-6) return linear
  // Of vectors that are all but opposite, rounding of the cosine decides how much they are amplified.
  const undecided = cosTheta < -0.9999
  return { coefficients: [Math.sin((1 - t) * theta) / sinTheta, Math.sin(t * theta) / sinTheta], undecided }
}

/**
 * @param {import('./problem.js').Problem} problem
 * @param {{ weight: number[], rowWise: boolean, flatten: boolean }} parameters
 */
export function nuslerp(problem, { weight, rowWise, flatten }) {
  if (rowWise && flatten) throw new Error('Expected flatten: false with rowWise: true')
  const t = Number(weight[1]) / divisorOf(weight)
  const { base, shape, inputs } = problem
  const tensors = base === undefined ? inputs : differences(problem)
  const size = inputs[0]?.length ?? 0
  /** @type {ReturnType<typeof coefficientsOf>[]} */
  const ofElement = []
  for (const vector of vectorsOf(shape, size, flatten, rowWise)) {
    const [first, second] = tensors.map((tensor) => Float64Array.from(vector, (i) => Number(tensor[i])))
    const found = coefficientsOf(/** @type {Float64Array} */ (first), /** @type {Float64Array} */ (second), t)
    for (const i of vector) ofElement[i] = found
  }
  return outcome(size, (i) => {
    const { coefficients, undecided } = /** @type {ReturnType<typeof coefficientsOf>} */ (ofElement[i])
    const terms = column(tensors, i).map((value, m) => Number(coefficients[m]) * value)
    return { ...total([...terms, Number(base?.[i] ?? 0)]), undecided }
  })
}
