import type { NativeTensorFindings } from '../native/native.js'
import {
  type AnalysisGroup,
  type ExpertChange,
  type ExpertPair,
  type GradientInterference,
  type MergedChange,
  supportPercents,
} from './results.js'

/** Names in the order of the findings. */
export interface AnalysisNames {
  experts: readonly string[]
  hasMerged: boolean
  gradients: readonly string[]
}

type Changes = NativeTensorFindings['changes'][number]
type Pair = NativeTensorFindings['pairs'][number]

/** The numbers of some tensors together: all are of sums over them. */
export function describeGroup(found: readonly NativeTensorFindings[], names: AnalysisNames): AnalysisGroup {
  const total = (of: (each: NativeTensorFindings) => number) => sumOf(found.map(of))
  const elements = total((each) => each.elements)
  const { experts, hasMerged, gradients } = names
  const baseNorm = Math.sqrt(total(({ baseSquares }) => baseSquares))
  const changes = experts.map((_, i) => describeChange(found, i, elements, baseNorm))
  return {
    tensors: found.length,
    elements,
    baseNorm: experts.length > 0 ? baseNorm : null,
    experts: Object.fromEntries(experts.map((name, i) => [name, changes[i] as ExpertChange])),
    pairs: pairsOf(experts).map(([i, j]) => describePair(found, i, j, experts, elements)),
    merged: hasMerged ? describeMerged(found, experts, elements, baseNorm) : null,
    gradients: gradients.length > 0 ? describeGradients(found, gradients) : null,
  }
}

/** Positions of the pairs, in the order of the findings. */
export const pairsOf = (names: readonly unknown[]): [number, number][] =>
  names.flatMap((_, j) => Array.from({ length: j }, (_, i): [number, number] => [i, j]))

const pairIndex = (i: number, j: number): number => (j * (j - 1)) / 2 + i

function describeChange(
  found: readonly NativeTensorFindings[],
  expert: number,
  elements: number,
  baseNorm: number,
): ExpertChange {
  const changes = found.map((each) => each.changes[expert] as Changes)
  const total = (of: (each: Changes) => number) => sumOf(changes.map(of))
  const norm = Math.sqrt(total(({ squares }) => squares))
  return {
    norm,
    relativeNorm: ratio(norm, baseNorm),
    changed:
      ratio(
        total(({ changed }) => changed),
        elements,
      ) ?? 0,
    meanMagnitude:
      ratio(
        total(({ magnitudes }) => magnitudes),
        elements,
      ) ?? 0,
    largest: changes.reduce((most, { largest }) => Math.max(most, largest), 0),
    supports: supportPercents.map((percent, level) => {
      const size = total(({ supports }) => supports[level] as number)
      return { percent, elements: size, share: ratio(size, elements) ?? 0 }
    }),
  }
}

function describePair(
  found: readonly NativeTensorFindings[],
  i: number,
  j: number,
  experts: readonly string[],
  elements: number,
): ExpertPair {
  const pairs = found.map((each) => each.pairs[pairIndex(i, j)] as Pair)
  const total = (of: (each: Pair) => number) => sumOf(pairs.map(of))
  const ofChange = (expert: number, of: (each: Changes) => number) =>
    sumOf(found.map((each) => of(each.changes[expert] as Changes)))
  const product = total((each) => each.product)
  const magnitudes = total((each) => each.magnitudes)
  const both = total((each) => each.both)
  return {
    experts: [experts[i] as string, experts[j] as string],
    product,
    cosine: cosineOf(
      product,
      ofChange(i, ({ squares }) => squares),
      ofChange(j, ({ squares }) => squares),
    ),
    bothChanged: ratio(both, elements) ?? 0,
    opposite: ratio(
      total((each) => each.opposite),
      both,
    ),
    // Σ|Δ_i·Δ_j| − ΣΔ_i·Δ_j is twice what has different signs.
    oppositeWeight: ratio((magnitudes - product) / 2, magnitudes),
    supports: supportPercents.map((percent, level) => {
      const size = (expert: number) => ofChange(expert, ({ supports }) => supports[level] as number)
      const mean = (size(i) + size(j)) / 2
      const shared = total((each) => each.shared[level] as number)
      // In each tensor by itself: two supports of s and t of n elements share s·t/n by chance.
      const byChance = sumOf(
        found.map(({ changes, elements: n }) => {
          const of = (expert: number) => (changes[expert] as Changes).supports[level] as number
          return n > 0 ? (of(i) / n) * of(j) : 0
        }),
      )
      return {
        percent,
        overlap: ratio(shared, mean),
        expected: ratio(byChance, mean),
        ratio: ratio(shared, byChance),
        opposite: ratio(
          total((each) => each.sharedOpposite[level] as number),
          shared,
        ),
      }
    }),
  }
}

function describeMerged(
  found: readonly NativeTensorFindings[],
  experts: readonly string[],
  elements: number,
  baseNorm: number,
): MergedChange {
  const total = (of: (each: NativeTensorFindings) => number) => sumOf(found.map(of))
  const squares = total(({ merged }) => merged.squares)
  const changed = total(({ merged }) => merged.changed)
  const survival = (i: number) => {
    const of = (each: NativeTensorFindings) =>
      each.merged.experts[i] as NativeTensorFindings['merged']['experts'][number]
    const ofChange = (each: NativeTensorFindings) => each.changes[i] as Changes
    const product = total((each) => of(each).product)
    const own = total((each) => ofChange(each).squares)
    const ownChanged = total((each) => ofChange(each).changed)
    const [taken, undone] = [total((each) => of(each).taken), total((each) => of(each).undone)]
    return {
      projection: ratio(product, own),
      cosine: cosineOf(product, squares, own),
      taken: ratio(taken, ownChanged),
      undone: ratio(undone, ownChanged),
      neither: ratio(ownChanged - taken - undone, ownChanged),
    }
  }
  return {
    norm: Math.sqrt(squares),
    relativeNorm: ratio(Math.sqrt(squares), baseNorm),
    changed: ratio(changed, elements) ?? 0,
    fromExperts: ratio(
      total(({ merged }) => merged.fromExperts),
      changed,
    ),
    experts: Object.fromEntries(experts.map((name, i) => [name, survival(i)])),
  }
}

function describeGradients(found: readonly NativeTensorFindings[], domains: readonly string[]): GradientInterference {
  const squares = domains.map((_, i) => sumOf(found.map(({ gradientSquares }) => gradientSquares[i] as number)))
  return {
    norms: Object.fromEntries(domains.map((name, i) => [name, Math.sqrt(squares[i] as number)])),
    pairs: pairsOf(domains).map(([i, j]) => {
      const product = sumOf(found.map(({ gradientProducts }) => gradientProducts[pairIndex(i, j)] as number))
      return {
        domains: [domains[i] as string, domains[j] as string],
        product,
        cosine: cosineOf(product, squares[i] as number, squares[j] as number),
      }
    }),
  }
}

/** Within [−1, 1], and exactly 1 and −1 for equal and opposite vectors; null where one has no direction. */
function cosineOf(product: number, squares: number, otherSquares: number): number | null {
  if (squares === 0 || otherSquares === 0) return null
  const both = squares * otherSquares
  // The square root of a square is exact, that of one beyond the range of float64 is not.
  const isNormal = both > 1e-290 && both < Number.POSITIVE_INFINITY
  const cosine = isNormal ? product / Math.sqrt(both) : product / Math.sqrt(squares) / Math.sqrt(otherSquares)
  return Math.min(1, Math.max(-1, cosine))
}

const ratio = (part: number, whole: number): number | null => (whole > 0 ? part / whole : null)

/** Neumaier's compensated sum: about as if added with twice the digits. */
function sumOf(values: readonly number[]): number {
  let [sum, lost] = [0, 0]
  for (const value of values) {
    const next = sum + value
    lost += Math.abs(sum) >= Math.abs(value) ? sum - next + value : value - next + sum
    sum = next
  }
  return sum + lost
}
