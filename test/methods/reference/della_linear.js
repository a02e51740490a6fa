/** docs/methods/della_linear.md */
import { columnsOf } from './problem.js'
import { mergeLinearly } from './taskVectors.js'
import { keepByRank } from './thinning.js'
import { streamKey } from './uniform.js'

/**
 * @param {import('./problem.js').Problem} problem
 * @param {import('./taskVectors.js').Combination & { density: number[], epsilon: number[], seed: number }} parameters
 */
export function dellaLinear(problem, parameters) {
  const { density, epsilon, seed } = parameters
  const columns = columnsOf(problem.shape)
  return mergeLinearly(
    problem,
    (difference, m) =>
      keepByRank(difference, columns, Number(density[m]), Number(epsilon[m]), streamKey(seed, problem.name, m)),
    parameters,
  )
}
