import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { openCheckpoint } from '../checkpoint/openCheckpoint.js'
import { manifestFileName } from '../checkpoint/weightFiles.js'
import { BranchMergeError } from '../errors.js'
import { hashFile } from '../files/hashFile.js'
import { threadsOfProcess } from '../machineLimits.js'
import { native } from '../native/native.js'
import { runJob } from '../native/runJob.js'
import { checkInteger, checkOptionNames, checkPath, checkSignal } from '../validate.js'
import { type Manifest, type ManifestOutput, type ManifestSideFile, manifestOf } from './output/manifest.js'

/** Options of {@link verify}. */
export interface VerifyOptions {
  /** 1 to 1024. Default: all cores that this process may use. */
  threads?: number | undefined
  signal?: AbortSignal | undefined
}

/** What `verify` resolves to, and what `--json` prints. */
export interface Verification {
  tensors: number
  /** Weights files. */
  files: number
  sideFiles: number
  /** Of the weights files, all of which were read. */
  bytes: number
  /** What is not as the manifest says, in words; empty when all is well. */
  problems: string[]
}

/**
 * Reads a merged directory once more and compares every header, tensor and side file with its manifest.
 *
 * @throws ERR_FILE_READ where there is no manifest, ERR_MANIFEST where it is none; the signal's reason after an abort
 */
export async function verify(directory: string, options: VerifyOptions = {}): Promise<Verification> {
  checkPath(directory, 'directory')
  checkOptionNames(options, ['threads', 'signal'])
  const threads = checkInteger(options.threads ?? Math.min(threadsOfProcess(), 1024), 'threads', 1, 1024)
  const signal = checkSignal(options.signal)
  const manifest = await manifestOf(directory)
  const { files, sideFiles } = manifest.output
  const problems = await asProblems(async () => {
    await openCheckpoint(directory, { signal }) // that loaders find the files through the index
    return []
  })
  for (const file of files)
    problems.push(...(await asProblems(() => fileProblems(directory, file, manifest, threads, signal))))
  for (const file of sideFiles) problems.push(...(await asProblems(() => sideFileProblems(directory, file, signal))))
  problems.push(...countProblems(manifest))
  return {
    tensors: Object.keys(manifest.tensors).length,
    files: files.length,
    sideFiles: sideFiles.length,
    bytes: files.reduce((total, { bytes }) => total + bytes, 0),
    problems: [...new Set(problems)],
  }
}

/** A file that cannot be read is a problem like others. */
async function asProblems(check: () => Promise<string[]>): Promise<string[]> {
  try {
    return await check()
  } catch (error) {
    if (error instanceof BranchMergeError && error.code !== 'ERR_CANCELLED') return [error.message]
    throw error
  }
}

async function fileProblems(
  directory: string,
  { name, bytes, headerHash, tensors }: ManifestOutput,
  manifest: Manifest,
  threads: number,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const found = await runJob(() => native.hashFile(join(directory, name), threads), signal)
  if (found.bytes !== bytes) return [`${name}: Expected ${bytes} bytes but it has ${found.bytes}`]
  if (found.headerHash !== headerHash) return [`${name}: Expected another header`]
  if (found.tensors.length !== tensors)
    return [`${name}: Expected ${tensors} tensors but it has ${found.tensors.length}`]
  return found.tensors
    .filter(([tensor, hash]) => recorded(manifest, tensor) !== hash)
    .map(([tensor]) => `${name}: "${tensor}" is not what was written`)
}

function recorded({ tensors }: Manifest, name: string): string | undefined {
  return Object.hasOwn(tensors, name) ? tensors[name]?.hash : undefined
}

async function sideFileProblems(
  directory: string,
  { name, bytes, sha256 }: ManifestSideFile,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const path = join(directory, name)
  const size = await stat(path).then(
    (stats) => stats.size,
    () => undefined,
  )
  if (size === undefined) return [`${name}: Expected this file but it is not there`]
  return size === bytes && (await hashFile(path, signal)) === sha256 ? [] : [`${name} is not what was written`]
}

function countProblems({ output, tensors }: Manifest): string[] {
  const inFiles = output.files.reduce((total, file) => total + file.tensors, 0)
  const all = Object.keys(tensors).length
  return inFiles === all ? [] : [`${manifestFileName}: Expected ${inFiles} tensors but it lists ${all}`]
}
