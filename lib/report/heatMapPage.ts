import { escapeXml } from '../text/escapeXml.js'
import { shareText, totalText } from './describeCell.js'
import { type Cell, type Grid, type KindCell, type ReportInput, type StepGrids, stepGrids } from './fractionGrid.js'
import { heatMapSvg } from './heatMap.js'

const style = `
:root { color-scheme: light dark }
body { margin: 1rem auto; max-width: max-content; padding: 0 1rem; font: 14px system-ui, sans-serif; background: #ffffff; color: #1f2328 }
svg { max-width: 100%; height: auto }
.wide { overflow-x: auto }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem; font-variant-numeric: tabular-nums }
th, td { padding: 0.15rem 0.5rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #d1d9e0 }
@media (prefers-color-scheme: dark) {
  body { background: #0d1117; color: #e6edf3 }
  th, td { border-color: #3d444d }
}
`

/** The heat map as an HTML page without scripts or anything outside of it: the picture, then every number as a table. */
export function heatMapPage(input: ReportInput): string {
  return `${[
    '<!doctype html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8"/>',
    '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
    '<title>Fraction taken from Right</title>',
    `<style>${style}</style>`,
    '</head>',
    '<body>',
    '<h1>Fraction taken from Right</h1>',
    heatMapSvg(input).trimEnd(),
    ...input.steps.map(stepGrids).flatMap(stepTables),
    '</body>',
    '</html>',
  ].join('\n')}\n`
}

function stepTables({ name, total, grids, outside }: StepGrids): string[] {
  return [
    '<section>',
    `<h2>${escapeXml(name)}</h2>`,
    `<p>${escapeXml(totalText(total))}</p>`,
    ...grids.flatMap(gridTable),
    ...outsideTable(outside),
    '</section>',
  ]
}

function gridTable({ stack, layers, rows }: Grid): string[] {
  const headings = rows.map(({ kind }) => `<th scope="col">${kind}</th>`).join('')
  const lines = layers.map((layer, i) => {
    const values = rows.map(({ cells }) => `<td>${valueText(cells[i])}</td>`).join('')
    return `<tr><th scope="row">${layer}</th>${values}</tr>`
  })
  const totals = rows.map(({ total }) => `<td>${valueText(total)}</td>`).join('')
  return [
    '<div class="wide"><table>',
    `<caption>${escapeXml(stack)}</caption>`,
    `<thead><tr><th scope="col">layer</th>${headings}</tr></thead>`,
    '<tbody>',
    ...lines,
    `<tr><th scope="row">all</th>${totals}</tr>`,
    '</tbody>',
    '</table></div>',
  ]
}

function outsideTable(cells: KindCell[]): string[] {
  if (cells.length === 0) return []
  const rows = cells.map((cell) => `<tr><th scope="row">${cell.kind}</th><td>${valueText(cell)}</td></tr>`)
  return ['<table>', '<caption>outside of layers</caption>', '<tbody>', ...rows, '</tbody>', '</table>']
}

function valueText(cell: Cell | undefined): string {
  if (!cell) return ''
  return escapeXml(`${shareText(cell)}${cell.degenerate > 0 ? ' ×' : ''}`)
}
