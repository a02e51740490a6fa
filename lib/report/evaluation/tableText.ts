import type { EvaluationResults } from '../../evaluate/analysis/results.js'
import { formatTable, printable } from '../../text/format.js'
import type { Cell, Table } from './table.js'
import { summaryLines, summaryTables } from './tables.js'

/** The tables that are read first, for a terminal. Control characters of names are shown as escapes. */
export function evaluationText(results: EvaluationResults): string {
  return `${[...summaryTables(results).map(tableText), summaryLines(results).map(printable).join('\n')].join('\n\n')}\n`
}

/** One block for each group of columns, so that lines stay short. */
function tableText({ title, rowHeader, rows, groups, notes }: Table): string {
  const blocks = groups.map(({ name, columns }) => {
    const lines = [
      [rowHeader, ...columns.map(({ header }) => header)],
      ...rows.map((row, i) => [row, ...columns.map(({ cells }) => cellText(cells[i]))]),
    ].map((line) => line.map(printable))
    const rightAligned = columns.map((_, i) => i + 1)
    return `${name === '' ? '' : `${printable(name)}\n`}${formatTable(lines, rightAligned)}`
  })
  return [printable(title), ...blocks, notes.map(printable).join('\n')].filter((part) => part !== '').join('\n\n')
}

const cellText = (cell: Cell | undefined): string => (cell?.best ? `*${cell.text}` : (cell?.text ?? ''))
