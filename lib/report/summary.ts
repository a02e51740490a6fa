import type { FuseReport } from '../merge/fuseCheckpoints.js'
import type { TensorStats } from '../merge/tensorStats.js'
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatPercent,
  formatRate,
  formatTable,
  printable,
} from './format.js'
import { type WeightKind, weightKind, weightKinds } from './weightKind.js'

const maxNames = 10

interface KindTotals {
  kind: WeightKind
  tensors: number
  parameters: number
  kept: number
}

/** The summary of a fusion that people read. `out` is as the user wrote it. */
export function summaryText(report: FuseReport, out: string): string {
  const { summary, plan, totals } = report
  const moved = summary.bytesRead + summary.bytesWritten
  const lines = [
    `Fused ${summary.tensors} tensors, ${formatCount(summary.parameters)} parameters, preset ${summary.preset}`,
    '',
    kindTable(report.tensors),
    '',
    ...remarks(report),
    ...plan.notes.map(printable),
    ...sideFileLines(report),
    `Read ${formatBytes(summary.bytesRead)} (${totals.inputAccess}) and wrote ${formatBytes(summary.bytesWritten)} ` +
      `(${totals.outputAccess}) in ${formatDuration(summary.seconds)}, ${formatRate(moved, summary.seconds)}`,
    `The fused checkpoint is in ${out}`,
  ]
  return `${lines.join('\n')}\n`
}

function kindTable(tensors: TensorStats[]): string {
  const kinds = totalsByKind(tensors)
  const sum = (value: (totals: KindTotals) => number) => kinds.reduce((total, each) => total + value(each), 0)
  const [parameters, kept] = [sum((each) => each.parameters), sum((each) => each.kept)]
  const rows = [
    ['kind', 'tensors', 'parameters', 'from Right', 'share'],
    ...kinds.map((each) => row(each.kind, each.tensors, each.parameters, each.kept)),
    row('all', tensors.length, parameters, kept),
  ]
  return formatTable(rows, [1, 2, 3, 4])
}

function row(label: string, tensors: number, parameters: number, kept: number): string[] {
  const share = formatPercent(parameters > 0 ? kept / parameters : 0)
  return [label, String(tensors), formatCount(parameters), formatCount(kept), share]
}

/** Sums over the tensors of each kind, in the order of {@link weightKinds}; kinds without a tensor are left out. */
export function totalsByKind(tensors: TensorStats[]): KindTotals[] {
  const all = new Map<WeightKind, KindTotals>()
  for (const { name, elements, kept } of tensors) {
    const kind = weightKind(name)
    const totals = all.get(kind) ?? { kind, tensors: 0, parameters: 0, kept: 0 }
    all.set(kind, {
      kind,
      tensors: totals.tensors + 1,
      parameters: totals.parameters + elements,
      kept: totals.kept + kept,
    })
  }
  return weightKinds.flatMap((kind) => all.get(kind) ?? [])
}

function remarks({ summary, tensors }: FuseReport): string[] {
  const lines: string[] = []
  if (summary.identical > 0) lines.push(identicalText(tensors))
  if (summary.degenerate.length > 0) {
    lines.push(
      `Degenerate (threshold 0 although they changed; population "changed" avoids it): ${listNames(summary.degenerate)}`,
    )
  }
  for (const [side, label] of [['left', 'Left'] as const, ['right', 'Right'] as const]) {
    const names = tensors.filter(({ nonFinite }) => nonFinite === side).map(({ name }) => name)
    if (names.length > 0) lines.push(`Kept whole from ${label} because of NaN or infinity: ${listNames(names)}`)
  }
  return lines
}

/** The gate decides about equal elements too, and 'ge' takes them all: a share of 100 % that means nothing. */
function identicalText(tensors: TensorStats[]): string {
  const same = tensors.filter(({ identical }) => identical)
  const parameters = same.reduce((total, { elements }) => total + elements, 0)
  const counted = same.some(({ kept }) => kept > 0) ? ", counted as Right's" : ''
  return `Identical on both sides: ${tensorCount(same.length)} (${formatCount(parameters)} parameters${counted})`
}

const tensorCount = (count: number): string => (count === 1 ? '1 tensor' : `${count} tensors`)

function listNames(names: string[]): string {
  const shown = names.slice(0, maxNames).map(printable).join(', ')
  const rest = names.length > maxNames ? `, and ${names.length - maxNames} more` : ''
  return `${tensorCount(names.length)}: ${shown}${rest}`
}

function sideFileLines({ plan: { sideFiles, differences } }: FuseReport): string[] {
  const lines = sideFiles.length > 0 ? [`From Left: ${sideFiles.map(printable).join(', ')}`] : []
  const unlike = differences.map(({ name, difference }) => `${printable(name)} (${difference})`)
  return unlike.length > 0 ? [...lines, `Not the same in Right: ${unlike.join(', ')}`] : lines
}
