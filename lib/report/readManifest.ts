import { join } from 'node:path'
import { BranchMergeError } from '../errors.js'
import { type ManifestMerge, type ManifestOperand, manifestFileName, readManifest } from '../merge/manifest.js'
import type { ReportInput, ReportTensor } from './fractionGrid.js'

/**
 * The statistics in branchmerge.json of a merged directory: of every fusion that led to it.
 *
 * @throws ERR_FILE_READ when there is no such file, ERR_MANIFEST when it is none that this version understands, ERR_STATS
 *   when no merge in it is a fusion
 */
export async function readManifestStats(directory: string): Promise<ReportInput> {
  const path = join(directory, manifestFileName)
  const manifest = await readManifest(path)
  if (!manifest) {
    throw new BranchMergeError('ERR_FILE_READ', `There is no ${path}: expected a directory that branchmerge wrote`)
  }
  const { merges, tensors } = manifest
  if (!Array.isArray(merges) || !merges.every(isMerge) || !isObject(tensors)) throw broken(path, 'merges and tensors')
  const entries = Object.entries(tensors)
  const steps = merges.flatMap((merge, i) =>
    isFusion(merge)
      ? [{ name: nameOf(merge), tensors: entries.map(([name, tensor]) => readTensor(name, tensor, i, path)) }]
      : [],
  )
  const others = merges.filter((merge) => !isFusion(merge)).map(({ id, method }) => `${id} (${method})`)
  if (steps.length === 0) {
    throw new BranchMergeError(
      'ERR_STATS',
      `Nothing to draw: no merge in ${path} is a fusion, which chooses between Left and Right: ${others.join(', ')}`,
    )
  }
  return { steps, notDrawn: others.map((text) => `Not drawn: ${text}; only a fusion chooses between Left and Right`) }
}

function isMerge(value: unknown): value is ManifestMerge {
  if (!isObject(value)) return false
  const { id, method, inputs } = value
  return typeof id === 'string' && typeof method === 'string' && Array.isArray(inputs) && inputs.every(isObject)
}

const isFusion = ({ method }: ManifestMerge): boolean => method === 'fuse'

/** 'math & science', or 'mid = math & science' where the recipe's step has a name. */
function nameOf({ id, step, inputs }: ManifestMerge): string {
  const operand = (input: ManifestOperand) => ('model' in input ? input.model : input.merge)
  const [left, right] = inputs.map(operand)
  return step === id ? `${id} = ${left} & ${right}` : id
}

function readTensor(name: string, tensor: unknown, merge: number, path: string): ReportTensor {
  const { shape, steps } = isObject(tensor) ? tensor : {}
  const step = Array.isArray(steps) ? steps[merge] : undefined
  const elements = isShape(shape) ? shape.reduce((product, size) => product * size, 1) : Number.NaN
  const { kept, identical, degenerate, nonFinite } = isObject(step) ? step : {}
  if (!isShape(shape) || !isCount(kept) || !(kept <= elements)) throw broken(path, `shape and steps of ${name}`)
  return {
    name,
    shape,
    elements,
    kept,
    identical: identical === true,
    degenerate: degenerate === true,
    ...(nonFinite === 'left' || nonFinite === 'right' ? { nonFinite } : {}),
  }
}

const broken = (path: string, what: string): BranchMergeError =>
  new BranchMergeError('ERR_MANIFEST', `Expected ${what} in ${path}, as branchmerge writes them`)

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

export const isShape = (value: unknown): value is number[] => Array.isArray(value) && value.every(isCount)
