import { readSmallFile } from '../checkpoint/readSmallFile.js'
import { BranchMergeError } from '../errors.js'
import type { ReportInput, ReportTensor } from './fractionGrid.js'
import { isCount, isShape } from './readManifest.js'

/** Two million lines; a model of 671 B parameters in experts has ninety thousand tensors. */
const maxStatsBytes = 2 ** 29

/**
 * The statistics that `fuse --stats` wrote, as one step. The file does not say which tensors are identical: those whose
 * threshold and divergences are all 0 are taken for it, and so is a tensor that was kept whole for NaN or infinity.
 *
 * @throws ERR_FILE_READ when there is no such file, ERR_STATS when a line of it is no statistics of a tensor
 */
export async function readStatsFile(path: string): Promise<ReportInput> {
  const bytes = await readSmallFile(path, maxStatsBytes, 'ERR_STATS')
  if (!bytes) throw new BranchMergeError('ERR_FILE_READ', `There is no file ${path}`)
  const lines = bytes.toString('utf8').split('\n')
  if (lines.at(-1) === '') lines.pop()
  const tensors = lines.map((line, i) => readLine(line, `${path}:${i + 1}`))
  if (tensors.length === 0)
    throw new BranchMergeError('ERR_STATS', `Expected a line for each tensor in ${path}, it is empty`)
  return { steps: [{ name: 'left & right', tensors }], notDrawn: [] }
}

function readLine(line: string, place: string): ReportTensor {
  const record = parse(line)
  if (record && 'merges' in record) {
    throw new BranchMergeError(
      'ERR_STATS',
      `${place} is of a merge, which does not tell its methods: report the directory that the merge wrote instead`,
    )
  }
  const { name, shape, elements, kept, threshold, kl } = record ?? {}
  if (
    typeof name !== 'string' ||
    !isShape(shape) ||
    !isCount(elements) ||
    !isCount(kept) ||
    kept > elements ||
    typeof threshold !== 'number' ||
    typeof (kl as { max?: unknown } | null | undefined)?.max !== 'number'
  ) {
    throw new BranchMergeError(
      'ERR_STATS',
      `Expected the statistics of a tensor, as fuse --stats writes them, at ${place} but received ${line.slice(0, 80)}`,
    )
  }
  const unmoved = threshold === 0
  const diverges = (kl as { max: number }).max > 0
  return { name, shape, elements, kept, degenerate: unmoved && diverges, identical: unmoved && !diverges }
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
