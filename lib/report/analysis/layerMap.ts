import type { AnalysisGroup, AnalysisResults } from '../../analysis/results.js'
import { type WeightKind, weightKinds } from '../../checkpoint/weightKind.js'
import { colourAt, isLight } from '../colourScale.js'
import { at, type Figure, figureOf, textAt, titled } from '../evaluation/svg.js'
import type { Measure, MeasureSet } from './measures.js'

/** All sizes in pixels at the picture's own scale. */
const margin = 24
const labelWidth = 84
const cellWidth = 62
const rowHeight = 20
const headHeight = 44
const letterWidth = 7

/** Rows of a map: a layer, what lies outside of layers, or all. */
interface Row {
  label: string
  /** For the text under the pointer. */
  place: string
  group: AnalysisGroup | undefined
  cells: ReadonlyMap<WeightKind, AnalysisGroup>
}

/** A map for every measure of a set: layers from top to bottom, kinds of weight from left to right, the number in every cell. */
export function layerMap(results: AnalysisResults, set: MeasureSet): Figure {
  const kinds = weightKinds.filter((kind) => results.cells.some((cell) => cell.kind === kind))
  const rows = rowsOf(results)
  const values = set.measures.flatMap(({ value }) =>
    rows.flatMap(({ cells }) => [...cells.values()].map(value).filter((each) => each !== null)),
  )
  const scale = scaleOf(values, set.leastSpan)
  const labels = Math.max(labelWidth, ...rows.map(({ label }) => label.length * letterWidth + 12))
  const width = Math.max(640, margin * 2 + labels + (kinds.length + 1) * cellWidth)
  const body: string[] = []
  let y = margin
  const line = (text: string, look: string, height: number) => {
    body.push(textAt(margin, y + 14, text, look))
    y += height
  }
  line(set.title, 'head', 24)
  for (const text of wrapped(set.explained, width - 2 * margin)) line(text, 'quiet', 18)
  line(scaleText(scale, set), 'quiet', 26)
  for (const measure of set.measures) {
    body.push(...mapOf(measure, { kinds, rows, scale, labels, text: set.text }, y))
    y += headHeight + rows.length * rowHeight + 24
  }
  const description = set.measures
    .map((measure) => `${measure.of}: ${set.text(measure.value(results.total))} over all tensors.`)
    .join(' ')
  return figureOf(
    { name: set.id, title: set.title, description: `${set.explained} ${description}` },
    { width, height: y },
    body,
  )
}

function rowsOf({ cells, layers, kinds, total }: AnalysisResults): Row[] {
  const stacks = new Set(layers.map(({ stack }) => stack))
  const named = (stack: string, layer: number) => (stacks.size > 1 ? `${stack}.${layer}` : `${layer}`)
  const byKind = (groups: readonly ({ kind: WeightKind } & AnalysisGroup)[]) =>
    new Map(groups.map((each) => [each.kind, each]))
  const outside = cells.filter((cell) => cell.layer === null)
  const rows: Row[] = layers.map(({ stack, layer, ...group }) => ({
    label: named(stack, layer),
    place: `layer ${named(stack, layer)}`,
    group,
    cells: byKind(cells.filter((cell) => cell.stack === stack && cell.layer === layer)),
  }))
  if (outside.length > 0)
    rows.push({ label: 'outside', place: 'outside of layers', group: undefined, cells: byKind(outside) })
  return [...rows, { label: 'all', place: 'all', group: total, cells: byKind(kinds) }]
}

interface Drawing {
  kinds: readonly WeightKind[]
  rows: readonly Row[]
  scale: Scale
  labels: number
  text: (value: number | null) => string
}

interface Scale {
  low: number
  high: number
}

function scaleOf(values: readonly number[], leastSpan: number): Scale {
  if (values.length === 0) return { low: 0, high: 1 }
  const low = values.reduce((a, b) => Math.min(a, b))
  const high = values.reduce((a, b) => Math.max(a, b))
  const missing = Math.max(0, leastSpan - (high - low)) / 2
  return { low: low - missing, high: high + missing }
}

const scaleText = ({ low, high }: Scale, { text }: MeasureSet): string =>
  `Colours run from ${text(low)} (dark) to ${text(high)} (light); every cell has its number.`

function mapOf(measure: Measure, drawing: Drawing, top: number): string[] {
  const { kinds, rows, labels } = drawing
  const left = margin + labels
  const svg = [textAt(margin, top + 14, measure.of, 'head')]
  const headings = [...kinds.map(headingOf), ['all', '']] as [string, string][]
  for (const [i, words] of headings.entries()) {
    const x = left + (i + 0.5) * cellWidth
    const shown = words.filter((word) => word !== '')
    for (const [j, word] of shown.entries())
      svg.push(textAt(x, top + 38 - (shown.length - 1 - j) * 14, word, 'quiet middle'))
  }
  for (const [i, row] of rows.entries()) {
    const y = top + headHeight + i * rowHeight
    svg.push(textAt(left - 8, y + 14, row.label, 'end'))
    for (const [j, kind] of kinds.entries()) {
      const group = row.cells.get(kind)
      if (group) svg.push(cellOf(measure, group, drawing, [left + j * cellWidth, y], `${row.place}, ${kind}`))
    }
    if (row.group) {
      const value = drawing.text(measure.value(row.group))
      svg.push(textAt(left + (kinds.length + 0.5) * cellWidth, y + 14, value, 'middle'))
    }
  }
  return svg
}

/** 'attention bias' and 'gate_up_proj' take two lines. */
function headingOf(kind: WeightKind): [string, string] {
  const at = kind.includes(' ') ? kind.indexOf(' ') : kind.length > 8 ? kind.lastIndexOf('_') : -1
  return at < 0 ? [kind, ''] : [kind.slice(0, kind[at] === ' ' ? at : at + 1), kind.slice(at + 1)]
}

function cellOf(
  measure: Measure,
  group: AnalysisGroup,
  { scale: { low, high }, text }: Drawing,
  [x, y]: [number, number],
  place: string,
): string {
  const value = measure.value(group)
  const where = `x="${at(x + 0.5)}" y="${at(y + 0.5)}" width="${cellWidth - 1}" height="${rowHeight - 1}"`
  const number = (fill: string) =>
    `<text class="middle" x="${at(x + cellWidth / 2)}" y="${at(y + 14)}"${fill}>${text(value)}</text>`
  const title = `${place}: ${text(value)} (${group.elements} elements)`
  if (value === null) return titled(title, [`<rect class="blank" ${where}/>`, number('')])
  const position = high > low ? (value - low) / (high - low) : 0.5
  const ink = isLight(position) ? '#10141a' : '#ffffff'
  return titled(title, [`<rect fill="${colourAt(position)}" ${where}/>`, number(` style="fill: ${ink}"`)])
}

/** Lines of at most so many pixels, about. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && (line.length + word.length + 1) * letterWidth > width) {
      lines.push(line)
      line = word
    } else line = line === '' ? word : `${line} ${word}`
  }
  return [...lines, line]
}
