import { constants } from 'node:fs'
import { access, open, rename, rm, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { BranchMergeError } from '../errors.js'
import { outputFailure, partialSuffix } from '../merge/outputDirectory.js'
import type { TensorStats } from '../merge/tensorStats.js'

/** One line of a statistics file. */
export function statsLine({ name, shape, dtype, elements, kept, threshold, q1, median, q3, kl }: TensorStats): string {
  const { min, median: middle, max } = kl
  const line = { name, shape, dtype, elements, kept, threshold, q1, median, q3, kl: { min, median: middle, max } }
  return `${JSON.stringify(line)}\n`
}

/**
 * That a statistics file can be written at `path` later: there is none (unless `overwrite`), and its directory takes files
 * or is `out`, which the fusion creates.
 *
 * @throws ERR_OUTPUT_EXISTS or ERR_OUTPUT_WRITE
 */
export async function checkStatsPath(path: string, options: { out: string; overwrite: boolean }): Promise<void> {
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

/** Writes JSON lines, one for every tensor, under a temporary name that becomes `path` when all is on disk. */
export async function writeStatsFile(path: string, tensors: TensorStats[]): Promise<void> {
  const temporary = `${path}.${process.pid}${partialSuffix}`
  try {
    const handle = await open(temporary, 'w')
    try {
      await handle.writeFile(tensors.map(statsLine).join(''))
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw outputFailure(path, error as NodeJS.ErrnoException)
  }
}
