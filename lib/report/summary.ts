import { type WeightKind, weightKind, weightKinds } from '../checkpoint/weightKind.js'
import type { MergedTensorStats, StepStats, TensorStats } from '../fusion/tensorStats.js'
import { fusedTensor, fusionSummary } from '../merge/fuseCheckpoints.js'
import type { MergeOutcome } from '../merge/output/mergeOutcome.js'
import type { MergePlan } from '../merge/plan/mergePlan.js'
import type { MergeResult, MergeSummary } from '../merge/run/mergeResult.js'
import type { DeviceUse } from '../native/devices.js'
import { type MergeNode, operands } from '../recipe/resolvedRecipe.js'
import { formatCount, formatPercent, formatTable, printable } from '../text/format.js'
import { formatBytes, formatDuration, formatRate } from '../text/formatUnits.js'

const maxNames = 10

interface KindTotals {
  kind: WeightKind
  tensors: number
  parameters: number
  kept: number
}

/** The summary of a fusion that people read. `out` is as the user wrote it. */
export function fusionText({ merged, ...result }: MergeResult, out: string): string {
  if (!merged) return finishedText(result.summary, out)
  const { plan, outcome } = merged
  const summary = fusionSummary(result.summary, plan)
  const tensors = outcome.tensors.map(fusedTensor)
  const lines = [
    `Fused ${summary.tensors} tensors, ${formatCount(summary.parameters)} parameters, preset ${summary.preset}`,
    '',
    kindTable(tensors),
    '',
    ...remarks(tensors, summary.degenerate),
    ...plan.notes.map(printable),
    ...sideFileLines(plan),
    transferLine(summary, outcome),
    ...deviceLines(summary),
    `The fused checkpoint is in ${out}`,
  ]
  return `${lines.join('\n')}\n`
}

/** Of an output that was there before. */
function finishedText({ tensors, parameters }: { tensors: number; parameters: number }, out: string): string {
  return `${out} is complete already: ${tensors} tensors, ${formatCount(parameters)} parameters. Nothing was done.\n`
}

/** Wider tables do not fit a terminal; the shares by kind are in the manifest, too. */
const maxColumns = 6

/** The summary of a merge that people read. `out` is as the user wrote it. */
export function mergeText({ summary, merged }: MergeResult, out: string): string {
  if (!merged) return finishedText(summary, out)
  const { plan, outcome } = merged
  const { merges } = plan.recipe
  const perMerge = merges.map((_, i) => outcome.tensors.map((tensor) => stepOf(tensor, i)))
  const fusions = merges.flatMap(({ method }, i) => (method === 'fuse' ? [i] : []))
  const columns = fusions.map((i) => ({ id: merges[i]?.id as string, tensors: perMerge[i] as TensorStats[] }))
  const lines = [
    `Merged ${summary.tensors} tensors, ${formatCount(summary.parameters)} parameters, of ${plan.models.length} models`,
    '',
    mergeTable(summary, merges),
    '',
    ...(columns.length > 0 && columns.length <= maxColumns ? [shareTable(columns), ''] : []),
    ...merges.flatMap(({ id }, i) =>
      remarks(perMerge[i] as TensorStats[], summary.merges[i]?.degenerate ?? []).map((line) =>
        merges.length > 1 ? `${printable(id)}: ${line}` : line,
      ),
    ),
    ...plan.notes.map(printable),
    ...sideFileLines(plan),
    transferLine(summary, outcome),
    ...deviceLines(summary),
    `The merged checkpoint is in ${out}`,
  ]
  return `${lines.join('\n')}\n`
}

function stepOf({ name, shape, dtype, elements, steps }: MergedTensorStats, position: number): TensorStats {
  return { name, shape, dtype, elements, ...(steps[position] as StepStats) }
}

function transferLine(summary: { bytesRead: number; bytesWritten: number; seconds: number }, outcome: MergeOutcome) {
  const { bytesRead, bytesWritten, seconds } = summary
  const { inputAccess, outputAccess } = outcome.totals
  return (
    `Read ${formatBytes(bytesRead)} (${inputAccess}) and wrote ${formatBytes(bytesWritten)} (${outputAccess}) ` +
    `in ${formatDuration(seconds)}, ${formatRate(bytesRead + bytesWritten, seconds)}`
  )
}

/** Which devices failed, and where and why there it was computed. */
export function deviceLines({ device, deviceReason, warnings }: DeviceUse): string[] {
  const where = device === 'cpu' ? 'the CPU' : device
  const why = deviceReason === 'asked for' ? ', as asked for' : `: ${printable(deviceReason)}`
  return [...warnings.map((warning) => `Warning: ${printable(warning)}`), `Computed on ${where}${why}`]
}

function mergeTable(summary: MergeSummary, merges: MergeNode[]): string {
  const rows = summary.merges.map(({ id, method, kept, keptFraction }, i) => [
    printable(id),
    printable(describeMerge(merges[i] as MergeNode)),
    ...(method === 'fuse' ? [formatCount(kept), formatPercent(keptFraction)] : ['-', '-']),
  ])
  return formatTable([['merge', 'of', 'from Right', 'share'], ...rows], [2, 3])
}

/** `science & math`, `ties(base, math, mid)` */
function describeMerge(merge: MergeNode): string {
  const names = operands(merge).map((node) => (node.kind === 'model' ? node.name : node.id))
  return merge.method === 'fuse' ? names.join(' & ') : `${merge.method}(${names.join(', ')})`
}

/** Of each fusion, the share taken from Right by kind of weight. */
function shareTable(columns: { id: string; tensors: TensorStats[] }[]): string {
  const totals = columns.map(({ tensors }) => totalsByKind(tensors))
  const kinds = totals[0] as KindTotals[]
  const share = ({ kept, parameters }: KindTotals) => formatPercent(parameters > 0 ? kept / parameters : 0)
  const rows = kinds.map(({ kind, tensors, parameters }, i) => [
    kind,
    String(tensors),
    formatCount(parameters),
    ...totals.map((each) => share(each[i] as KindTotals)),
  ])
  const heads = columns.map(({ id }) => printable(id))
  return formatTable([['kind', 'tensors', 'parameters', ...heads], ...rows], [1, 2, ...heads.map((_, i) => i + 3)])
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

function remarks(tensors: TensorStats[], degenerate: string[]): string[] {
  const lines: string[] = []
  if (tensors.some(({ identical }) => identical)) lines.push(identicalText(tensors))
  if (degenerate.length > 0) {
    lines.push(
      `Degenerate (threshold 0 although they changed; population "changed" avoids it): ${listNames(degenerate)}`,
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

function sideFileLines({ source, sideFiles, differences }: MergePlan): string[] {
  const lines = sideFiles.length > 0 ? [`From ${printable(source.label)}: ${sideFiles.map(printable).join(', ')}`] : []
  for (const model of new Set(differences.map((difference) => difference.model))) {
    const unlike = differences
      .filter((difference) => difference.model === model)
      .map(({ name, difference }) => `${printable(name)} (${printable(difference)})`)
    lines.push(`Not the same in ${printable(model)}: ${unlike.join(', ')}`)
  }
  return lines
}
