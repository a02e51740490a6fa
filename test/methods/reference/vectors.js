/** Sums over a tensor, with the rounding errors collected and added last (Neumaier). */

/** @param {Float64Array} values @param {(value: number, index: number) => number} term */
export function sum(values, term) {
  let running = 0
  let lost = 0
  for (let i = 0; i < values.length; i++) {
    const value = term(Number(values[i]), i)
    const next = running + value
    lost += Math.abs(running) >= Math.abs(value) ? running - next + value : value - next + running
    running = next
  }
  return running + lost
}

/** @param {Float64Array} x @param {Float64Array} y */
export const dot = (x, y) => sum(x, (value, i) => value * Number(y[i]))

/** @param {Float64Array} x */
export const norm = (x) => Math.sqrt(dot(x, x))

/** Σ|x|. @param {Float64Array} x */
export const absoluteSum = (x) => sum(x, Math.abs)

/** The cosine of the angle between vectors that both have a norm above 0. @param {Float64Array} x @param {Float64Array} y */
export const cosine = (x, y) => Math.max(-1, Math.min(1, dot(x, y) / (norm(x) * norm(y))))

/** Σ coefficient_m·vector_m. @param {Float64Array[]} vectors @param {number[]} coefficients @returns {Float64Array} */
export function combination(vectors, coefficients) {
  const result = new Float64Array(vectors[0]?.length ?? 0)
  vectors.forEach((vector, m) => {
    vector.forEach((value, i) => {
      result[i] = Number(result[i]) + Number(coefficients[m]) * value
    })
  })
  return result
}
