/** The four ways to thin out a difference, each the mask of what is kept. */
import { uniform } from './uniform.js'

/** The magnitudes in ascending order. @param {Float64Array} difference */
const ascending = (difference) => difference.map(Math.abs).sort()

/**
 * The floor(density·n) largest, and what is as large as the least of them.
 *
 * @param {Float64Array} difference @param {number} density @returns {boolean[]}
 */
export function keepLargest(difference, density) {
  const kept = Math.floor(density * difference.length)
  if (kept === 0) return Array.from(difference, () => false)
  const threshold = Number(ascending(difference)[difference.length - kept])
  return Array.from(difference, (value) => Math.abs(value) >= threshold)
}

/**
 * What is left without the largest and the smallest.
 *
 * @param {Float64Array} difference @param {number} density @param {number} gamma @returns {boolean[]}
 */
export function keepMiddle(difference, density, gamma) {
  const n = difference.length
  const kept = Math.floor(density * n)
  if (kept === 0) return Array.from(difference, () => false)
  const top = Math.min(Math.floor(gamma * n), n - kept)
  const bottom = n - kept - top
  const sorted = ascending(difference)
  const least = Number(sorted[bottom])
  const most = Number(sorted[n - 1 - top])
  return Array.from(difference, (value) => Math.abs(value) >= least && Math.abs(value) <= most)
}

/** Each with the same probability. @param {Float64Array} difference @param {number} density @param {bigint} key */
export function keepRandom(difference, density, key) {
  return Array.from(difference, (_, i) => uniform(key, i) < density)
}

/**
 * The probability to keep each element of a row, by the rank of its magnitude.
 *
 * @param {Float64Array} row @param {number} density @param {number} epsilon @returns {number[]}
 */
export function rankedProbabilities(row, density, epsilon) {
  if (density === 0 || density === 1 || row.length === 1) return Array.from(row, () => density)
  const order = Array.from(row.keys()).sort((i, j) => Math.abs(Number(row[i])) - Math.abs(Number(row[j])) || i - j)
  /** @type {number[]} */
  const probabilities = []
  order.forEach((index, rank) => {
    probabilities[index] = density - epsilon + 2 * epsilon * (rank / (row.length - 1))
  })
  return probabilities
}

/**
 * Each with a probability that grows with its rank in its row.
 *
 * @param {Float64Array} difference @param {number} columns @param {number} density @param {number} epsilon
 * @param {bigint} key @returns {boolean[]}
 */
export function keepByRank(difference, columns, density, epsilon, key) {
  /** @type {boolean[]} */
  const kept = []
  for (let begin = 0; begin < difference.length; begin += columns) {
    const row = difference.subarray(begin, begin + columns)
    rankedProbabilities(row, density, epsilon).forEach((probability, i) => {
      kept.push(uniform(key, begin + i) < probability)
    })
  }
  return kept
}
