/** docs/methods/breadcrumbs.md */
import { mergeLinearly } from './taskVectors.js'
import { keepMiddle } from './thinning.js'

/**
 * @param {import('./problem.js').Problem} problem
 * @param {import('./taskVectors.js').Combination & { density: number[], gamma: number[] }} parameters
 */
export function breadcrumbs(problem, parameters) {
  const { density, gamma } = parameters
  return mergeLinearly(
    problem,
    (difference, m) => keepMiddle(difference, Number(density[m]), Number(gamma[m])),
    parameters,
  )
}
