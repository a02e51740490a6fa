/**
 * docs/methods/README.md, "Task vectors": thin out, rescale, combine, add to the base.
 *
 * @typedef {import('./problem.js').Problem} Problem
 * @typedef {import('./problem.js').Element} Element
 * @typedef {(difference: Float64Array, input: number) => boolean[]} Thinning
 *
 * @typedef {object} Combination
 * @property {number[]} weight
 * @property {boolean} normalize
 * @property {number} lambda
 * @property {boolean} [rescale]
 */
import { baseOf, cancels, column, differences, divisorOf, outcome, total } from './problem.js'
import { absoluteSum } from './vectors.js'

/** An elected sum that is this near to 0, relative to its terms, may have either sign once norms have entered it. */
const undecidedRelative = 1e-9

/**
 * t_m of every input, and whether a factor entered that depends on the order of a sum.
 *
 * @param {Problem} problem @param {Thinning} thin @param {Combination} parameters
 */
function weightedTerms(problem, thin, { weight, rescale = false }) {
  let exact = true
  const terms = differences(problem).map((difference, m) => {
    const mask = thin(difference, m)
    const kept = difference.map((value, i) => (mask[i] ? value : 0))
    const norm = absoluteSum(kept)
    const factor = rescale && norm !== 0 && mask.includes(false) ? absoluteSum(difference) / norm : 1
    if (factor !== 1) exact = false
    return kept.map((value) => Number(weight[m]) * factor * value)
  })
  return { terms, exact }
}

/** b + λ·c at one element. @param {number} base @param {number} lambda @param {Element} combined @returns {Element} */
function addToBase(base, lambda, { value, magnitude, undecided = false }) {
  return {
    value: base + lambda * value,
    magnitude: Math.abs(base) + Math.abs(lambda) * magnitude,
    undecided: undecided && lambda !== 0,
  }
}

/** @param {Element} element @param {number} divisor @returns {Element} */
const divided = ({ value, magnitude, undecided = false }, divisor) => ({
  value: value / divisor,
  magnitude: magnitude / Math.abs(divisor),
  undecided,
})

/** @param {Problem} problem @param {Thinning} thin @param {Combination} parameters */
export function mergeLinearly(problem, thin, parameters) {
  const base = baseOf(problem)
  const divisor = parameters.normalize ? divisorOf(parameters.weight) : 1
  const { terms } = weightedTerms(problem, thin, parameters)
  return outcome(base.length, (i) =>
    addToBase(Number(base[i]), parameters.lambda, divided(total(column(terms, i)), divisor)),
  )
}

/**
 * The elected sign's share of the terms of one element. The order of additions is part of the definition.
 *
 * @param {number[]} terms @param {number[]} weights @param {boolean} normalize @returns {Element}
 */
export function elect(terms, weights, normalize) {
  const sign = total(terms).value >= 0 ? 1 : -1
  const agreeing = terms.flatMap((term, m) => (Math.sign(term) === sign ? [m] : []))
  const combined = total(agreeing.map((m) => Number(terms[m])))
  const divisor = total(agreeing.map((m) => Number(weights[m])))
  return normalize && !cancels(divisor.value, divisor.magnitude) ? divided(combined, divisor.value) : combined
}

/** @param {Problem} problem @param {Thinning} thin @param {Combination} parameters */
export function mergeByElection(problem, thin, parameters) {
  const base = baseOf(problem)
  const { terms, exact } = weightedTerms(problem, thin, parameters)
  return outcome(base.length, (i) => {
    const votes = column(terms, i)
    const { value, magnitude } = total(votes)
    const undecided = !exact && magnitude > 0 && Math.abs(value) <= undecidedRelative * magnitude
    const elected = elect(votes, parameters.weight, parameters.normalize)
    return addToBase(Number(base[i]), parameters.lambda, { ...elected, undecided })
  })
}
