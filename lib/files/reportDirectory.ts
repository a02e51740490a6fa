import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { BranchMergeError } from '../errors.js'
import { makeDirectory, removeIfPresent } from './durableFiles.js'
import { firstOf, listIfPresent } from './outputDirectory.js'
import { writeWhole } from './writeWhole.js'

/** What the files of one kind of report are called. */
export interface ReportKind {
  /** The JSON file that is written first; near its beginning stands `"format": "FORMAT"`. */
  main: string
  format: string
  /** Whether another file of a report may have that name. */
  isFile: (name: string) => boolean
}

/**
 * Refuses a directory that holds files of a report's names which no report wrote.
 *
 * @throws ERR_OUTPUT_EXISTS
 */
export async function refuseOtherFiles(directory: string, kind: ReportKind, overwrite: boolean): Promise<void> {
  const taken = await reportFiles(directory, kind)
  if (overwrite || taken.length === 0 || (await isReport(join(directory, kind.main), kind.format))) return
  throw new BranchMergeError(
    'ERR_OUTPUT_EXISTS',
    `Expected no other files where the report is written, but ${directory} holds ${firstOf(taken)}. Choose another directory, or overwrite them.`,
  )
}

/**
 * Writes a report into a directory, which is made where it is missing, in the place of an earlier one. Each file appears whole or not
 * at all. Returns the paths.
 *
 * @param files - the main one first
 * @throws ERR_OUTPUT_WRITE, ERR_DISK_FULL; the signal's reason after an abort
 */
export async function writeReportFiles(
  directory: string,
  kind: ReportKind,
  files: readonly (readonly [name: string, content: string])[],
  signal: AbortSignal | undefined,
): Promise<string[]> {
  if ((await listIfPresent(directory)) === undefined) await makeDirectory(directory)
  // A crash in between leaves a report with files missing, never files of two reports.
  for (const name of await reportFiles(directory, kind))
    if (name !== kind.main) await removeIfPresent(join(directory, name))
  for (const [name, content] of files) {
    signal?.throwIfAborted()
    await writeWhole(join(directory, name), content)
  }
  return files.map(([name]) => join(directory, name))
}

async function reportFiles(directory: string, { main, isFile }: ReportKind): Promise<string[]> {
  const names = (await listIfPresent(directory)) ?? []
  return names.filter((name) => name === main || isFile(name))
}

async function isReport(path: string, format: string): Promise<boolean> {
  const handle = await open(path, 'r').catch(() => undefined)
  if (!handle) return false
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(100), 0, 100, 0)
    return buffer.toString('latin1', 0, bytesRead).includes(`"format": ${JSON.stringify(format)}`)
  } finally {
    await handle.close()
  }
}
