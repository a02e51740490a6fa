import { BranchMergeError } from '../errors.js'
import { readSmallFile } from '../files/readSmallFile.js'
import type { ReportInput, ReportTensor } from './fractionGrid.js'
import { isCount, isMerge, isObject, isShape, type ReportMerge, reportInput, reportTensor } from './reportSteps.js'

/** Two million lines; a model of 671 B parameters in experts has ninety thousand tensors. */
const maxStatsBytes = 2 ** 29

/** A line of the file as an object, and its place for messages. */
interface Line {
  record: Record<string, unknown>
  text: string
  place: string
}

/**
 * The statistics that `fuse --stats` or `merge --stats` wrote: of a fusion as one step, of a merge every fusion in it. Lines of
 * `fuse` do not say which tensors are identical: those whose threshold and divergences are all 0 are taken for it, and so is a
 * tensor that was kept whole for NaN or infinity.
 *
 * @throws ERR_FILE_READ when there is no such file, ERR_STATS when a line of it is no statistics of a tensor, or no merge in
 *   it is a fusion
 */
export async function readStatsFile(path: string): Promise<ReportInput> {
  const bytes = await readSmallFile(path, maxStatsBytes, 'ERR_STATS')
  if (!bytes) throw new BranchMergeError('ERR_FILE_READ', `There is no file ${path}`)
  const texts = bytes.toString('utf8').split('\n')
  if (texts.at(-1) === '') texts.pop()
  const lines = texts.map((text, i): Line => ({ record: parse(text) ?? {}, text, place: `${path}:${i + 1}` }))
  const [first] = lines
  if (!first) throw new BranchMergeError('ERR_STATS', `Expected a line for each tensor in ${path}, it is empty`)
  if ('merges' in first.record) return mergeStats(lines, path)
  return { steps: [{ name: 'left & right', tensors: lines.map(fusedTensor) }], notDrawn: [] }
}

function fusedTensor(line: Line): ReportTensor {
  const { name, shape, elements, kept, threshold, kl } = line.record
  if (
    typeof name !== 'string' ||
    !isShape(shape) ||
    !isCount(elements) ||
    !isCount(kept) ||
    kept > elements ||
    typeof threshold !== 'number' ||
    typeof (kl as { max?: unknown } | null | undefined)?.max !== 'number'
  ) {
    throw notStats(line)
  }
  const unmoved = threshold === 0
  const diverges = (kl as { max: number }).max > 0
  return { name, shape, elements, kept, degenerate: unmoved && diverges, identical: unmoved && !diverges }
}

/** Every line tells of the same merges. */
function mergeStats(lines: readonly Line[], path: string): ReportInput {
  const merges = mergesOf(lines[0] as Line)
  const ids = merges.map(({ id }) => id).join('\0')
  for (const line of lines) {
    if (
      mergesOf(line)
        .map(({ id }) => id)
        .join('\0') !== ids
    )
      throw notStats(line)
  }
  const tensorsOf = (position: number) =>
    lines.map((line) => {
      const { name, shape } = line.record
      const read = typeof name === 'string' && reportTensor(name, shape, mergesOf(line)[position])
      if (!read) throw notStats(line)
      return read
    })
  return reportInput(merges, tensorsOf, path)
}

function mergesOf(line: Line): ReportMerge[] {
  const { merges } = line.record
  if (Array.isArray(merges) && merges.length > 0 && merges.every(isMerge)) return merges
  throw notStats(line)
}

const notStats = ({ place, text }: Line): BranchMergeError =>
  new BranchMergeError(
    'ERR_STATS',
    `Expected the statistics of a tensor, as fuse --stats or merge --stats writes them, at ${place} but received ` +
      text.slice(0, 80),
  )

function parse(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return isObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
