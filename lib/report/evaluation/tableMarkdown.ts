import type { EvaluationResults } from '../../evaluate/analysis/results.js'
import { printable } from '../../text/format.js'
import type { Cell, Table } from './table.js'
import { footerLines, groupTables, tablesOf } from './tables.js'

/** All tables as Markdown. */
export function evaluationMarkdown(results: EvaluationResults): string {
  const tables = [...tablesOf(results), ...groupTables(results)]
  const footer = footerLines(results).map((line) => `- ${escaped(line)}`)
  return `${['# Evaluation', ...tables.map(tableMarkdown), '## Made with', footer.join('\n')].join('\n\n')}\n`
}

export function tableMarkdown({ title, rowHeader, rows, groups, notes }: Table): string {
  const columns = groups.flatMap(({ name, columns }) =>
    columns.map(({ header, cells }) => ({ header: name === '' ? header : `${name}: ${header}`, cells })),
  )
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  const table = [
    line([rowHeader, ...columns.map(({ header }) => header)].map(escaped)),
    line([':---', ...columns.map(() => '---:')]),
    ...rows.map((row, i) => line([escaped(row), ...columns.map(({ cells }) => cellMarkdown(cells[i]))])),
  ]
  return [
    `## ${escaped(title)}`,
    ...(rows.length > 0 ? [table.join('\n')] : []),
    ...(notes.length > 0 ? [notes.map(escaped).join('\n')] : []),
  ].join('\n\n')
}

const cellMarkdown = (cell: Cell | undefined): string => {
  const text = escaped(cell?.text ?? '')
  return cell?.best ? `**${text}**` : text
}

/** Text that Markdown shows as it is: names may hold any character. */
const escaped = (text: string): string => printable(text).replace(/[\\`*_{}[\]<>#|~&]/g, '\\$&')
