import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import type { Checkpoint } from '../checkpoint/openCheckpoint.js'
import { BranchMergeError } from '../errors.js'
import { outputFailure, refuseInputs } from '../files/outputDirectory.js'
import { writeWhole } from '../files/writeWhole.js'
import type { MergedTensorStats, TensorStats } from '../fusion/tensorStats.js'
import type { MergeIdentity } from '../merge/output/manifest.js'

/** One line of a fusion's statistics file. */
export function fusionStatsLine({
  name,
  shape,
  dtype,
  elements,
  kept,
  threshold,
  q1,
  median,
  q3,
  kl,
}: TensorStats): string {
  const { min, median: middle, max } = kl
  const line = { name, shape, dtype, elements, kept, threshold, q1, median, q3, kl: { min, median: middle, max } }
  return `${JSON.stringify(line)}\n`
}

/** One line of a merge's statistics file: what each of the recipe's merges did to the tensor. */
export function mergeStatsLine(
  { name, shape, dtype, elements, steps }: MergedTensorStats,
  merges: readonly MergeIdentity[],
): string {
  const each = steps.map((stats, i) => ({ ...identity(merges[i] as MergeIdentity), ...stats }))
  return `${JSON.stringify({ name, shape, dtype, elements, merges: each })}\n`
}

function identity({ id, step, method, base, inputs }: MergeIdentity): MergeIdentity {
  return { id, ...(step === undefined ? {} : { step }), method, ...(base ? { base } : {}), inputs }
}

/**
 * That a statistics file can be written at `path` later: it is no input, there is none (unless `overwrite`), and its directory
 * takes files or is `out`, which the merge creates.
 *
 * @throws ERR_OUTPUT_IS_INPUT, ERR_OUTPUT_EXISTS or ERR_OUTPUT_WRITE
 */
export async function checkStatsPath(
  path: string,
  options: { out: string; overwrite: boolean },
  inputs: Checkpoint[],
): Promise<void> {
  await refuseInputs(path, inputs)
  const existing = await stat(path).catch(() => undefined)
  if (existing && !(existing.isFile() && options.overwrite)) {
    throw new BranchMergeError(
      'ERR_OUTPUT_EXISTS',
      `Expected no file at ${path} for stats; replace it with --overwrite`,
    )
  }
  const directory = dirname(resolve(path))
  if (directory === resolve(options.out)) return
  await access(directory, constants.W_OK).catch((cause) => {
    throw outputFailure(path, cause)
  })
}

/**
 * Writes lines, one for every tensor, see {@link writeWhole}, of the checkpoint that is in `out` already.
 *
 * @throws ERR_OUTPUT_WRITE or ERR_DISK_FULL, which say so
 */
export async function writeStatsFile(path: string, lines: string[], out: string): Promise<void> {
  await writeWhole(path, lines.join('')).catch((error: BranchMergeError) => {
    throw new BranchMergeError(
      error.code,
      `The checkpoint in ${out} is complete, but its statistics could not be written: ${error.message}. Then ` +
        'run the same command with --resume: it writes them and does not merge again.',
      { cause: error },
    )
  })
}
