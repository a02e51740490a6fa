import { constants } from 'node:fs'
import { copyFile, mkdir, readFile, rename, rm, rmdir, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { cardName } from '../../card/cardMark.js'
import { cardPlace } from '../../card/modelCard.js'
import { isSideFile } from '../../checkpoint/sideFiles.js'
import { completeNames, indexFileName, manifestFileName, singleFileName } from '../../checkpoint/weightFiles.js'
import { BranchMergeError } from '../../errors.js'
import { claimDirectory } from '../../files/claimDirectory.js'
import { makeSharedDirectory, removeIfPresent, sync, syncAbove, write, writeNew } from '../../files/durableFiles.js'
import { checkFreeSpace, examineOutput, realOrFuturePath } from '../../files/outputDirectory.js'
import { keepAlive, newToken, partialSuffix } from '../../files/owners.js'
import { native } from '../../native/native.js'
import type { JournalRecord } from './journal.js'
import { journalName, type ResumeKey, takeOver, unfinishedWork } from './takeOver.js'

export interface OutputOptions {
  overwrite: boolean
  /** Free space that the output needs. */
  bytes: number
  /** Go on with a run of the merge that this identifies. */
  resume?: ResumeKey | undefined
}

/** Real paths of the output directories of merges that run in this process. */
const busy = new Set<string>()

/**
 * The files of a fusion on their way to the output directory. They are written under temporary names; publish() makes them
 * a checkpoint, discard() leaves nothing. docs/output-safety.md tells what a crash at each point leaves.
 */
export class OutputTransaction {
  private readonly written = new Set<string>()
  private readonly published = new Set<string>()
  /** Finished files that lie elsewhere, by the name that they are to have. */
  private readonly adopted = new Map<string, string>()

  /** Other hosts see by it that this process is at work. */
  private readonly rest = keepAlive(() => [
    this.journalPath,
    ...[...this.written].map((name) => this.partialPath(name)),
  ])

  private constructor(
    private readonly directory: string,
    /** Its real path. */
    private readonly place: string,
    private readonly claim: OutputClaim,
    /** Names in the directory before. */
    private readonly content: string[],
    /** Tells this run's unfinished files from others'. */
    private readonly token: string,
    private left: JournalRecord | undefined,
  ) {}

  /** What a run that was cut off left, when this one goes on with it. */
  get resumed(): JournalRecord | undefined {
    return this.left
  }

  /**
   * Creates the output directory where it is missing and clears leftovers of killed runs; with `resume`, goes on with the
   * one of the same merge.
   *
   * @throws ERR_OUTPUT_EXISTS, ERR_DISK_FULL when fewer than `bytes` are free, ERR_OUTPUT_WRITE
   */
  static async open(out: string, options: OutputOptions): Promise<OutputTransaction> {
    const directory = resolve(out)
    const place = await realOrFuturePath(directory)
    if (busy.has(place)) {
      throw new BranchMergeError('ERR_OUTPUT_EXISTS', `Another fusion of this process is writing to ${out}`)
    }
    busy.add(place)
    let claim: OutputClaim | undefined
    try {
      const token = newToken()
      claim = await claimOutput(directory, token)
      const refuse = options.overwrite ? undefined : (differences: string[]) => otherMerge(out, differences)
      const left = options.resume && (await takeOver(directory, options.resume, token, { refuse }))
      const existing = await examineOutput(directory, options.overwrite || left !== undefined)
      const others = existing.leftovers.filter((name) => !name.endsWith(`.${token}${partialSuffix}`))
      for (const name of others) await removeIfPresent(join(directory, name))
      await checkFreeSpace(directory, left ? 0 : options.bytes)
      // A directory that cannot be made durable is told of now, not after hours of work.
      if (claim.created) await syncAbove(directory, claim.created)
      return new OutputTransaction(directory, place, claim, existing.content, token, left)
    } catch (error) {
      await claim?.release()
      if (claim?.created) await removeEmpty(directory, dirname(claim.created))
      busy.delete(place)
      throw error
    }
  }

  /** After a pass that failed: what its journal vouches for is what the next one goes on with; the rest is removed. */
  async goOn(key: ResumeKey): Promise<void> {
    this.left = await readIfPresent(this.journalPath, key)
    if (!this.left) await removeIfPresent(this.journalPath)
    for (const [i, { name }] of key.plan.files.entries()) {
      if (!this.left?.written[i]) await removeIfPresent(this.partialPath(name))
    }
  }

  /** Where to write the file that will be called `name`. */
  temporaryPath(name: string): string {
    if (!this.adopted.has(name)) this.written.add(name)
    return this.partialPath(name)
  }

  /** Where the journal of this run is or will be. */
  get journalPath(): string {
    return this.partialPath(journalName)
  }

  /** Takes the finished and synced file at `path`, on the same file system, for `name`. discard() puts it back. */
  adopt(name: string, path: string): void {
    this.adopted.set(name, path)
  }

  private partialPath(name: string): string {
    // All of them at the top: leftovers are looked for there.
    const flat = name.replaceAll('/', '%2F')
    return this.adopted.get(name) ?? join(this.directory, `${flat}.${this.token}${partialSuffix}`)
  }

  async writeFile(name: string, text: string): Promise<void> {
    await this.writeSynced(name, (path) => writeNew(path, text))
  }

  async copyFile(name: string, source: string): Promise<void> {
    await this.writeSynced(name, (path) => copyFile(source, path, constants.COPYFILE_EXCL))
  }

  private async writeSynced(name: string, fill: (path: string) => Promise<void>): Promise<void> {
    const path = this.temporaryPath(name)
    if (this.left) await removeIfPresent(path)
    await write(path, () => fill(path))
    await sync(path)
  }

  /** Gives every written file its name: weights, side files, provenance, and last the file that makes it complete. */
  async publish(files: { weights: string[]; sideFiles: string[] }): Promise<void> {
    const last = files.weights.includes(singleFileName) ? singleFileName : indexFileName
    const shards = files.weights.filter((name) => name !== last)
    const stale = await this.staleFiles([...files.weights, ...files.sideFiles])
    for (const name of completeNames) await removeIfPresent(join(this.directory, name))
    await sync(this.directory)
    for (const name of shards) await this.publishFile(name)
    for (const name of stale) await this.remove(name)
    for (const name of files.sideFiles) await this.publishFile(name)
    await this.publishFile(manifestFileName)
    // What looks complete has nothing unfinished beside it.
    await removeIfPresent(this.journalPath)
    await this.claim.release()
    await sync(this.directory)
    await this.publishFile(last)
    // It is complete: whatever fails from here on, nothing of it is taken back.
    this.published.clear()
    await sync(this.directory)
    if (this.claim.created) await syncAbove(this.directory, this.claim.created)
    this.end()
  }

  private async publishFile(name: string): Promise<void> {
    const path = join(this.directory, name)
    const isNested = dirname(path) !== this.directory
    await write(path, async () => {
      if (isNested) await mkdir(dirname(path), { recursive: true })
      await rename(this.partialPath(name), path)
    })
    this.written.delete(name)
    this.published.add(name)
    if (isNested) await sync(dirname(path))
  }

  /** Files of the replaced checkpoint that the new one does not have: its shards, and side files that we once wrote. */
  private async staleFiles(kept: string[]): Promise<string[]> {
    const old = [
      ...this.content.filter((name) => /^model-\d{5}-of-\d{5}\.safetensors$/.test(name)),
      ...(await indexedShards(join(this.directory, indexFileName))),
      ...(await recordedSideFiles(join(this.directory, manifestFileName))),
      ...((await cardPlace(this.directory)) === cardName ? [cardName] : []),
    ]
    return [...new Set(old)].filter((name) => this.content.includes(topName(name)) && !kept.includes(name))
  }

  /** A file, and its subdirectory when that is empty then. */
  private async remove(name: string): Promise<void> {
    await removeIfPresent(join(this.directory, name))
    await this.removeSubdirectoryOf(name)
  }

  private async removeSubdirectoryOf(name: string): Promise<void> {
    const directory = dirname(join(this.directory, name))
    if (directory !== this.directory) await rmdir(directory).catch(ignore)
  }

  private end(): void {
    this.rest()
    busy.delete(this.place)
  }

  /** Leaves what was written for a run that goes on with it. */
  async keep(): Promise<void> {
    await this.claim.release().catch(ignore)
    this.end()
  }

  /** Removes whatever was written, and the directory if it was created for it. Never throws: it follows an error. */
  async discard(): Promise<void> {
    for (const name of this.written) {
      await rm(this.partialPath(name), { force: true }).catch(ignore)
      await this.removeSubdirectoryOf(name)
    }
    await rm(this.journalPath, { force: true }).catch(ignore)
    for (const name of this.published) await this.takeBack(name).catch(ignore)
    await this.claim.release().catch(ignore)
    if (this.claim.created) await removeEmpty(this.directory, dirname(this.claim.created))
    this.end()
  }

  private async takeBack(name: string): Promise<void> {
    const path = join(this.directory, name)
    const place = this.adopted.get(name)
    await (place === undefined ? this.remove(name) : rename(path, place))
  }
}

/** The right to be the only one that writes to an output directory. */
interface OutputClaim {
  /** The topmost directory that had to be created, if any. */
  created: string | undefined
  release(): Promise<void>
}

/** One that was made for a merge goes when that is refused, and may do so at this moment. */
const claimTries = 5

/** Creates the directory where it is missing. @throws ERR_OUTPUT_EXISTS when another process writes to it; ERR_OUTPUT_WRITE */
async function claimOutput(directory: string, token: string): Promise<OutputClaim> {
  for (let tries = 1; ; tries++) {
    const { exists } = await examineOutput(directory, true)
    const created = exists ? undefined : await makeSharedDirectory(directory)
    try {
      return { created, release: await claimDirectory(directory, 'claim', 'ERR_OUTPUT_EXISTS', token) }
    } catch (error) {
      if (created) await removeEmpty(directory, dirname(created))
      const { code, cause } = error as { code?: string; cause?: { code?: string } }
      if (tries === claimTries || (code !== 'ENOENT' && cause?.code !== 'ENOENT')) throw error
    }
  }
}

const ignore = () => {}

/** What lies at the top of the directory for a file, which may be in a subdirectory. */
export const topName = (name: string): string => name.split('/')[0] as string

/** The pass may have failed before there was a journal. */
async function readIfPresent(path: string, key: ResumeKey): Promise<JournalRecord | undefined> {
  const exists = await stat(path).then(() => true, ignore)
  const work = exists ? await unfinishedWork(path, key) : undefined
  return work && 'record' in work ? work.record : undefined
}

function otherMerge(out: string, differences: string[]): BranchMergeError {
  return new BranchMergeError(
    'ERR_OUTPUT_EXISTS',
    `${out} holds the work of an unfinished merge that is another one than this. Finish that one, choose another directory, or ` +
      `give its work up with overwrite (--overwrite).\n${differences.map((text) => `  ${text}`).join('\n')}`,
  )
}

async function removeEmpty(directory: string, end: string): Promise<void> {
  for (let path = directory; path !== end; path = dirname(path)) {
    const removed = await rmdir(path).then(
      () => true,
      () => false,
    )
    if (!removed) return
  }
}

async function indexedShards(index: string): Promise<string[]> {
  const text = await readFile(index).catch(() => undefined)
  if (!text) return []
  try {
    return native
      .parseIndex(index, text)
      .weightMap.map(([, file]) => file)
      .filter((name) => name.endsWith('.safetensors'))
  } catch {
    return [] // not an index: there is no list of shards to clear
  }
}

async function recordedSideFiles(manifest: string): Promise<string[]> {
  const text = await readFile(manifest, 'utf8').catch(() => undefined)
  if (!text) return []
  try {
    const files: unknown = JSON.parse(text)?.output?.sideFiles
    if (!Array.isArray(files)) return []
    const names = files.map((file) => (typeof file === 'string' ? file : file?.name)) // format 1 had names alone
    return names.filter((name) => typeof name === 'string' && isOurs(name))
  } catch {
    return [] // not ours: nothing of it was written by a fusion
  }
}

const isOurs = (name: string): boolean => isSideFile(name) || /^[\w-]+\.py$/.test(name)
