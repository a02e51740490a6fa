import { type FusionPlan, outputBytes } from '../merge/planFusion.js'
import { formatBytes, formatCount, formatTable, printable } from './format.js'

/** What `--plan --json` prints. `freeBytes` is absent where the file system does not tell. */
export function planRecord(plan: FusionPlan, freeBytes: number | undefined) {
  return {
    tensors: tensorCount(plan),
    parameters: plan.parameters,
    bytesToRead: plan.bytesToRead,
    bytesToWrite: plan.bytesToWrite,
    memoryBytes: plan.memoryBytes,
    diskBytes: outputBytes(plan),
    freeBytes,
    files: plan.files.map(({ name, tensors, bytes }) => ({ name, tensors: tensors.length, bytes })),
    sideFiles: plan.sideFiles,
    differences: plan.differences,
    notes: plan.notes,
  }
}

export function planText(plan: FusionPlan, out: string, freeBytes: number | undefined): string {
  const needed = outputBytes(plan)
  const short = freeBytes !== undefined && freeBytes < needed ? ': NOT ENOUGH' : ''
  const free = freeBytes === undefined ? 'unknown' : formatBytes(freeBytes)
  const facts = [
    ['tensors', `${tensorCount(plan)}, ${formatCount(plan.parameters)} parameters`],
    ['read', formatBytes(plan.bytesToRead)],
    ['write', `${formatBytes(plan.bytesToWrite)} to ${out}`],
    ['memory', `at most about ${formatBytes(plan.memoryBytes)}`],
    ['disk', `${formatBytes(needed)} needed, ${free} free${short}`],
  ]
  const files = plan.files.map(({ name, tensors, bytes }) => [name, `${tensors.length} tensors`, formatBytes(bytes)])
  const sections = [
    formatTable(facts, []),
    formatTable(files, [1, 2]),
    plan.sideFiles.length > 0 ? `From Left: ${plan.sideFiles.map(printable).join(', ')}` : '',
    plan.differences.map(({ name, difference }) => `${printable(name)}: ${difference}`).join('\n'),
    plan.notes.map(printable).join('\n'),
    'Nothing was written (--plan).',
  ]
  return `${sections.filter((section) => section !== '').join('\n\n')}\n`
}

const tensorCount = ({ files }: FusionPlan): number => files.reduce((total, { tensors }) => total + tensors.length, 0)
