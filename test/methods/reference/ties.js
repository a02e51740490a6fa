/** docs/methods/ties.md */
import { mergeByElection } from './taskVectors.js'
import { keepLargest } from './thinning.js'

/**
 * @param {import('./problem.js').Problem} problem
 * @param {import('./taskVectors.js').Combination & { density: number[] }} parameters
 */
export function ties(problem, parameters) {
  return mergeByElection(problem, (difference, m) => keepLargest(difference, Number(parameters.density[m])), parameters)
}
