import type { NativeTensorStats } from '../native.js'

/** What fusion did to one tensor. */
export interface FusionStats {
  shape: number[]
  /** Of the inputs. */
  dtype: string
  elements: number
  /** Elements that the gate took from Right. */
  kept: number
  threshold: number
  q1: number
  median: number
  q3: number
  /** Of the row divergences (one value under scope 'tensor'). */
  kl: { min: number; median: number; max: number }
  /** Both sides hold the same bits. */
  identical: boolean
  /** The threshold is 0 although the tensor changed, so that a 'ge' gate takes all of Right. */
  degenerate: boolean
  /** The side that was kept whole because of NaN or infinity. */
  nonFinite: 'left' | 'right' | undefined
}

export interface TensorStats extends FusionStats {
  name: string
}

export function fusionStats(stats: NativeTensorStats): FusionStats {
  const { shape, dtype, elements, kept, threshold, q1, median, q3, kl, identical, degenerate, nonFinite } = stats
  return { shape, dtype, elements, kept, threshold, q1, median, q3, kl, identical, degenerate, nonFinite }
}

export const tensorStats = (stats: NativeTensorStats): TensorStats => ({ name: stats.name, ...fusionStats(stats) })
