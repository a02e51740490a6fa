import type { AnalysisGroup, AnalysisResults } from '../../analysis/results.js'

/** One number of one group of tensors. */
interface Cell {
  measure: string
  /** The expert or domain, or two of them. */
  of: string
  percent: number | ''
  value: number | null
}

const header = ['scope', 'stack', 'layer', 'kind', 'tensor', 'measure', 'of', 'percent', 'value']

/** Every number of an analysis, one a line: for spreadsheets and statistics programs. What has no meaning is empty. */
export function analysisCsv(results: AnalysisResults): string {
  const { total, kinds, layers, cells, tensors } = results
  const lines = [
    ...linesOf(['all', '', '', '', ''], total),
    ...kinds.flatMap(({ kind, ...group }) => linesOf(['kind', '', '', kind, ''], group)),
    ...layers.flatMap(({ stack, layer, ...group }) => linesOf(['layer', stack, `${layer}`, '', ''], group)),
    ...cells.flatMap(({ stack, layer, kind, ...group }) =>
      linesOf(['cell', stack ?? '', layer === null ? '' : `${layer}`, kind, ''], group),
    ),
    ...tensors.flatMap(({ name, stack, layer, kind, ...group }) =>
      linesOf(['tensor', stack ?? '', layer === null ? '' : `${layer}`, kind, name], group),
    ),
  ]
  return [header, ...lines].map((line) => `${line.map(field).join(',')}\n`).join('')
}

function linesOf(place: string[], group: AnalysisGroup): string[][] {
  return numbersOf(group).map(({ measure, of, percent, value }) => [
    ...place,
    measure,
    of,
    `${percent}`,
    value === null ? '' : `${value}`,
  ])
}

function numbersOf({ elements, baseNorm, experts, pairs, merged, gradients }: AnalysisGroup): Cell[] {
  const plain = (values: object, of: string): Cell[] =>
    Object.entries(values).flatMap(([measure, value]) =>
      typeof value === 'number' || value === null ? [{ measure, of, percent: '' as const, value }] : [],
    )
  const bySupport = (supports: readonly { percent: number }[], of: string): Cell[] =>
    supports.flatMap(({ percent, ...values }) =>
      plain(values, of).map((cell) => ({ ...cell, measure: `support.${cell.measure}`, percent })),
    )
  const prefixed = (prefix: string, cells: Cell[]): Cell[] =>
    cells.map((cell) => ({ ...cell, measure: `${prefix}.${cell.measure}` }))
  return [
    ...plain({ elements, ...(baseNorm !== null && { baseNorm }) }, ''),
    ...Object.entries(experts).flatMap(([name, change]) => [
      ...plain(change, name),
      ...bySupport(change.supports, name),
    ]),
    ...pairs.flatMap((pair) => {
      const of = pair.experts.join(' ')
      return prefixed('pair', [...plain(pair, of), ...bySupport(pair.supports, of)])
    }),
    ...(merged
      ? prefixed('merged', [
          ...plain(merged, ''),
          ...Object.entries(merged.experts).flatMap(([name, survival]) => plain(survival, name)),
        ])
      : []),
    ...(gradients
      ? prefixed('gradient', [
          ...Object.entries(gradients.norms).flatMap(([name, norm]) => plain({ norm }, name)),
          ...gradients.pairs.flatMap((pair) => plain(pair, pair.domains.join(' '))),
        ])
      : []),
  ]
}

/** As RFC 4180 quotes: names of tensors are anything. */
const field = (text: string): string => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)
