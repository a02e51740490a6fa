import type { EvaluationResults } from '../../evaluate/analysis/results.js'
import { printable } from '../../text/format.js'
import type { Cell, Table } from './table.js'
import { footerLines, tablesOf } from './tables.js'

/** All tables as LaTeX, for the package booktabs. */
export function evaluationLatex(results: EvaluationResults): string {
  const footer = footerLines(results).map((line) => `% ${printable(line)}`)
  return `${['% \\usepackage{booktabs}', ...footer, ...tablesOf(results).map(tableLatex)].join('\n')}\n`
}

function tableLatex({ name, title, rowHeader, rows, groups, notes }: Table): string {
  const columns = groups.flatMap((group) => group.columns)
  const line = (cells: readonly string[]) => `${cells.join(' & ')} \\\\`
  let first = 2
  const rules = groups.map((group) => {
    const last = first + group.columns.length - 1
    const rule = `\\cmidrule(lr){${first}-${last}}`
    first = last + 1
    return rule
  })
  const caption = [title, ...notes].map((text) => (text.endsWith('.') ? text : `${text}.`)).join(' ')
  return [
    '\\begin{table}',
    '\\centering',
    `\\caption{${escaped(caption)}}`,
    `\\label{tab:evaluation-${name.replace(/[^\w-]+/g, '-')}}`,
    `\\begin{tabular}{l${'r'.repeat(columns.length)}}`,
    '\\toprule',
    ...(groups.length > 1
      ? [
          line(['', ...groups.map((group) => `\\multicolumn{${group.columns.length}}{c}{${escaped(group.name)}}`)]),
          rules.join(' '),
        ]
      : []),
    line([rowHeader, ...columns.map(({ header }) => header)].map(escaped)),
    '\\midrule',
    ...rows.map((row, i) => line([escaped(row), ...columns.map(({ cells }) => cellLatex(cells[i]))])),
    '\\bottomrule',
    '\\end{tabular}',
    '\\end{table}',
  ].join('\n')
}

/** A bracket after a line's end would be taken as its option, so each stands in braces. */
const cellLatex = (cell: Cell | undefined): string => {
  const text = escaped(cell?.text ?? '')
  return cell?.best ? `\\textbf{${text}}` : text
}

const commands: Record<string, string> = {
  '\\': '\\textbackslash{}',
  '~': '\\textasciitilde{}',
  '^': '\\textasciicircum{}',
  '<': '$<$',
  '>': '$>$',
  '[': '{[}',
  ']': '{]}',
  Δ: '$\\Delta$',
  '×': '$\\times$',
  '–': '--',
}

const escaped = (text: string): string =>
  printable(text)
    .replace(/[\\~^<>[\]Δ×–&%$#_{}]/g, (c) => commands[c] ?? `\\${c}`)
    .replace(/(?<=^|\s|\{\[\})-(?=\d)/g, '$-$')
