/** docs/methods/ram.md */
import { baseOf, column, differences, outcome, total } from './problem.js'

/** @param {import('./problem.js').Problem} problem @param {{ epsilon: number }} parameters */
export function ram(problem, { epsilon }) {
  const base = baseOf(problem)
  const deltas = differences(problem)
  return outcome(base.length, (i) => {
    const values = column(deltas, i)
    const changed = values.flatMap((value, m) => (Math.abs(value) > epsilon ? [m] : []))
    const [only] = changed
    if (only !== undefined && changed.length === 1) return total([Number(problem.inputs[only]?.[i])])
    return total([Number(base[i]), ...changed.map((m) => Number(values[m]) / changed.length)])
  })
}
