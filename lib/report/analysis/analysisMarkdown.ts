import type { AnalysedFiles, AnalysisResults } from '../../analysis/results.js'
import { printable } from '../../text/format.js'
import { formatBytes } from '../../text/formatUnits.js'
import type { Figure } from '../evaluation/svg.js'
import { analysisTables } from './analysisTables.js'

/** The analysis as a page of Markdown with its figures beside it. */
export function analysisMarkdown(results: AnalysisResults, figures: readonly Figure[]): string {
  const { base, experts, merged, gradients, leftOut } = results
  const models = [
    ['base', base] as const,
    ...experts.map((each) => ['expert', each] as const),
    ...(merged ? [['merged', merged] as const] : []),
    ...gradients.map((each) => ['gradient', each] as const),
  ]
  const sections = [
    '# Changes of experts\n',
    ...analysisTables(results).map(({ title, explained, rows }) => `## ${title}\n\n${explained}\n\n${table(rows)}`),
    ...figures.map(
      ({ name, title }) => `## ${title}, by layer\n\n![${title} by layer and kind of weight](${name}.svg)\n`,
    ),
    `## Compared files\n\n${table([
      ['model', 'path', 'files', 'size', 'hashes of headers'],
      ...models.map(([role, model]) => fileRow(role, model)),
    ])}`,
    ...(leftOut.length > 0
      ? [`## Not compared\n\n${leftOut.map(({ name, reason }) => `- ${cell(name)}: ${reason}\n`).join('')}`]
      : []),
  ]
  return sections.join('\n')
}

function fileRow(role: string, { name, path, files }: AnalysedFiles): string[] {
  const bytes = files.reduce((sum, each) => sum + each.bytes, 0)
  const hashes = files.map(({ headerHash }) => headerHash)
  const shown = hashes.length > 4 ? `${hashes.slice(0, 4).join(' ')} and ${hashes.length - 4} more` : hashes.join(' ')
  return [role === name ? role : `${role} ${name}`, path, `${files.length}`, formatBytes(bytes), shown]
}

function table([headings = [], ...rows]: readonly string[][]): string {
  const line = (cells: readonly string[]) => `| ${cells.map(cell).join(' | ')} |\n`
  const rule = headings.map((_, i) => (i === 0 ? '---' : '---:'))
  return [headings, rule, ...rows].map(line).join('')
}

/** Any text in a cell, or beside a bullet. */
const cell = (text: string): string => printable(text).replace(/[\\|`*<>[\]]/g, (mark) => `\\${mark}`)
