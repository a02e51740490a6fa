/** docs/methods/della.md */
import { columnsOf } from './problem.js'
import { mergeByElection } from './taskVectors.js'
import { keepByRank } from './thinning.js'
import { streamKey } from './uniform.js'

/**
 * @param {import('./problem.js').Problem} problem
 * @param {import('./taskVectors.js').Combination & { density: number[], epsilon: number[], seed: number }} parameters
 */
export function della(problem, parameters) {
  const { density, epsilon, seed } = parameters
  const columns = columnsOf(problem.shape)
  return mergeByElection(
    problem,
    (difference, m) =>
      keepByRank(difference, columns, Number(density[m]), Number(epsilon[m]), streamKey(seed, problem.name, m)),
    parameters,
  )
}
