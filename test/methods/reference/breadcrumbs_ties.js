/** docs/methods/breadcrumbs_ties.md */
import { mergeByElection } from './taskVectors.js'
import { keepMiddle } from './thinning.js'

/**
 * @param {import('./problem.js').Problem} problem
 * @param {import('./taskVectors.js').Combination & { density: number[], gamma: number[] }} parameters
 */
export function breadcrumbsTies(problem, parameters) {
  const { density, gamma } = parameters
  return mergeByElection(
    problem,
    (difference, m) => keepMiddle(difference, Number(density[m]), Number(gamma[m])),
    parameters,
  )
}
