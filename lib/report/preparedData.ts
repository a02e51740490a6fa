import type { PreparedData, PreparedSet } from '../data/preparedData.js'
import { placeText, type SourceSummary } from '../data/sourceSummary.js'
import { formatCount, formatPercent, formatTable, printable } from '../text/format.js'

/** Bad rows that are shown of each source; the summary in the cache has more. */
const maxBadShown = 5

/** What prepared data holds and what became of every row. */
export function preparedDataText(prepared: PreparedData): string {
  const { sources, train, validation, notices, template, generationPrompt, endToken } = prepared
  return [
    sourceTable(sources),
    setTable(prepared),
    histogram(train),
    ...badRowLines(sources),
    [
      `Template: ${printable(template.name)}, asked with …${JSON.stringify(generationPrompt)}, answers end with ${endToken.text}`,
      thinkingLine(sources),
      ...notices.map((notice) => `Note: ${printable(notice)}`),
    ].join('\n'),
    [
      `${prepared.cached ? 'Found' : 'Written'}: ${train.directory}`,
      ...(validation ? [`Validation: ${validation.directory}`] : []),
    ].join('\n'),
  ].join('\n\n')
}

function sourceTable(sources: readonly SourceSummary[]): string {
  const head = ['source', 'rows', 'filtered', 'bad', 'too long']
  const counts = ['documents', 'validation', 'truncated', 'tokens', 'trained']
  const rows = sources.map((source) => [
    printable(source.name),
    ...[source.rows, source.filtered, source.bad, source.tooLong].map(String),
    ...[source.documents, source.validationDocuments, source.truncated].map(String),
    formatCount(source.tokens),
    formatCount(source.trainedTokens),
  ])
  return formatTable([[...head, ...counts], ...rows], [1, 2, 3, 4, 5, 6, 7, 8, 9])
}

function setTable({ train, validation, packing, cutoffLength }: PreparedData): string {
  const row = (name: string, set: PreparedSet) => [
    name,
    String(set.documents),
    String(set.packs),
    formatCount(set.tokens),
    formatCount(set.trainedTokens),
    formatPercent(set.efficiency),
  ]
  const head = ['set', 'documents', 'packs', 'tokens', 'trained', 'efficiency']
  const table = [head, row('train', train), ...(validation ? [row('validation', validation)] : [])]
  return `${formatTable(table, [1, 2, 3, 4, 5])}\nPacking ${packing}, at most ${cutoffLength} tokens a pack`
}

/** Documents by length, in powers of two. */
function histogram({ lengths, documents }: PreparedSet): string {
  const first = Math.max(
    0,
    lengths.findIndex((count) => count > 0),
  )
  const most = Math.max(...lengths)
  const rows = lengths.slice(first).map((count, i) => {
    const low = 2 ** (first + i)
    const bar = '#'.repeat(count === 0 ? 0 : Math.max(1, Math.round((30 * count) / most)))
    return [`${low} to ${2 * low - 1}`, String(count), formatPercent(count / documents), bar]
  })
  return formatTable([['tokens', 'documents', '', ''], ...rows], [0, 1, 2])
}

function badRowLines(sources: readonly SourceSummary[]): string[] {
  return sources
    .filter(({ bad }) => bad > 0)
    .map(({ name, bad, badRows }) => {
      const shown = badRows.slice(0, maxBadShown).map((row) => `  ${placeText(row)}: ${row.reason}`)
      const more = bad > shown.length ? [`  and ${bad - shown.length} more`] : []
      return [`Unusable rows of ${name}:`, ...shown, ...more].map(printable).join('\n')
    })
}

function thinkingLine(sources: readonly SourceSummary[]): string {
  const total = { given: 0, added: 0, opened: 0, none: 0, unclosed: 0 }
  for (const { thinking } of sources) {
    for (const kind of ['given', 'added', 'opened', 'none', 'unclosed'] as const) total[kind] += thinking[kind]
  }
  const { given, added, opened, none, unclosed } = total
  const open = unclosed > 0 ? `, begun and not ended in ${unclosed}` : ''
  return `Reasoning (<think>): in ${given} answers, its opening tag added to ${opened}, empty added to ${added}, none in ${none}${open}`
}
