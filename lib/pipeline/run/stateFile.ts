import { join } from 'node:path'
import { BranchMergeError } from '../../errors.js'
import { readSmallFile } from '../../files/readSmallFile.js'
import { writeWhole } from '../../files/writeWhole.js'
import { isMapping } from '../../validate.js'
import type { InputFiles } from './inputFiles.js'

/** In the pipeline's directory: what is known of every step. No step has a dot in its name. */
export const stateName = 'pipeline.json'

const format = 1
const maxBytes = 256 * 2 ** 20

/** What a step was made of. */
export interface StepKey {
  kind: string
  /** Version of branchmerge. */
  version: string
  options: unknown
  inputs: InputFiles
  /** Of each step that it needs: which run of it. */
  needs: Readonly<Record<string, number>>
}

/** What tells that a file of an output is as the step left it. */
export interface OutputFile {
  bytes: number
  /** Milliseconds. */
  modified: number
}

/** The last run of a step. */
export interface StepRecord extends StepKey {
  /** clearing: what an earlier run has left is being removed. started: it runs, or was cut off. */
  status: 'clearing' | 'started' | 'failed' | 'done'
  /** Counts the times that it began from the beginning. */
  run: number
  /** Files of a step that is done, by their paths in its directory. */
  outputs?: Readonly<Record<string, OutputFile>>
  /** Of the last start. */
  seconds?: number
  error?: { code: string; message: string }
}

export type StepRecords = Readonly<Record<string, StepRecord>>

/**
 * What is known of the steps; undefined where nothing is.
 *
 * @throws ERR_FILE_READ; ERR_PIPELINE for a file that is damaged or of another version of the form
 */
export async function readState(out: string): Promise<StepRecords | undefined> {
  const path = join(out, stateName)
  const bytes = await readSmallFile(path, maxBytes, 'ERR_PIPELINE')
  if (!bytes) return undefined
  const state = parsed(bytes.toString('utf8'))
  if (isMapping(state) && state.format === format && isMapping(state.steps)) return state.steps as StepRecords
  throw new BranchMergeError(
    'ERR_PIPELINE',
    `Expected what is known of the steps, in format ${format}, in ${path}. Choose another out, or remove ${out}.`,
  )
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** @throws ERR_OUTPUT_WRITE, ERR_DISK_FULL */
export async function writeState(out: string, steps: StepRecords): Promise<void> {
  await writeWhole(join(out, stateName), `${JSON.stringify({ format, steps }, null, 2)}\n`)
}
