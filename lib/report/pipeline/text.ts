import type { StepEstimate } from '../../pipeline/kinds/stepKind.js'
import type { PipelinePlan, PipelineSummary, StepOutcome } from '../../pipeline/run/pipelineOutcome.js'
import { formatTable, printable } from '../../text/format.js'
import { formatBytes, formatDuration } from '../../text/formatUnits.js'

const planned = { kept: 'done', run: 'runs', blocked: 'cannot run', left: 'left out' } as const

/** What `--plan` prints. */
export function pipelinePlanText({ out, steps }: PipelinePlan): string {
  const rows = steps.map(({ name, kind, status, reasons, estimate }) => [
    name,
    kind,
    planned[status],
    estimate === null ? '' : estimateText(estimate),
    reasonText(reasons),
  ])
  const needs = steps
    .filter((step) => step.needs.length > 0)
    .map(({ name, needs: of }) => [name, `needs ${of.join(', ')}`])
  const sections = [
    `directory  ${printable(out)}`,
    formatTable(needs, []),
    formatTable([['step', 'kind', 'status', 'estimate', 'why'], ...rows], []),
    'Nothing was run (--plan).',
  ]
  return sections.filter((section) => section !== '').join('\n\n')
}

const estimateText = ({ bytesToRead, memoryBytes, diskBytes }: StepEstimate): string =>
  `read ${formatBytes(bytesToRead)}, disk ${formatBytes(diskBytes)}, memory ${formatBytes(memoryBytes)}`

export const reasonText = (reasons: readonly string[]): string =>
  reasons.map((reason) => printable(reason.split('\n', 1)[0] as string)).join('; ')

/** What `run` prints at its end. */
export function pipelineText({ out, steps }: PipelineSummary): string {
  const rows = steps.map((step) => [step.name, step.kind, step.status, timeText(step), reasonText(whyText(step))])
  const failures = steps.flatMap(({ name, error }) =>
    error ? [`${name} failed: ${error.message.split('\n').map(printable).join('\n')} [${error.code}]`] : [],
  )
  const table = formatTable([['step', 'kind', 'status', 'time', ''], ...rows], [3])
  return [`directory  ${printable(out)}`, table, ...failures].join('\n\n')
}

const timeText = ({ seconds }: StepOutcome): string => (seconds === null ? '-' : formatDuration(seconds))

/** Why a step ran is told when it begins; at the end only why it did not. */
const whyText = ({ status, reasons, output }: StepOutcome): readonly string[] =>
  status === 'done' || status === 'kept' ? [output] : status === 'failed' ? [] : reasons
