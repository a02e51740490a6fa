import type { AnalysisGroup, AnalysisResults } from '../../analysis/results.js'
import { formatPercent } from '../../text/format.js'

/** One number of a group of tensors, which tables and heat maps show. */
export interface Measure {
  /** Whose: 'math', or 'math and science'. */
  of: string
  value(group: AnalysisGroup): number | null
}

/** Measures of one kind, one for each expert, pair of experts or pair of domains. */
export interface MeasureSet {
  /** For names of files. */
  id: string
  title: string
  /** What the number says, in a sentence. */
  explained: string
  measures: Measure[]
  text(value: number | null): string
  /** The scale does not begin closer together than this: less would show chance as structure. */
  leastSpan: number
}

/** The support that heat maps show. */
const shownPercent = 10

const decimals = (digits: number) => (value: number | null) => {
  if (value === null) return '–'
  const text = value.toFixed(digits)
  return Number(text) === 0 ? text.replace('-', '') : text.replace('-', '−')
}

/** '0.71', '−0.03'; '–' for what has no meaning. */
export const cosineText = decimals(2)
export const ratioText = decimals(2)
export const shareText = (value: number | null): string => (value === null ? '–' : formatPercent(value))
/** Three digits at any size. */
export const sizeText = (value: number | null): string =>
  value === null ? '–' : value === 0 ? '0' : Number(value.toPrecision(3)).toString()

export const pairName = ([a, b]: readonly [string, string]): string => `${a} and ${b}`

/** All that there is to show, in the order in which it is shown. */
export function measureSets({ total }: Pick<AnalysisResults, 'total'>): MeasureSet[] {
  const experts = Object.keys(total.experts)
  const ofExpert = (value: (group: AnalysisGroup, name: string) => number | null | undefined): Measure[] =>
    experts.map((name) => ({ of: name, value: (group) => value(group, name) ?? null }))
  const ofPair = (value: (pair: AnalysisGroup['pairs'][number]) => number | null | undefined): Measure[] =>
    total.pairs.map(({ experts: names }, i) => ({
      of: pairName(names),
      value: (group) => value(group.pairs[i] as AnalysisGroup['pairs'][number]) ?? null,
    }))
  const sets: MeasureSet[] = [
    {
      id: 'alignment',
      title: 'Alignment of changes',
      explained: 'Cosine of the changes of two experts (equation 6): 1 the same direction, 0 unrelated, −1 opposite.',
      measures: ofPair(({ cosine }) => cosine),
      text: cosineText,
      leastSpan: 0.1,
    },
    {
      id: 'overlap',
      title: `Overlap of the largest ${shownPercent} % of changes, against chance`,
      explained: `Elements in both supports (the largest ${shownPercent} % of changes in each tensor) divided by what chance gives: 1 is chance.`,
      measures: ofPair(({ supports }) => supports.find(({ percent }) => percent === shownPercent)?.ratio),
      text: ratioText,
      leastSpan: 0.5,
    },
    {
      id: 'conflicts',
      title: 'Sign conflicts, by weight',
      explained: 'Share of the products of changes |Δ₁·Δ₂| whose signs differ: 50 % is chance.',
      measures: ofPair(({ oppositeWeight }) => oppositeWeight),
      text: shareText,
      leastSpan: 0.05,
    },
    {
      id: 'changes',
      title: 'Size of changes',
      explained: 'Norm of the change of an expert divided by the norm of the base.',
      measures: ofExpert((group, name) => group.experts[name]?.relativeNorm),
      text: sizeText,
      leastSpan: 0,
    },
    {
      id: 'survival',
      title: 'Change that survives the merge',
      explained: 'Projection of merged − base on the change of an expert: 1 all of it, 0 none.',
      measures: total.merged ? ofExpert((group, name) => group.merged?.experts[name]?.projection) : [],
      text: ratioText,
      leastSpan: 0.1,
    },
    {
      id: 'interference',
      title: 'Interference of gradients',
      explained: 'Cosine of the gradients of two domains at the base (equation 5): below 0 they pull apart.',
      measures: (total.gradients?.pairs ?? []).map(({ domains }, i) => ({
        of: pairName(domains),
        value: (group) => group.gradients?.pairs[i]?.cosine ?? null,
      })),
      text: cosineText,
      leastSpan: 0.1,
    },
  ]
  return sets.filter(({ measures }) => measures.length > 0)
}
