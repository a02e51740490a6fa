import type { NativeTensorStats } from '../native/native.js'

/** What one merge did to one tensor. All but `identical` is the fusion's; of other methods it is 0 or false. */
export interface StepStats {
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

/** What fusion did to one tensor. */
export interface FusionStats extends StepStats {
  shape: number[]
  /** Of the inputs. */
  dtype: string
  elements: number
}

/** What a fusion did to one tensor of a checkpoint. */
export interface TensorStats extends FusionStats {
  name: string
}

/** What a merge did to one tensor: of each step, in the order of the plan's recipe (`merges`). */
export interface MergedTensorStats {
  name: string
  shape: number[]
  /** Of the inputs. */
  dtype: string
  elements: number
  steps: StepStats[]
}

export function stepStats(stats: NativeTensorStats): StepStats {
  const { kept, threshold, q1, median, q3, kl, identical, degenerate, nonFinite } = stats
  return { kept, threshold, q1, median, q3, kl, identical, degenerate, nonFinite }
}

export function fusionStats(stats: NativeTensorStats): FusionStats {
  const { shape, dtype, elements } = stats
  return { shape, dtype, elements, ...stepStats(stats) }
}
