import { version } from '../../version.js'
import { type HashOptions, hashInputs, listInputs } from './inputFiles.js'
import { changesOf, outputChanges } from './reasons.js'
import type { ResolvedStep } from './resolvePipeline.js'
import type { StepKey, StepRecord } from './stateFile.js'

/** A step as it is now, beside its last run. */
export interface ExaminedStep {
  key: StepKey
  /** Why it must run; empty where its last run still holds. */
  reasons: string[]
  /** Whether an earlier run of the very same step was cut off, or failed. */
  isBegun: boolean
}

export interface ExamineOptions extends Pick<HashOptions, 'signal' | 'onBytes'> {
  out: string
  directory: string
  /** Which run of each step that it needs there is. */
  needs: Readonly<Record<string, number>>
}

/**
 * Compares a step with its last run.
 *
 * @throws ERR_FILE_READ, ERR_DATA for inputs that are not there; the signal's reason after an abort
 */
export async function examineStep(
  step: ResolvedStep,
  record: StepRecord | undefined,
  { out, directory, needs, signal, onBytes }: ExamineOptions,
): Promise<ExaminedStep> {
  const paths = await listInputs(step.open.inputs, out)
  const inputs = await hashInputs(paths, {
    directory,
    before: record?.inputs ?? {},
    signal,
    ...(onBytes && { onBytes }),
  })
  const key: StepKey = { kind: step.kindName, version, options: step.options, inputs, needs }
  if (!record) return { key, reasons: ['not run yet'], isBegun: false }
  const changes = changesOf(record, key)
  const isBegun = changes.length === 0 && (record.status === 'started' || record.status === 'failed')
  if (record.status === 'done') {
    const reasons = changes.length > 0 ? changes : await outputChanges(record, step.directory)
    return { key, reasons, isBegun }
  }
  const what = record.status === 'failed' ? `failed: ${firstLine(record.error?.message ?? '')}` : 'was cut off'
  return { key, reasons: [what, ...changes], isBegun }
}

const firstLine = (text: string): string => text.split('\n', 1)[0] as string
