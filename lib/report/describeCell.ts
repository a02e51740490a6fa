import { shortened } from '../text/escapeXml.js'
import { formatCount, formatPercent, formatShape } from '../text/format.js'
import type { Cell, ReportTensor } from './fractionGrid.js'

/** Of a layer of many experts, so many names are listed. */
const maxNames = 4
const maxNameLength = 120

/** '14.2 %', or why there is no number. */
export const shareText = ({ fraction }: Cell): string =>
  fraction === undefined ? 'identical' : formatPercent(fraction)

/** '14.2 % from Right, 1.29 M weights in 338 tensors, 2 degenerate, 1 identical' */
export function totalText(total: Cell): string {
  const { tensors, elements, degenerate, identical, nonFinite, fraction } = total
  const share = fraction === undefined ? 'nothing differs' : `${formatPercent(fraction)} from Right`
  const facts = [
    share,
    `${formatCount(elements)} weights in ${counted(tensors.length - identical, 'tensor')} that differ`,
    ...(degenerate > 0 ? [`${degenerate} degenerate`] : []),
    ...(identical > 0 ? [`${identical} identical`] : []),
    ...(nonFinite > 0 ? [`${nonFinite} kept whole for NaN or infinity`] : []),
  ]
  return facts.join(', ')
}

/** What the pointer shows over a cell: a line for the whole, and one for each tensor when there are several. */
export function cellText(place: string, cell: Cell): string {
  const { tensors } = cell
  if (tensors.length === 1) return `${place}\n${tensorText(tensors[0] as ReportTensor)}`
  const shown = tensors.slice(0, maxNames).map(tensorText)
  const rest = tensors.length > maxNames ? [`and ${tensors.length - maxNames} more`] : []
  return [`${place}: ${totalText(cell)}`, ...shown, ...rest].join('\n')
}

function tensorText({ name, shape, elements, kept, degenerate, identical, nonFinite }: ReportTensor): string {
  const head = `${shortened(name, maxNameLength)} ${formatShape(shape)}`
  if (identical || elements === 0) return `${head}: identical on both sides`
  if (nonFinite) return `${head}: kept whole from ${nonFinite === 'left' ? 'Left' : 'Right'} because of NaN or infinity`
  const mark = degenerate ? ', degenerate: threshold 0 although it changed' : ''
  return `${head}: ${formatPercent(kept / elements)} from Right (${kept} of ${elements})${mark}`
}

export const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`
