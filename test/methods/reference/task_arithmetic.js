/** docs/methods/task_arithmetic.md */
import { mergeLinearly } from './taskVectors.js'

/**
 * @param {import('./problem.js').Problem} problem
 * @param {{ weight: number[], normalize: boolean, lambda: number }} parameters
 */
export function taskArithmetic(problem, parameters) {
  return mergeLinearly(problem, (difference) => Array.from(difference, () => true), parameters)
}
