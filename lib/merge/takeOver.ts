import { rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type JournalRecord, readJournal } from './journal.js'
import { examineOutput, partialSuffix } from './outputDirectory.js'

/** Name of the journal while a merge runs, before the parts that every unfinished file's name has. */
export const journalName = 'journal'

/** What a run must have in common with the one that it goes on with. */
export interface ResumeKey {
  /** Of {@link fingerprintOf}. */
  fingerprint: string
  /** Names of the output files, in the plan's order. */
  files: string[]
}

/**
 * Takes over what a run of the same merge that was cut off left in this directory: its files get this run's token, and its
 * journal tells what they hold. Nothing when there is no such run.
 *
 * @throws ERR_OUTPUT_EXISTS when it is still running
 */
export async function takeOver(
  directory: string,
  key: ResumeKey,
  token: string,
  journal = journalName,
): Promise<JournalRecord | undefined> {
  const { leftovers } = await examineOutput(directory, true)
  for (const name of leftovers) {
    const old = tokenOf(name, journal)
    if (old === undefined) continue
    const record = readJournal(join(directory, name), key.fingerprint, key.files.length)
    if (!record) continue
    const written = await takeFiles(directory, key.files, record.written, { from: old, to: token })
    // Last: a crash before this leaves a journal that finds fewer files, and does their part again.
    await rename(join(directory, name), partialPath(directory, journal, token))
    return { ...record, written }
  }
  return undefined
}

function tokenOf(name: string, journal: string): string | undefined {
  if (!name.startsWith(`${journal}.`) || !name.endsWith(partialSuffix)) return undefined
  return name.slice(journal.length + 1, -partialSuffix.length)
}

/** Where the unfinished file that will be called `name` lies. */
export const partialPath = (directory: string, name: string, token: string): string =>
  join(directory, `${name}.${token}${partialSuffix}`)

/**
 * A run that was cut off while it gave its files their names has some under their last ones. What the journal says of a file
 * that is not there is forgotten.
 */
async function takeFiles(
  directory: string,
  files: string[],
  written: number[],
  token: { from: string; to: string },
): Promise<number[]> {
  const kept: number[] = []
  for (const [i, name] of files.entries()) {
    const bytes = written[i] as number
    const partial = partialPath(directory, name, token.from)
    const named = join(directory, name)
    const source =
      ((await sizeOf(partial)) ?? -1) >= bytes ? partial : (await sizeOf(named)) === bytes ? named : undefined
    if (bytes > 0 && source) await rename(source, partialPath(directory, name, token.to))
    kept.push(bytes > 0 && source ? bytes : 0)
  }
  return kept
}

async function sizeOf(path: string): Promise<number | undefined> {
  return await stat(path).then(
    ({ size }) => size,
    () => undefined,
  )
}
