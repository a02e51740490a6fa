import { join } from 'node:path'
import { manifestFileName } from '../checkpoint/weightFiles.js'
import { BranchMergeError } from '../errors.js'
import { readManifest } from '../merge/output/manifest.js'
import type { ReportInput } from './fractionGrid.js'
import { isMerge, isObject, reportInput, reportTensor } from './reportSteps.js'

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
    throw new BranchMergeError('ERR_FILE_READ', `There is no ${path}: expected a directory that fuse or merge wrote`)
  }
  const { merges, tensors } = manifest
  if (!Array.isArray(merges) || !merges.every(isMerge) || !isObject(tensors)) throw broken(path, 'merges and tensors')
  const tensorsOf = (merge: number) =>
    Object.entries(tensors).map(([name, tensor]) => {
      const { shape, steps } = isObject(tensor) ? tensor : {}
      const read = reportTensor(name, shape, Array.isArray(steps) ? steps[merge] : undefined)
      if (!read) throw broken(path, `shape and steps of ${name}`)
      return read
    })
  return reportInput(merges, tensorsOf, path)
}

const broken = (path: string, what: string): BranchMergeError =>
  new BranchMergeError('ERR_MANIFEST', `Expected ${what} in ${path}, as branchmerge writes them`)
