import { BranchMergeError } from '../errors.js'
import type { ManifestMerge, ManifestOperand } from '../merge/output/manifest.js'
import type { ReportInput, ReportTensor } from './fractionGrid.js'

/** What manifests and statistics files tell of a merge. */
export type ReportMerge = Pick<ManifestMerge, 'id' | 'step' | 'method' | 'inputs'>

export function isMerge(value: unknown): value is ReportMerge {
  if (!isObject(value)) return false
  const { id, method, inputs } = value
  return typeof id === 'string' && typeof method === 'string' && Array.isArray(inputs) && inputs.every(isObject)
}

/**
 * What is drawn of merges: the fusions. `tensorsOf` gives the tensors of the merge at a position; `source` is the file that
 * tells of them.
 *
 * @throws ERR_STATS when no merge is a fusion
 */
export function reportInput(
  merges: readonly ReportMerge[],
  tensorsOf: (position: number) => ReportTensor[],
  source: string,
): ReportInput {
  const steps = merges.flatMap((merge, i) => (isFusion(merge) ? [{ name: nameOf(merge), tensors: tensorsOf(i) }] : []))
  const others = merges.filter((merge) => !isFusion(merge)).map(({ id, method }) => `${id} (${method})`)
  if (steps.length === 0) {
    throw new BranchMergeError(
      'ERR_STATS',
      `Nothing to draw: no merge in ${source} is a fusion, which chooses between Left and Right: ${others.join(', ')}`,
    )
  }
  return { steps, notDrawn: others.map((text) => `Not drawn: ${text}; only a fusion chooses between Left and Right`) }
}

const isFusion = ({ method }: ReportMerge): boolean => method === 'fuse'

/** 'math & science', or 'mid = math & science' where the recipe's step has a name. */
function nameOf({ id, step, inputs }: ReportMerge): string {
  const operand = (input: ManifestOperand) => ('model' in input ? input.model : input.merge)
  const [left, right] = inputs.map(operand)
  return step === id ? `${id} = ${left} & ${right}` : id
}

/** A tensor with what a merge did to it, or undefined where that does not fit together. */
export function reportTensor(name: string, shape: unknown, stats: unknown): ReportTensor | undefined {
  if (!isShape(shape) || !isObject(stats)) return undefined
  const elements = shape.reduce((product, size) => product * size, 1)
  const { kept, identical, degenerate, nonFinite } = stats
  if (!isCount(kept) || kept > elements) return undefined
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

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

export const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0

export const isShape = (value: unknown): value is number[] => Array.isArray(value) && value.every(isCount)
