/** docs/methods/dare_ties.md */

import { mergeByElection } from './taskVectors.js'
import { keepRandom } from './thinning.js'
import { streamKey } from './uniform.js'

/**
 * @param {import('./problem.js').Problem} problem
 * @param {import('./taskVectors.js').Combination & { density: number[], seed: number }} parameters
 */
export function dareTies(problem, parameters) {
  const { density, seed } = parameters
  return mergeByElection(
    problem,
    (difference, m) => keepRandom(difference, Number(density[m]), streamKey(seed, problem.name, m)),
    parameters,
  )
}
