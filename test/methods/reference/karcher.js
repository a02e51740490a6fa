/** docs/methods/karcher.md, step by step on whole vectors. */
import { outcome } from './problem.js'
import { combination, dot, norm } from './vectors.js'

/** @param {Float64Array} vector @param {number} divisor */
const scaledDown = (vector, divisor) => vector.map((value) => value / divisor)

/** Whether a length or angle is too near to the tolerance for rounding to leave the decision alone. */
const isNear = (/** @type {number} */ value, /** @type {number} */ tolerance) =>
  tolerance > 0 && Math.abs(value - tolerance) <= 1e-4 * tolerance

/**
 * The sum of the directions' logarithms at μ, and whether an angle was left out or in by a hair.
 *
 * @param {Float64Array} mean @param {Float64Array[]} units @param {number} tolerance
 */
function tangentAt(mean, units, tolerance) {
  let near = false
  const terms = units.map((unit) => {
    const cosTheta = Math.max(-1, Math.min(1, dot(mean, unit)))
    const theta = Math.acos(cosTheta)
    if (isNear(theta, tolerance) || isNear(Math.PI - theta, tolerance)) near = true
    if (theta <= tolerance || theta >= Math.PI - tolerance) return new Float64Array(mean.length)
    const factor = theta / Math.sin(theta)
    return combination([unit, mean], [factor, -factor * cosTheta])
  })
  return {
    tangent: combination(
      terms,
      units.map(() => 1 / units.length),
    ),
    near,
  }
}

/**
 * @param {import('./problem.js').Problem} problem
 * @param {{ maxIterations: number, tolerance: number }} parameters
 */
export function karcher({ inputs }, { maxIterations, tolerance }) {
  const size = inputs[0]?.length ?? 0
  const norms = inputs.map(norm)
  const units = inputs.flatMap((input, m) => (Number(norms[m]) > 0 ? [scaledDown(input, Number(norms[m]))] : []))
  const [first] = units
  if (first === undefined) return outcome(size, () => ({ value: 0, magnitude: 0 }))

  const average = combination(
    units,
    units.map(() => 1 / units.length),
  )
  const length = norm(average)
  let undecided = isNear(length, tolerance)
  let mean = length > tolerance ? scaledDown(average, length) : first
  for (let iteration = 0; iteration < maxIterations; iteration++) {
    const { tangent, near } = tangentAt(mean, units, tolerance)
    const step = norm(tangent)
    undecided ||= near || isNear(step, tolerance)
    if (step <= tolerance) break
    const moved = combination([mean, tangent], [Math.cos(step), Math.sin(step) / step])
    mean = scaledDown(moved, norm(moved))
  }
  const scale = norms.reduce((sum, value) => sum + value, 0) / inputs.length
  return outcome(size, (i) => ({
    value: Number(mean[i]) * scale,
    magnitude: units.reduce((sum, unit) => sum + Math.abs(Number(unit[i])) * scale, 0),
    undecided,
  }))
}
