import { rename, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { BranchMergeError } from '../../errors.js'
import { examineOutput, outputFailure } from '../../files/outputDirectory.js'
import { partialSuffix } from '../../files/owners.js'
import type { MergePlan } from '../plan/mergePlan.js'
import { contentDifferences } from './inputContent.js'
import { changedModels, statesOf } from './inputStates.js'
import { type JournalRecord, readJournal } from './journal.js'
import { describePlan, descriptionDifferences } from './mergeDescription.js'

/** Name of the journal while a merge runs, before the parts that every unfinished file's name has. */
export const journalName = 'journal'

/** What a run must have in common with the one that it goes on with. */
export interface ResumeKey {
  /** Of {@link fingerprintOf}. */
  fingerprint: string
  plan: MergePlan
}

/**
 * Takes over what a run of the same merge that was cut off left in this directory: its files get this run's token, and its
 * journal tells what they hold. Nothing when no work is there.
 *
 * @param refuse - makes the error when there is work of another merge only, of what differs
 * @throws ERR_OUTPUT_EXISTS when it is still running
 */
export async function takeOver(
  directory: string,
  key: ResumeKey,
  token: string,
  { journal = journalName, refuse }: { journal?: string; refuse: ((differences: string[]) => Error) | undefined },
): Promise<JournalRecord | undefined> {
  const { leftovers } = await examineOutput(directory, true)
  const differences: string[] = []
  for (const name of leftovers) {
    const old = tokenOf(name, journal)
    if (old === undefined) continue
    const work = await unfinishedWork(join(directory, name), key)
    if (!work) continue
    if ('differences' in work) {
      differences.push(...work.differences)
      continue
    }
    const files = key.plan.files.map((file) => file.name)
    try {
      const written = await takeFiles(directory, files, work.record.written, { from: old, to: token })
      // Last: a crash before this leaves a journal that finds fewer files, and does their part again.
      await rename(join(directory, name), partialPath(directory, journal, token))
      return { ...work.record, written }
    } catch (cause) {
      throw takeOverFailure(directory, cause as NodeJS.ErrnoException)
    }
  }
  if (differences.length > 0 && refuse) throw refuse([...new Set(differences)])
  return undefined
}

/** An output is claimed by one run; two attempts at one part may take the same work. */
function takeOverFailure(directory: string, cause: NodeJS.ErrnoException): BranchMergeError {
  if (cause.code !== 'ENOENT') return outputFailure(directory, cause)
  return new BranchMergeError(
    'ERR_OUTPUT_EXISTS',
    `Another run goes on with the unfinished work in ${directory}. Wait for its end.`,
    { cause },
  )
}

/**
 * What the journal at `path` vouches for; in what it differs where it is another merge's, or of inputs that have another content now.
 * Undefined where it vouches for nothing.
 */
export async function unfinishedWork(
  path: string,
  { fingerprint, plan }: ResumeKey,
): Promise<{ record: JournalRecord } | { differences: string[] } | undefined> {
  const journal = readJournal(path)
  if (!journal) return undefined
  const { head, record } = journal
  if (!head) return { differences: ['It is of another version of branchmerge'] }
  if (head.fingerprint !== fingerprint) {
    const differences = descriptionDifferences(head.merge, describePlan(plan))
    return { differences: differences.length > 0 ? differences : ['It has other output files'] }
  }
  const changed = changedModels(plan, head.inputs, await statesOf(plan))
  const differences = await contentDifferences(plan, record.merged, changed)
  return differences.length > 0 ? { differences } : { record }
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
    const bytes = written[i] ?? 0
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
