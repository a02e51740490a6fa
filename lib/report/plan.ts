import { type MergePlan, outputBytes } from '../merge/plan/mergePlan.js'
import type { MergeSurvey } from '../merge/run/session.js'
import { formatCount, formatTable, printable } from '../text/format.js'
import { formatBytes } from '../text/formatUnits.js'

/** What a fusion would read, write and need. */
export interface FusionPlan {
  tensors: number
  /** Elements of all tensors. */
  parameters: number
  bytesToRead: number
  bytesToWrite: number
  /** Upper estimate of the memory for tensors. */
  memoryBytes: number
  /** Of the output with headers and side files, rounded up. */
  diskBytes: number
  /** Free where the output goes; undefined where the file system does not tell. */
  freeBytes: number | undefined
  /** Weights files of the output. */
  files: { name: string; tensors: number; bytes: number }[]
  /** Configuration, tokenizer and others that come along. */
  sideFiles: string[]
  /** Side files that are another in Right. */
  differences: { name: string; difference: string }[]
  /** What to know, in words. */
  notes: string[]
}

/** What a merge would read, write and need. */
export interface MergePlanRecord extends Omit<FusionPlan, 'differences'> {
  models: { name: string; files: number; bytes: number }[]
  /** Every merge, its inputs before it; the last one is the result. */
  merges: { id: string; method: string }[]
  /** Side files of which a model has another one than is written. */
  differences: { model: string; name: string; difference: string }[]
}

function planRecord({ plan, freeBytes }: MergeSurvey): Omit<MergePlanRecord, 'models' | 'merges'> {
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
export function mergePlanRecord(survey: MergeSurvey): MergePlanRecord {
  const { plan } = survey
  const models = plan.models.map(({ name, checkpoint: { files, bytes } }) => ({ name, files: files.length, bytes }))
  const merges = plan.recipe.merges.map(({ id, method }) => ({ id, method }))
  return { models, merges, ...planRecord(survey) }
}

/** What `fuse --plan --json` prints: there is only one other model that can differ. */
export function fusionPlanRecord(survey: MergeSurvey): FusionPlan {
  const { differences, ...record } = planRecord(survey)
  const { notes, ...facts } = record
  return { ...facts, differences: differences.map(({ name, difference }) => ({ name, difference })), notes }
}

export function planText({ plan, freeBytes }: MergeSurvey): string {
  const needed = outputBytes(plan)
  const short = freeBytes !== undefined && freeBytes < needed ? ': NOT ENOUGH' : ''
  const free = freeBytes === undefined ? 'unknown' : formatBytes(freeBytes)
  const facts = [
    ['tensors', `${tensorCount(plan)}, ${formatCount(plan.parameters)} parameters`],
    ['read', formatBytes(plan.bytesToRead)],
    ['write', `${formatBytes(plan.bytesToWrite)} to ${plan.run.out}`],
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
