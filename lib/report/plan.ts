import { formatBytes } from '../formatUnits.js'
import { type MergePlan, outputBytes } from '../merge/planMerge.js'
import { formatCount, formatTable, printable } from './format.js'

/** `freeBytes` is absent where the file system does not tell. */
function planRecord(plan: MergePlan, freeBytes: number | undefined) {
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

/** What `merge --plan --json` prints. */
export function mergePlanRecord(plan: MergePlan, freeBytes: number | undefined) {
  const models = plan.models.map(({ name, checkpoint: { files, bytes } }) => ({ name, files: files.length, bytes }))
  const merges = plan.recipe.merges.map(({ id, method }) => ({ id, method }))
  return { models, merges, ...planRecord(plan, freeBytes) }
}

/** What `fuse --plan --json` prints: there is only one other model that can differ. */
export function fusionPlanRecord(plan: MergePlan, freeBytes: number | undefined) {
  const { differences, ...record } = planRecord(plan, freeBytes)
  const { notes, ...facts } = record
  return { ...facts, differences: differences.map(({ name, difference }) => ({ name, difference })), notes }
}

export function planText(plan: MergePlan, out: string, freeBytes: number | undefined): string {
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
    plan.sideFiles.length > 0
      ? `From ${printable(plan.source.label)}: ${plan.sideFiles.map(printable).join(', ')}`
      : '',
    plan.differences
      .map(({ model, name, difference }) => `${printable(`${name} of ${model}`)}: ${difference}`)
      .join('\n'),
    plan.notes.map(printable).join('\n'),
    'Nothing was written (--plan).',
  ]
  return `${sections.filter((section) => section !== '').join('\n\n')}\n`
}

const tensorCount = ({ files }: MergePlan): number => files.reduce((total, { tensors }) => total + tensors.length, 0)
