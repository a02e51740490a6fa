import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { openCheckpoint } from '../checkpoint/openCheckpoint.js'
import { completeSideFiles } from '../checkpoint/sideFiles.js'
import { indexFileName, manifestFileName } from '../checkpoint/weightFiles.js'
import { BranchMergeError } from '../errors.js'
import { examineOutput, firstOf } from '../files/outputDirectory.js'
import { readFailure } from '../files/readSmallFile.js'
import type { UploadFile } from '../hub/upload.js'
import { readManifest } from '../merge/output/manifest.js'
import { partDirectoryName } from '../merge/parts/partDirectory.js'

/** A file with what tells that it has not been written to since. */
export interface PushedFile extends UploadFile {
  state: string
}

/** Model cards, and the pictures that they show. */
const shown = /\.(md|svg|png|jpe?g)$/i

/**
 * The files of a checkpoint that go to the Hub, and the names of what stays: hidden files do not count.
 *
 * @throws ERR_CHECKPOINT_NOT_FOUND and what a damaged checkpoint has; ERR_OUTPUT_EXISTS where something is unfinished or still
 *   writes there; ERR_MANIFEST where the weights are not those that branchmerge.json tells of
 */
export async function pushedFiles(
  directory: string,
  signal: AbortSignal | undefined,
): Promise<{ files: PushedFile[]; left: string[] }> {
  const checkpoint = await openCheckpoint(directory, { signal })
  if (checkpoint.directory === undefined) {
    throw new BranchMergeError(
      'ERR_CHECKPOINT_NOT_FOUND',
      `Expected the directory of a checkpoint but received ${directory}`,
    )
  }
  await refuseUnfinished(directory)
  await checkWeights(directory, checkpoint.files)
  const weights = checkpoint.files.map(({ name }) => name)
  const { files, others } = await completeSideFiles(directory)
  const along = others.filter((name) => shown.test(name) || name === manifestFileName)
  const index = checkpoint.layout === 'sharded' ? [indexFileName] : []
  const names = [...new Set([...weights, ...index, ...files, ...along])].sort()
  return {
    files: await Promise.all(names.map((name) => pushedFile(directory, name))),
    left: others.filter((name) => !names.includes(name)),
  }
}

async function pushedFile(directory: string, name: string): Promise<PushedFile> {
  const path = join(directory, name)
  const { bytes, state } = await stateOf(path)
  return { name, path, bytes, state }
}

async function stateOf(path: string): Promise<{ bytes: number; state: string }> {
  const found = await stat(path, { bigint: true }).catch((cause) => {
    throw readFailure(path, cause)
  })
  const { ino, size, mtimeNs, ctimeNs } = found
  return { bytes: Number(size), state: [ino, size, mtimeNs, ctimeNs].join(' ') }
}

/** @throws ERR_FILE_CHANGED where one was written to since its state was taken */
export async function refuseChanged(files: readonly PushedFile[]): Promise<void> {
  for (const { path, state } of files) {
    if ((await stateOf(path)).state === state) continue
    throw new BranchMergeError(
      'ERR_FILE_CHANGED',
      `${path} was written to while it was sent. Push again when it is finished.`,
    )
  }
}

async function refuseUnfinished(directory: string): Promise<void> {
  const { leftovers, content } = await examineOutput(directory, true)
  const parts = content.filter((name) => name === partDirectoryName)
  const unfinished = [...leftovers, ...parts]
  if (unfinished.length === 0) return
  const advice = parts.length > 0 ? 'Run branchmerge finish' : 'Finish what wrote it (--resume), or remove these files'
  throw new BranchMergeError(
    'ERR_OUTPUT_EXISTS',
    `${directory} holds work that is not finished, ${firstOf(unfinished)}. ${advice}, and push then.`,
  )
}

async function checkWeights(directory: string, files: readonly { name: string; bytes: number }[]): Promise<void> {
  const manifest = await readManifest(join(directory, manifestFileName))
  if (!manifest) return
  const there = new Map(files.map(({ name, bytes }) => [name, bytes]))
  const same = manifest.output.files.every(({ name, bytes }) => there.get(name) === bytes)
  if (same && manifest.output.files.length === there.size) return
  throw new BranchMergeError(
    'ERR_MANIFEST',
    `The weights in ${directory} are not those that its ${manifestFileName} tells of. Run branchmerge verify, or remove that file.`,
  )
}
