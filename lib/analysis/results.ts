import type { WeightKind } from '../checkpoint/weightKind.js'

/** The supports: an expert's largest changes, in per cent of a tensor's elements. */
export const supportPercents = [1, 5, 10, 20] as const

/** The change Δ = expert − base of one expert. Shares are from 0 to 1; null is what has no meaning, as a share of nothing. */
export interface ExpertChange {
  /** √ΣΔ². */
  norm: number
  /** The same divided by the norm of the base. */
  relativeNorm: number | null
  /** Share of elements with Δ ≠ 0. */
  changed: number
  /** Of |Δ| over all elements, and the largest. */
  meanMagnitude: number
  largest: number
  /** Elements of each support, and their share of all. More than `percent` where many changes are equally large. */
  supports: { percent: number; elements: number; share: number }[]
}

/** What the changes of two experts have to do with each other. */
export interface ExpertPair {
  experts: [string, string]
  /** ΣΔ_i·Δ_j, and divided by both norms: equation 6. */
  product: number
  cosine: number | null
  /** Share of elements that both changed; of these, with different signs. */
  bothChanged: number
  opposite: number | null
  /** The share of Σ|Δ_i·Δ_j| that such elements have. */
  oppositeWeight: number | null
  supports: {
    percent: number
    /** Elements in both supports, divided by the mean of the supports' sizes; what chance would give; the ratio of the two. */
    overlap: number | null
    expected: number | null
    ratio: number | null
    /** Share of elements in both supports with different signs. */
    opposite: number | null
  }[]
}

/** What is left of the experts' changes in the merged model. */
export interface MergedChange {
  /** Of merged − base. */
  norm: number
  relativeNorm: number | null
  /** Share of elements that differ from the base; of these, with the value of an expert. */
  changed: number
  fromExperts: number | null
  experts: Record<string, Survival>
}

/** What is left of one expert's change Δ. */
export interface Survival {
  /** Σ(merged − base)·Δ / ΣΔ²: 1 where all of it is there, and nothing more of its direction. */
  projection: number | null
  cosine: number | null
  /** Of the elements that the expert changed, the shares with its value, with the base's, and with neither. */
  taken: number | null
  undone: number | null
  neither: number | null
}

/** Gradients of the base's loss on a batch of each domain: equation 5. */
export interface GradientInterference {
  norms: Record<string, number>
  pairs: { domains: [string, string]; product: number; cosine: number | null }[]
}

/** Numbers of some tensors together. */
export interface AnalysisGroup {
  tensors: number
  elements: number
  /** Of the base; null where there is no expert. */
  baseNorm: number | null
  experts: Record<string, ExpertChange>
  pairs: ExpertPair[]
  merged: MergedChange | null
  gradients: GradientInterference | null
}

/** A place in a model. */
export interface AnalysisPlace {
  /** 'model.layers'; null outside of layers. */
  stack: string | null
  layer: number | null
  kind: WeightKind
}

export interface AnalysisResults {
  format: 'branchmerge analysis'
  version: 1
  base: AnalysedFiles
  experts: AnalysedFiles[]
  merged: AnalysedFiles | null
  gradients: AnalysedFiles[]
  supports: readonly number[]
  /** Tensors that were not compared, with why. */
  leftOut: { name: string; reason: string }[]
  total: AnalysisGroup
  kinds: ({ kind: WeightKind } & AnalysisGroup)[]
  layers: ({ stack: string; layer: number } & AnalysisGroup)[]
  /** Tensors of one kind in one layer, or outside of layers. */
  cells: (AnalysisPlace & AnalysisGroup)[]
  tensors: ({ name: string } & AnalysisPlace & AnalysisGroup)[]
}

/** Which files were compared. */
export interface AnalysedFiles {
  name: string
  path: string
  files: { name: string; bytes: number; headerHash: string }[]
}
