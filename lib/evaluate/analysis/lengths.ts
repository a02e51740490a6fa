import type { Lengths } from './results.js'

/** Of the answers whose tokens somebody counted; null where there are none. */
export function lengthsOf(tokens: readonly (number | null)[]): Lengths | null {
  const counted = Float64Array.from(tokens.filter((count) => count !== null)).sort()
  if (counted.length === 0) return null
  const sum = counted.reduce((a, b) => a + b)
  return {
    answers: counted.length,
    mean: sum / counted.length,
    p5: percentile(counted, 0.05),
    p25: percentile(counted, 0.25),
    median: percentile(counted, 0.5),
    p75: percentile(counted, 0.75),
    p95: percentile(counted, 0.95),
    max: counted[counted.length - 1] as number,
  }
}

/** Linear between the two nearest (type 7 of Hyndman and Fan). */
export function percentile(sorted: Float64Array, share: number): number {
  const place = (sorted.length - 1) * share
  const below = Math.floor(place)
  const [low, high] = [sorted[below] as number, sorted[Math.min(below + 1, sorted.length - 1)] as number]
  return low + (high - low) * (place - below)
}
