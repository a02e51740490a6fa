import { escapeXml, shortened } from '../text/escapeXml.js'
import { colourAt, type Domain, domainOf, isLight, placeOf } from './colourScale.js'
import { cellText, shareText, totalText } from './describeCell.js'
import {
  type Cell,
  cellsOf,
  type Grid,
  type KindCell,
  type ReportInput,
  type StepGrids,
  stepGrids,
} from './fractionGrid.js'

/** All sizes in pixels at the picture's own scale. */
const margin = 24
const labelWidth = 112
const shareWidth = 64
const rowHeight = 22
const leastWidth = 640
const maxTitleLength = 80
/** About the width of a digit and of a letter of small text. */
const digitWidth = 7
const letterWidth = 7

/** GitHub's colours of text and ground, light and dark; marks on cells are chosen by the cell's own lightness. */
const style = `
text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }
.ground { fill: #ffffff }
.head { font-size: 16px; font-weight: 600 }
.quiet { fill: #59636e }
.end { text-anchor: end }
.middle { text-anchor: middle }
.cell rect { stroke: #1f2328; stroke-opacity: 0.15 }
.cell:hover rect { stroke-opacity: 1; stroke-width: 2 }
.blank { fill: #d1d9e0 }
.mark { fill: none; stroke: #59636e; stroke-width: 1.5 }
.onlight { fill: none; stroke: #10141a; stroke-width: 1.5 }
.ondark { fill: none; stroke: #ffffff; stroke-width: 1.5 }
.tick { stroke: #59636e }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .ground { fill: #0d1117 }
  .quiet { fill: #9198a1 }
  .cell rect { stroke: #e6edf3; stroke-opacity: 0.3 }
  .blank { fill: #3d444d }
  .mark { stroke: #9198a1 }
  .tick { stroke: #9198a1 }
}
`

/** A piece of the picture and the height that it takes. */
interface Block {
  svg: string[]
  height: number
}

/**
 * Draws the fraction taken from Right as an SVG document: a heat map for every step and stack of layers, rows are kinds of
 * weight and columns are layers, one colour scale for all. A function of its input: the same input gives the same bytes.
 */
export function heatMapSvg(input: ReportInput): string {
  const steps = input.steps.map(stepGrids)
  const domain = domainOf(steps.flatMap(cellsOf))
  const width = pictureWidth(steps)
  const blocks = [
    ...steps.map((step) => (y: number) => stepBlock(step, domain, width, y)),
    legend(domain, input.notDrawn),
  ]
  const drawn = stacked(blocks, margin)
  const height = drawn.height + 2 * margin
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="heat-map-title heat-map-description">`,
    `<title id="heat-map-title">${escapeXml(titleOf(steps))}</title>`,
    `<desc id="heat-map-description">${escapeXml(descriptionOf(steps, domain))}</desc>`,
    `<style>${style}</style>`,
    `<rect class="ground" width="${width}" height="${height}"/>`,
    ...drawn.svg,
    '</svg>',
  ].join('\n')}\n`
}

function stacked(blocks: ((y: number) => Block)[], top: number): Block {
  let y = top
  const svg = blocks.flatMap((block) => {
    const { svg: lines, height } = block(y)
    y += height
    return lines
  })
  return { svg, height: y - top }
}

function titleOf(steps: StepGrids[]): string {
  return `Fraction of each tensor taken from Right: ${steps.map(({ name }) => shortened(name, maxTitleLength)).join('; ')}`
}

/** What the picture tells those who do not see it: totals by step and kind, and the range. */
function descriptionOf(steps: StepGrids[], { low, high }: Domain): string {
  const ofStep = ({ name, total, grids, outside }: StepGrids) => {
    const rows = grids.flatMap((grid) => grid.rows.map(({ kind, total: row }) => `${kind} ${shareText(row)}`))
    const others = outside.map((cell) => `${cell.kind} outside of layers ${shareText(cell)}`)
    return `${shortened(name, maxTitleLength)}: ${totalText(total)}. By kind of weight: ${[...rows, ...others].join(', ')}.`
  }
  return [...steps.map(ofStep), `The colours run from ${low} % to ${high} %.`].join(' ')
}

/** Wide enough to touch, narrow enough that 80 layers fit a screen. */
function cellWidth(layers: number): number {
  if (layers <= 32) return 22
  return Math.max(6, Math.floor(960 / Math.max(layers, 1)) - (layers <= 48 ? 3 : 0))
}

function pictureWidth(steps: StepGrids[]): number {
  const widths = steps.flatMap(({ grids }) =>
    grids.map(({ layers }) => labelWidth + layers.length * cellWidth(layers.length) + shareWidth),
  )
  return widths.reduce((a, b) => Math.max(a, b), leastWidth) + 2 * margin
}

function stepBlock(step: StepGrids, domain: Domain, width: number, top: number): Block {
  const several = step.grids.length > 1
  const parts = [
    (y: number) => heading(step, y),
    ...step.grids.map((grid) => (y: number) => gridBlock(grid, several, domain, y)),
    (y: number) => outsideBlock(step.outside, domain, width, y),
  ]
  const { svg, height } = stacked(parts, top)
  return { svg: ['<g>', ...svg, '</g>'], height: height + 28 }
}

function heading({ name, total }: StepGrids, y: number): Block {
  const svg = [
    `<text class="head" x="${margin}" y="${y + 14}">${escapeXml(shortened(name, maxTitleLength))}</text>`,
    `<text class="quiet" x="${margin}" y="${y + 34}">${escapeXml(totalText(total))}</text>`,
  ]
  return { svg, height: 52 }
}

function gridBlock({ stack, layers, rows }: Grid, named: boolean, domain: Domain, top: number): Block {
  const cell = cellWidth(layers.length)
  const left = margin + labelWidth
  const right = left + layers.length * cell
  const first = named ? top + 20 : top
  const svg = named ? [`<text class="quiet" x="${left}" y="${top + 12}">${escapeXml(shortened(stack, 60))}</text>`] : []
  for (const [i, { kind, cells, total }] of rows.entries()) {
    const y = first + i * rowHeight
    svg.push(`<text class="end" x="${left - 8}" y="${y + 15}">${kind}</text>`)
    for (const [j, each] of cells.entries()) {
      if (!each) continue
      const box = { x: left + j * cell, y, width: cell, height: rowHeight }
      svg.push(cellShape(box, each, domain, `layer ${layers[j]}, ${kind}`))
    }
    svg.push(`<text class="quiet end" x="${right + shareWidth - 4}" y="${y + 15}">${shareText(total)}</text>`)
  }
  const bottom = first + rows.length * rowHeight
  svg.push(...layerLabels(layers, left, cell, bottom))
  return { svg, height: bottom + 28 - top }
}

function layerLabels(layers: number[], left: number, cell: number, top: number): string[] {
  const widest = String(layers.at(-1) ?? 0).length * digitWidth + 6
  const every = [1, 2, 5, 10, 20, 50].find((count) => count * cell >= widest) ?? 100
  const right = left + layers.length * cell + shareWidth - 4
  const labels = layers.flatMap((layer, i) =>
    i % every === 0
      ? [`<text class="quiet middle" x="${left + (i + 0.5) * cell}" y="${top + 16}">${layer}</text>`]
      : [],
  )
  return [
    `<text class="quiet end" x="${left - 8}" y="${top + 16}">layer</text>`,
    ...labels,
    `<text class="quiet end" x="${right}" y="${top + 16}">all</text>`,
  ]
}

interface Box {
  x: number
  y: number
  width: number
  height: number
}

function cellShape(box: Box, cell: Cell, domain: Domain, place: string): string {
  const { x, y, width, height } = box
  const { fraction, degenerate } = cell
  const at = fraction === undefined ? undefined : placeOf(fraction, domain)
  const fill = at === undefined ? 'class="blank"' : `fill="${colourAt(at)}"`
  const mark = at === undefined ? equalsSign(box) : degenerate > 0 ? cross(box, isLight(at) ? 'onlight' : 'ondark') : ''
  const frame = `x="${x + 0.5}" y="${y + 0.5}" width="${width - 1}" height="${height - 1}"`
  return `<g class="cell"><title>${escapeXml(cellText(place, cell))}</title><rect ${fill} ${frame}/>${mark}</g>`
}

const middleOf = ({ x, y, width, height }: Box) => ({ x: x + width / 2, y: y + height / 2, arm: width < 10 ? 2 : 4 })

function cross(box: Box, look: string): string {
  const { x, y, arm } = middleOf(box)
  const stroke = (dy: number) => `M${x - arm} ${y - dy}L${x + arm} ${y + dy}`
  return `<path class="${look}" d="${stroke(arm)}${stroke(-arm)}"/>`
}

function equalsSign(box: Box): string {
  const { x, y, arm } = middleOf(box)
  const stroke = (dy: number) => `M${x - arm} ${y + dy}H${x + arm}`
  return `<path class="mark" d="${stroke(-2)}${stroke(2)}"/>`
}

/** Cells with their names beside them, in as many lines as they need. */
function outsideBlock(cells: KindCell[], domain: Domain, width: number, top: number): Block {
  if (cells.length === 0) return { svg: [], height: 0 }
  const left = margin + labelWidth
  const svg = [`<text class="end" x="${left - 8}" y="${top + 15}">outside layers</text>`]
  let [x, y] = [left, top]
  for (const cell of cells) {
    const label = `${cell.kind} ${shareText(cell)}`
    const taken = 22 + 8 + label.length * letterWidth + 16
    if (x > left && x + taken > width - margin) [x, y] = [left, y + rowHeight + 4]
    svg.push(
      cellShape({ x, y, width: 22, height: rowHeight }, cell, domain, cell.kind),
      `<text x="${x + 30}" y="${y + 15}">${label}</text>`,
    )
    x += taken
  }
  return { svg, height: y + rowHeight - top }
}

const legendWidth = 260
const degenerateText = 'degenerate: threshold 0 although it changed; may lie beyond the scale'

function legend(domain: Domain, notDrawn: string[]) {
  return (top: number): Block => {
    const left = margin + labelWidth
    const notes = notDrawn.map(
      (note, i) => `<text class="quiet" x="${left}" y="${top + 124 + i * 18}">${escapeXml(note)}</text>`,
    )
    const svg = [
      `<text class="end" x="${left - 8}" y="${top + 11}">from Right</text>`,
      ...gradient(left, top),
      ...ticks(domain, left, top + 14),
      ...legendMarks(left, top + 46),
      ...notes,
    ]
    return { svg, height: 96 + notes.length * 18 + (notes.length > 0 ? 10 : 0) }
  }
}

/** Bars one pixel wider than their place hide the seams between them. */
function gradient(left: number, top: number): string[] {
  const bars = 65
  const width = legendWidth / bars
  return Array.from({ length: bars }, (_, i) => {
    const overlap = i < bars - 1 ? 1 : 0
    return `<rect fill="${colourAt(i / (bars - 1))}" x="${left + i * width}" y="${top}" width="${width + overlap}" height="14"/>`
  })
}

function ticks({ low, high, step }: Domain, left: number, top: number): string[] {
  const count = (high - low) / step
  return Array.from({ length: count + 1 }, (_, i) => {
    const x = Math.round(left + (legendWidth * i) / count)
    const label = `<text class="quiet middle" x="${x}" y="${top + 17}">${low + i * step} %</text>`
    return `<path class="tick" d="M${x} ${top}v4"/>${label}`
  })
}

function legendMarks(left: number, top: number): string[] {
  const marks = [
    { fill: `fill="${colourAt(1)}"`, mark: (box: Box) => cross(box, 'onlight'), text: degenerateText },
    { fill: 'class="blank"', mark: equalsSign, text: 'identical on both sides' },
  ]
  return marks.flatMap(({ fill, mark, text }, i) => {
    const box = { x: left, y: top + i * 28, width: 22, height: rowHeight }
    const frame = `x="${box.x + 0.5}" y="${box.y + 0.5}" width="21" height="21"`
    return [
      `<g class="cell"><rect ${fill} ${frame}/>${mark(box)}</g>`,
      `<text x="${left + 30}" y="${box.y + 15}">${text}</text>`,
    ]
  })
}
