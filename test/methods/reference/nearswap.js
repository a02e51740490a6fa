/** docs/methods/nearswap.md */
import { outcome, total } from './problem.js'

/** @param {import('./problem.js').Problem} problem @param {{ t: number }} parameters */
export function nearswap({ inputs }, { t }) {
  const [first, second] = /** @type {[Float64Array, Float64Array]} */ (inputs)
  return outcome(first.length, (i) => {
    const distance = Number(second[i]) - Number(first[i])
    return total(Math.abs(distance) <= t ? [Number(second[i])] : [Number(first[i]), t * Math.sign(distance)])
  })
}
