import type { FunnelStep } from '../../select/funnel.js'
import { shortened } from '../../text/escapeXml.js'
import { formatPercent } from '../../text/format.js'
import { at, colourOf, figureOf, textAt, titled } from '../evaluation/svg.js'

const margin = 24
const nameWidth = 190
const barsWidth = 460
const countWidth = 130
const [barHeight, stepHeight] = [18, 52]

/** A bar for what each step left, with what it took beside it: an SVG document. The same funnel gives the same bytes. */
export function funnelPicture(file: string, funnel: readonly FunnelStep[]): string {
  const most = Math.max(1, ...funnel.map(({ rowsIn }) => rowsIn))
  const left = margin + nameWidth
  const scale = (rows: number) => (barsWidth * rows) / most
  const top = margin + 34
  const body = [textAt(margin, margin + 14, `Rows of ${shortened(file, 60)}`, 'head')]
  for (const [i, step] of funnel.entries()) {
    const y = top + i * stepHeight
    const { name, rowsIn, rowsKept } = step
    const marks = [
      textAt(left - 12, y + 13, shortened(name, 26), 'end'),
      `<rect class="blank" x="${at(left)}" y="${at(y)}" width="${at(scale(rowsIn))}" height="${barHeight}"/>`,
      `<rect fill="${colourOf(0)}" x="${at(left)}" y="${at(y)}" width="${at(scale(rowsKept))}" height="${barHeight}"/>`,
      textAt(left + barsWidth + 12, y + 13, `${rowsKept} ${shareOf(step)}`),
      textAt(left, y + barHeight + 15, shortened(reasonsOf(step), 88), 'quiet'),
    ]
    body.push(titled(stepInWords(step), marks))
  }
  const description = `${funnel.map(stepInWords).join('. ')}.`
  const width = left + barsWidth + countWidth + margin
  return figureOf(
    { name: 'funnel', title: `What each step left of the rows of ${file}`, description },
    { width, height: top + funnel.length * stepHeight + margin / 2 },
    body,
  ).svg
}

const shareOf = ({ rowsIn, rowsKept }: FunnelStep): string =>
  rowsIn === rowsKept ? '' : `(${formatPercent(rowsKept / rowsIn)})`

/** `proof 1200, MCQ 40` */
export const reasonsOf = ({ rejected }: FunnelStep): string =>
  Object.entries(rejected)
    .map(([reason, rows]) => `${reason} ${rows}`)
    .join(', ')

const stepInWords = (step: FunnelStep): string => {
  const reasons = reasonsOf(step)
  return `${step.name}: ${step.rowsKept} of ${step.rowsIn} rows stay${reasons === '' ? '' : `, out are ${reasons}`}`
}
