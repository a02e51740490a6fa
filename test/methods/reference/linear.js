/** docs/methods/linear.md */
import { column, divisorOf, outcome, total } from './problem.js'

/**
 * @param {import('./problem.js').Problem} problem
 * @param {{ weight: number[], normalize: boolean }} parameters
 */
export function linear({ inputs }, { weight, normalize }) {
  const divisor = normalize ? divisorOf(weight) : 1
  return outcome(inputs[0]?.length ?? 0, (i) =>
    total(column(inputs, i).map((value, m) => (Number(weight[m]) * value) / divisor)),
  )
}
