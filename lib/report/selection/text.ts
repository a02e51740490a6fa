import type { FunnelStep, JoinRecord } from '../../select/funnel.js'
import type { SelectionPlan, SelectionSummary } from '../../select/summary.js'
import { formatCount, formatCountOf, formatPercent, formatTable, printable } from '../../text/format.js'
import { formatBytes, formatDuration } from '../../text/formatUnits.js'
import { reasonsOf } from './picture.js'

/** The funnel of a selection as a table, and where its files are. */
export function selectionText(summary: SelectionSummary): string {
  const { out, rejected, record, picture, rows, rowsRead, bytes, seconds } = summary
  const { funnel, joins, notes } = summary
  const answers = funnel.some(({ answersIn, rowsIn }) => answersIn > rowsIn)
  const lines = [
    funnelTable(funnel, answers),
    '',
    ...joins.map((join) => `Note: ${joinInWords(join)}`),
    ...notes.map((note) => `Note: ${note}`),
    `${formatCountOf(rows, 'conversation')} of ${formatCountOf(rowsRead, 'row')} in ${formatDuration(seconds)}: ${out} (${formatBytes(bytes)})`,
    `Rejected rows with their reasons: ${rejected}`,
    `The record: ${record}, drawn: ${picture}`,
  ]
  return lines.map(printableLines).join('\n')
}

const printableLines = (text: string): string => text.split('\n').map(printable).join('\n')

function funnelTable(funnel: readonly FunnelStep[], answers: boolean): string {
  const head = ['step', 'rows', 'kept', 'share', ...(answers ? ['answers'] : []), 'rejected']
  const rows = funnel.map((step) => [
    step.name,
    String(step.rowsIn),
    String(step.rowsKept),
    step.rowsIn === 0 ? '-' : formatPercent(step.rowsKept / step.rowsIn),
    ...(answers ? [String(step.answersKept)] : []),
    reasonsOf(step),
  ])
  return formatTable([head, ...rows], [1, 2, 3, ...(answers ? [4] : [])])
}

/** What went wrong in a join; all of it where nothing did. */
function joinInWords({ source, part, rows, withoutKey, repeated, unused, places }: JoinRecord): string {
  const found = [
    withoutKey > 0 ? `${withoutKey} without a key` : '',
    repeated > 0 ? `${repeated} with the key of another` : '',
    unused > 0 ? `${unused} that no row of ${source} wants` : '',
  ].filter((each) => each !== '')
  const where = places.length > 0 ? ` (${places.join('; ')}${places.length < withoutKey + repeated ? '; …' : ''})` : ''
  return `${part} has ${formatCountOf(rows, 'row')}${found.length > 0 ? `, ${found.join(', ')}${where}` : ''}`
}

/** What a selection would do. */
export function selectionPlanText({ out, sources, steps, keep, seed, tokenizer, limit }: SelectionPlan): string {
  const lines = sources.flatMap(({ name, files, bytes, columns, parts, first }) => [
    `${name}: ${formatCountOf(files.length, 'file')}, ${formatBytes(bytes)}`,
    ...files.slice(0, 3).map((file) => `  ${file}`),
    ...(files.length > 3 ? [`  and ${files.length - 3} more`] : []),
    ...(columns.length > 0 ? [`  columns: ${columns.join(', ')}`] : []),
    ...parts.map(
      (part) =>
        `  joined: ${part.name} on ${part.on}, ${formatCountOf(part.files.length, 'file')}, ${formatBytes(part.bytes)}`,
    ),
    `  the first row: ${first}`,
  ])
  const numbered = steps.map(({ name, kind, description }, i) => [
    `${i + 1}.`,
    name,
    name === kind ? description : `${kind}: ${description}`,
  ])
  const rest = [
    `seed ${seed}`,
    ...(tokenizer === null ? [] : [`tokenizer ${tokenizer}`]),
    ...(keep.length > 0 ? [`kept columns: ${keep.join(', ')}`] : []),
    ...(limit === null ? [] : [`the first ${formatCount(limit)} rows of each source`]),
  ]
  const all = [
    ...lines,
    '',
    'Steps:',
    formatTable(numbered.length > 0 ? numbered : [['none']], [0]),
    '',
    ...rest,
    `into ${out}`,
  ]
  return all.map(printableLines).join('\n')
}
