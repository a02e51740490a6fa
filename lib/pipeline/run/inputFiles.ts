import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join, relative, resolve, sep } from 'node:path'
import { listSideFiles } from '../../checkpoint/sideFiles.js'
import { namePattern } from '../../data/sourceFiles.js'
import { BranchMergeError } from '../../errors.js'
import { hashFile } from '../../files/hashFile.js'
import { partialSuffix } from '../../files/owners.js'
import { readFailure } from '../../files/readSmallFile.js'
import { isHubName } from '../../hub/hubName.js'
import { type InputState, inputState, isSameState } from '../../merge/output/inputStates.js'
import type { InputPlace } from '../kinds/stepKind.js'

/** What a file held, and what tells without reading it that it still does; null where nothing tells. */
export interface InputFile {
  sha256: string
  state: InputState | null
}

/** By the path from where the pipeline's paths start. */
export type InputFiles = Readonly<Record<string, InputFile>>

/**
 * The files at places outside of the pipeline's directory.
 *
 * @throws ERR_FILE_READ, ERR_DATA where there are none
 */
export async function listInputs(places: readonly InputPlace[], out: string): Promise<string[]> {
  const found = new Set<string>()
  for (const place of places) {
    const whole = resolve(place.path)
    if (isHubName(place.path) || whole === out || whole.startsWith(out + sep)) continue
    for (const path of await filesAt(place)) found.add(path)
  }
  return [...found].sort()
}

async function filesAt({ path, kind }: InputPlace): Promise<string[]> {
  if (basename(path).includes('*')) {
    const pattern = namePattern(basename(path))
    return named(dirname(path), (name) => pattern.test(name), path)
  }
  const found = await stat(path).catch((cause) => {
    throw readFailure(path, cause)
  })
  if (!found.isDirectory()) return [path]
  const files = await named(path, () => true, path)
  return kind === 'model' ? [...files, ...(await listSideFiles(path)).map((name) => join(path, name))] : files
}

async function named(directory: string, fits: (name: string) => boolean, path: string): Promise<string[]> {
  const entries = await readdir(directory).catch((cause) => {
    throw readFailure(directory, cause)
  })
  const wanted = entries.filter((name) => fits(name) && !name.startsWith('.') && !name.endsWith(partialSuffix))
  const files: string[] = []
  for (const name of wanted) {
    const whole = join(directory, name)
    const found = await stat(whole).catch((cause) => {
      throw readFailure(whole, cause)
    })
    if (found.isFile()) files.push(whole)
  }
  if (files.length > 0) return files
  throw new BranchMergeError('ERR_DATA', `Expected files at ${path} but there are none`)
}

export interface HashOptions {
  /** Where the paths of the result start. */
  directory: string
  /** What was found earlier: files that were not written to since are not read again. */
  before: InputFiles
  signal: AbortSignal
  /** Bytes of the files that are read. */
  onBytes?: (done: number, total: number) => void
}

/** @throws ERR_FILE_READ; the signal's reason after an abort */
export async function hashInputs(
  paths: readonly string[],
  { directory, before, signal, onBytes = () => {} }: HashOptions,
): Promise<InputFiles> {
  const found: Record<string, InputFile> = {}
  const unread: { path: string; name: string; state: InputState | null; bytes: number }[] = []
  for (const path of paths) {
    signal.throwIfAborted()
    const name = relative(directory, path)
    const state = (await inputState(path)) ?? null
    const earlier = before[name]
    if (earlier && isSameState(earlier.state, state)) found[name] = earlier
    else unread.push({ path, name, state, bytes: (await stat(path)).size })
  }
  const total = unread.reduce((sum, { bytes }) => sum + bytes, 0)
  let done = 0
  for (const { path, name, state, bytes } of unread) {
    onBytes(done, total)
    found[name] = { sha256: await hashFile(path, signal), state }
    done += bytes
  }
  return found
}
