import { join } from 'node:path'
import { readSmallFile } from '../checkpoint/readSmallFile.js'
import { BranchMergeError } from '../errors.js'
import { provenanceFileName } from '../merge/provenance.js'
import type { ReportInput } from './fractionGrid.js'
import { maxStatsBytes } from './readStatsFile.js'

/**
 * The statistics in branchmerge.json of a merged directory.
 *
 * @throws ERR_FILE_READ when there is no such file, ERR_STATS when it holds no statistics by tensor
 */
export async function readManifest(directory: string): Promise<ReportInput> {
  const path = join(directory, provenanceFileName)
  const bytes = await readSmallFile(path, maxStatsBytes, 'ERR_STATS')
  if (!bytes) {
    throw new BranchMergeError('ERR_FILE_READ', `There is no ${path}: expected a directory that branchmerge wrote`)
  }
  throw new BranchMergeError(
    'ERR_STATS',
    `${path} holds no statistics by tensor. Merge again with this version, or report the file that fuse --stats wrote.`,
  )
}
