/** docs/methods/passthrough.md */
import { outcome, total } from './problem.js'

/** @param {import('./problem.js').Problem} problem @param {{ scale: number[] }} parameters */
export function passthrough({ inputs }, { scale }) {
  const [input] = /** @type {[Float64Array]} */ (inputs)
  return outcome(input.length, (i) => total([Number(scale[0]) * Number(input[i])]))
}
