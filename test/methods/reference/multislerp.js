/** docs/methods/multislerp.md */
import { column, differences, divisorOf, outcome, total } from './problem.js'
import { combination, norm } from './vectors.js'

/** A mean direction shorter than this, relative to what it is the mean of, is none. */
const cancelBelow = 1e-4

/**
 * What each vector is multiplied by.
 *
 * @param {Float64Array[]} vectors @param {number[]} weights @param {number} epsilon @returns {number[]}
 */
function coefficientsOf(vectors, weights, epsilon) {
  const norms = vectors.map(norm)
  if (norms.every((length) => length === 0)) return weights
  const directions = norms.map((length, m) => (length === 0 ? 0 : Number(weights[m]) / (length + epsilon)))
  const length = norm(combination(vectors, directions))
  const lengths = total(directions.map((direction, m) => direction * Number(norms[m]))).magnitude
  if (length > cancelBelow * lengths) {
    const mean = total(norms.map((value, m) => Number(weights[m]) * value)).value
    return directions.map((direction) => (direction / length) * mean)
  }
  if (vectors.length === 2) return weights
  throw new Error(`Expected inputs whose directions have a mean but its length is ${length}`)
}

/**
 * @param {import('./problem.js').Problem} problem
 * @param {{ weight: number[], normalizeWeights: boolean, epsilon: number }} parameters
 */
export function multislerp(problem, { weight, normalizeWeights, epsilon }) {
  const divisor = normalizeWeights ? divisorOf(weight) : 1
  const vectors = problem.base === undefined ? problem.inputs : differences(problem)
  const coefficients = coefficientsOf(
    vectors,
    weight.map((value) => value / divisor),
    epsilon,
  )
  return outcome(vectors[0]?.length ?? 0, (i) => {
    const terms = column(vectors, i).map((value, m) => Number(coefficients[m]) * value)
    return total([...terms, Number(problem.base?.[i] ?? 0)])
  })
}
