/** docs/methods/model_stock.md */
import { baseOf, column, columnsOf, differences, outcome, total } from './problem.js'
import { cosine, norm } from './vectors.js'

/** How far from the base to the mean. @param {Float64Array[]} vectors differences from the base */
function ratioOf(vectors) {
  const cosines = vectors.flatMap((first, i) =>
    vectors.slice(i + 1).map((second) => (norm(first) > 0 && norm(second) > 0 ? cosine(first, second) : 0)),
  )
  const cosTheta = total(cosines).value / cosines.length
  return cosTheta > 0 ? (vectors.length * cosTheta) / (1 + (vectors.length - 1) * cosTheta) : 0
}

/** @param {import('./problem.js').Problem} problem @param {{ filterWise: boolean }} parameters */
export function modelStock(problem, { filterWise }) {
  const base = baseOf(problem)
  const vectors = differences(problem)
  const columns = filterWise ? columnsOf(problem.shape) : base.length
  const ratios = Array.from({ length: base.length / columns }, (_, row) =>
    ratioOf(vectors.map((vector) => vector.subarray(row * columns, (row + 1) * columns))),
  )
  return outcome(base.length, (i) => {
    const factor = Number(ratios[Math.floor(i / columns)]) / vectors.length
    return total([Number(base[i]), ...column(vectors, i).map((value) => factor * value)])
  })
}
