/** docs/methods/slerp.md */
import { column, outcome, total } from './problem.js'
import { cosine, norm } from './vectors.js'

const linearAbove = 0.9995

/** @param {import('./problem.js').Problem} problem @param {{ t: number }} parameters */
export function slerp({ inputs }, { t }) {
  const [first, second] = /** @type {[Float64Array, Float64Array]} */ (inputs)
  const hasAngle = norm(first) > 0 && norm(second) > 0
  const cosTheta = hasAngle ? cosine(first, second) : 1
  const theta = Math.acos(cosTheta)
  const coefficients =
    Math.abs(cosTheta) > linearAbove
      ? [1 - t, t]
      : [Math.sin((1 - t) * theta) / Math.sin(theta), Math.sin(t * theta) / Math.sin(theta)]
  const undecided = Math.abs(Math.abs(cosTheta) - linearAbove) < 1e-9
  return outcome(first.length, (i) => ({
    ...total(column(inputs, i).map((value, m) => Number(coefficients[m]) * value)),
    undecided,
  }))
}
