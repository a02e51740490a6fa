import { printable } from '../text/format.js'
import { type Domain, domainOf, placeOf } from './colourScale.js'
import { shareText, totalText } from './describeCell.js'
import { type Cell, cellsOf, type Grid, type ReportInput, type StepGrids, stepGrids } from './fractionGrid.js'

const blocks = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
const leastLayersPerLine = 10
const shareWidth = 9

/**
 * The heat map for a terminal: one character for each layer. Lines are at most `columns` wide where ten layers fit; more
 * layers continue below.
 */
export function heatMapText(input: ReportInput, columns: number = Number.POSITIVE_INFINITY): string {
  const steps = input.steps.map(stepGrids)
  const domain = domainOf(steps.flatMap(cellsOf))
  const sections = [
    ...steps.map((step) => stepText(step, domain, columns)),
    legendText(domain),
    input.notDrawn.map(printable).join('\n'),
  ]
  return `${sections.filter((section) => section !== '').join('\n\n')}\n`
}

function stepText(step: StepGrids, domain: Domain, columns: number): string {
  const { name, total, grids, outside } = step
  const several = grids.length > 1
  const cells = outside.map((cell) => `${cell.kind} ${blockOf(cell, domain)} ${shareText(cell)}`)
  return [
    `${printable(name)}: ${totalText(total)}`,
    ...grids.map((grid) => gridText(grid, several, domain, columns)),
    ...(cells.length > 0 ? [`outside of layers: ${cells.join(', ')}`] : []),
  ].join('\n\n')
}

function gridText({ stack, layers, rows }: Grid, named: boolean, domain: Domain, columns: number): string {
  const label = Math.max('layer'.length, ...rows.map(({ kind }) => kind.length))
  const perLine = Math.max(leastLayersPerLine, columns - label - shareWidth - 4)
  const lines: string[] = named ? [printable(stack)] : []
  for (let first = 0; first < layers.length; first += perLine) {
    const end = Math.min(layers.length, first + perLine)
    const last = end === layers.length
    lines.push(`${'layer'.padEnd(label)}  ${layerNumbers(layers.slice(first, end))}`.trimEnd())
    for (const { kind, cells, total } of rows) {
      const line = cells.slice(first, end).map((cell) => (cell ? blockOf(cell, domain) : ' '))
      const share = last ? `  ${shareText(total).padStart(shareWidth)}` : ''
      lines.push(`${kind.padEnd(label)}  ${line.join('')}${share}`.trimEnd())
    }
  }
  return lines.join('\n')
}

/** Every fifth layer's number over its column, as far as they do not touch. */
function layerNumbers(layers: number[]): string {
  let line = ''
  for (let i = 0; i < layers.length; i += 5) {
    if (line.length < i || i === 0) line = line.padEnd(i) + layers[i]
  }
  return line
}

function blockOf({ fraction, degenerate }: Cell, domain: Domain): string {
  if (fraction === undefined) return '='
  if (degenerate > 0) return '×'
  return blocks[Math.min(blocks.length - 1, Math.floor(placeOf(fraction, domain) * blocks.length))] as string
}

function legendText({ low, high }: Domain): string {
  const range = `${blocks[0]} ${low} % to ${blocks.at(-1)} ${high} % from Right`
  return `${range}   × degenerate: threshold 0 although it changed; may lie beyond the scale   = identical on both sides`
}
