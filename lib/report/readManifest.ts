import { join } from 'node:path'
import { BranchMergeError } from '../errors.js'
import { type Manifest, type ManifestTensor, manifestFileName, readManifest } from '../merge/manifest.js'
import type { ReportInput, ReportTensor } from './fractionGrid.js'

/**
 * The statistics in branchmerge.json of a merged directory.
 *
 * @throws ERR_FILE_READ when there is no such file, ERR_MANIFEST when it is none that this version understands
 */
export async function readManifestStats(directory: string): Promise<ReportInput> {
  const path = join(directory, manifestFileName)
  const manifest = await readManifest(path)
  if (!manifest) {
    throw new BranchMergeError('ERR_FILE_READ', `There is no ${path}: expected a directory that branchmerge wrote`)
  }
  const steps = manifest.merges.flatMap(({ id, method }, i) =>
    method === 'fuse' ? [{ name: id, tensors: tensorsOf(manifest, i) }] : [],
  )
  return {
    steps,
    notDrawn: manifest.merges.flatMap(({ id, method }) => (method === 'fuse' ? [] : [`${id} (${method})`])),
  }
}

function tensorsOf({ tensors }: Manifest, merge: number): ReportTensor[] {
  return Object.entries(tensors).map(([name, { shape, steps }]) => {
    const { kept, degenerate = false, identical = false } = steps[merge] as ManifestTensor['steps'][number]
    return { name, shape, elements: shape.reduce((product, size) => product * size, 1), kept, degenerate, identical }
  })
}
