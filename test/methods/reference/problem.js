/**
 * What every reference takes and returns. The definition is docs/methods/; these files are written from it alone, in
 * float64, slow and plain.
 *
 * @typedef {import('../../support/floats.js').FloatDtype} FloatDtype
 *
 * @typedef {object} Problem one tensor of every model
 * @property {FloatDtype} dtype
 * @property {number[]} shape
 * @property {string} name
 * @property {Float64Array[]} inputs
 * @property {Float64Array} [base]
 *
 * @typedef {object} Outcome
 * @property {Float64Array} result before it is rounded to the output dtype
 * @property {Float64Array} magnitude the sum of the magnitudes that were added for an element: what its error is relative to
 * @property {Uint8Array} undecided 1 where a decision is nearer to its limit than sums in another order can tell
 *
 * @typedef {{ value: number, magnitude: number, undecided?: boolean }} Element
 */

/** The length of the rows of a tensor. @param {number[]} shape */
export const columnsOf = (shape) => shape.at(-1) ?? 1

/** @param {Problem} problem @returns {Float64Array} */
export function baseOf({ base }) {
  if (base === undefined) throw new Error('Expected a base')
  return base
}

/** δ_m = fl(x_m − b): one rounded subtraction in the working precision. @param {Problem} problem @returns {Float64Array[]} */
export function differences(problem) {
  const base = baseOf(problem)
  const round = problem.dtype === 'F64' ? (/** @type {number} */ value) => value : Math.fround
  return problem.inputs.map((input) => input.map((value, i) => round(value - Number(base[i]))))
}

/** One element after the other. @param {number} size @param {(index: number) => Element} elementAt @returns {Outcome} */
export function outcome(size, elementAt) {
  const result = new Float64Array(size)
  const magnitude = new Float64Array(size)
  const undecided = new Uint8Array(size)
  for (let i = 0; i < size; i++) {
    const element = elementAt(i)
    result[i] = element.value
    magnitude[i] = element.magnitude
    undecided[i] = element.undecided ? 1 : 0
  }
  return { result, magnitude, undecided }
}

/** Σ coefficient_m·vector_m + offset at one element. @param {number[]} terms @returns {Element} */
export function total(terms) {
  let value = 0
  let magnitude = 0
  for (const term of terms) {
    value += term
    magnitude += Math.abs(term)
  }
  return { value, magnitude }
}

/** The elements of several tensors at one place. @param {Float64Array[]} tensors @param {number} index */
export const column = (tensors, index) => tensors.map((tensor) => Number(tensor[index]))

/** Σ w_m, which a mean divides by. @param {number[]} weights */
export function divisorOf(weights) {
  const { value, magnitude } = total(weights)
  if (cancels(value, magnitude)) throw new Error(`Expected weights whose sum is not 0 but received ${weights}`)
  return value
}

/** Whether a sum of weights counts as 0. @param {number} sum @param {number} magnitude */
export const cancels = (sum, magnitude) => Math.abs(sum) <= 1e-8 * magnitude
