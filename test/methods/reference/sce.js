/** docs/methods/sce.md */
import { baseOf, column, differences, outcome, total } from './problem.js'
import { dot } from './vectors.js'

/** Σ(δ − μ)², in the page's order. @param {number[]} values */
function variation(values) {
  const mean = total(values).value / values.length
  return total(values.map((value) => (value - mean) * (value - mean))).value
}

/** @param {Float64Array[]} deltas @param {number} size @param {number} fraction @returns {boolean[]} */
function select(deltas, size, fraction) {
  if (fraction === 1) return Array.from({ length: size }, () => true)
  const variations = Float64Array.from({ length: size }, (_, i) => variation(column(deltas, i)))
  const varying = variations.filter((value) => value > 0).sort()
  const count = Math.floor(fraction * varying.length)
  const threshold = count === 0 ? Number.POSITIVE_INFINITY : Number(varying[varying.length - count])
  return Array.from(variations, (value) => value >= threshold)
}

/** @param {import('./problem.js').Problem} problem @param {{ selectTopk: number }} parameters */
export function sce(problem, { selectTopk }) {
  const base = baseOf(problem)
  const deltas = differences(problem)
  const selected = select(deltas, base.length, selectTopk)
  const kept = deltas.map((delta) => delta.map((value, i) => (selected[i] ? value : 0)))
  const energies = kept.map((vector) => dot(vector, vector))
  const whole = total(energies).value
  const weights = energies.map((energy) => (whole === 0 ? 1 / kept.length : energy / whole))
  return outcome(base.length, (i) => {
    const values = column(kept, i)
    const sign = total(values).value >= 0 ? 1 : -1
    const agreeing = values.flatMap((value, m) => (Math.sign(value) === sign ? [m] : []))
    const divisor = total(agreeing.map((m) => Number(weights[m]))).value
    const shares = agreeing.map((m) => (Number(weights[m]) / (divisor || 1)) * Number(values[m]))
    return total([Number(base[i]), ...shares])
  })
}
