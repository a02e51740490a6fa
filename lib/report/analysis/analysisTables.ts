import type { AnalysisResults } from '../../analysis/results.js'
import { cosineText, measureSets, pairName, ratioText, shareText, sizeText } from './measures.js'

/** A table of texts; the first row are headings, and the first column is of names. */
export interface AnalysisTable {
  title: string
  explained: string
  rows: string[][]
}

/** The tables of an analysis: over all tensors, then by kind of weight. */
export function analysisTables(results: AnalysisResults): AnalysisTable[] {
  return [changes, pairs, supports, survival, interference].flatMap((table) => table(results)).concat(byKind(results))
}

function changes({ total }: AnalysisResults): AnalysisTable[] {
  const experts = Object.entries(total.experts)
  if (experts.length === 0) return []
  const rows = experts.map(([name, { norm, relativeNorm, changed, largest }]) => [
    name,
    sizeText(norm),
    sizeText(relativeNorm),
    shareText(changed),
    sizeText(largest),
  ])
  return [
    {
      title: 'Changes',
      explained: 'The change of an expert is its difference from the base.',
      rows: [['expert', 'norm', 'relative to base', 'elements changed', 'largest'], ...rows],
    },
  ]
}

function pairs({ total }: AnalysisResults): AnalysisTable[] {
  if (total.pairs.length === 0) return []
  const rows = total.pairs.map(({ experts, cosine, bothChanged, opposite, oppositeWeight }) => [
    pairName(experts),
    cosineText(cosine),
    shareText(bothChanged),
    shareText(opposite),
    shareText(oppositeWeight),
  ])
  return [
    {
      title: 'Alignment and sign conflicts',
      explained:
        'Cosine of two changes (equation 6); elements that both changed, the share of them whose signs differ, and the ' +
        'share of |Δ₁·Δ₂| that these have. Unrelated changes have a cosine of 0 and conflicts of 50 %.',
      rows: [['experts', 'cosine', 'both changed', 'conflicts', 'by weight'], ...rows],
    },
  ]
}

function supports({ total, supports: percents }: AnalysisResults): AnalysisTable[] {
  if (total.pairs.length === 0) return []
  const rows = total.pairs.flatMap(({ experts, supports: levels }) =>
    levels.map(({ percent, overlap, expected, ratio, opposite }, i) => [
      i === 0 ? pairName(experts) : '',
      `${percent} %`,
      shareText(overlap),
      shareText(expected),
      ratioText(ratio),
      shareText(opposite),
    ]),
  )
  return [
    {
      title: 'Overlap of supports',
      explained:
        `A support is the largest ${percents.join(', ')} % of |Δ| in each tensor. Overlap is the elements in both supports ` +
        'over the mean of their sizes; chance is that of supports that know nothing of each other.',
      rows: [['experts', 'largest', 'overlap', 'chance', 'ratio', 'conflicts'], ...rows],
    },
  ]
}

function survival({ total: { merged } }: AnalysisResults): AnalysisTable[] {
  if (!merged) return []
  const rows = Object.entries(merged.experts).map(([name, { projection, cosine, taken, undone, neither }]) => [
    name,
    ratioText(projection),
    cosineText(cosine),
    shareText(taken),
    shareText(undone),
    shareText(neither),
  ])
  return [
    {
      title: 'What survives the merge',
      explained:
        'Projection of merged − base on the change, and their cosine. Of the elements that an expert changed: those with ' +
        `its value, the base's, and neither. ${shareText(merged.changed)} of all elements differ from the base; of these, ` +
        `${shareText(merged.fromExperts)} have the value of an expert.`,
      rows: [['expert', 'projection', 'cosine', "expert's value", "base's value", 'neither'], ...rows],
    },
  ]
}

function interference({ total: { gradients } }: AnalysisResults): AnalysisTable[] {
  if (!gradients) return []
  const norms = Object.entries(gradients.norms).map(([name, norm]) => [name, sizeText(norm), '', ''])
  const rows = gradients.pairs.map(({ domains, product, cosine }) => [
    pairName(domains),
    '',
    sizeText(product),
    cosineText(cosine),
  ])
  return [
    {
      title: 'Interference of gradients',
      explained:
        'Inner product and cosine of the gradients of two domains at the base (equation 5). Below 0, a step for one domain ' +
        'makes the other worse.',
      rows: [['domains', 'norm', 'inner product', 'cosine'], ...norms, ...rows],
    },
  ]
}

/** Every measure by kind of weight. */
function byKind(results: AnalysisResults): AnalysisTable[] {
  return measureSets(results).map(({ title, explained, measures, text }) => ({
    title: `${title}, by kind of weight`,
    explained,
    rows: [
      ['kind', ...measures.map(({ of }) => of)],
      ...results.kinds.map((group) => [group.kind, ...measures.map(({ value }) => text(value(group)))]),
      ['all', ...measures.map(({ value }) => text(value(results.total)))],
    ],
  }))
}
