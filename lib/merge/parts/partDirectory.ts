import { randomBytes } from 'node:crypto'
import { readdir, readFile, rename, rm } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { BranchMergeError } from '../../errors.js'
import { makeDirectory, removeIfPresent, sync, syncAbove, write, writeNew } from '../../files/durableFiles.js'
import { outputFailure } from '../../files/outputDirectory.js'
import { native } from '../../native/native.js'
import { runJob } from '../../native/runJob.js'
import type { Recipe } from '../../recipe/recipe.js'
import type { InputState } from '../output/inputStates.js'
import type { JournalRecord } from '../output/journal.js'
import type { MergeOutcome } from '../output/mergeOutcome.js'
import { partialPath, takeOver } from '../output/takeOver.js'
import type { MergePlan } from '../plan/mergePlan.js'

/** Holds, in the output directory, what the tasks of a merge have done, until it is finished. */
export const partDirectoryName = '.branchmerge-shards'

/** Version of the records' layout. */
const format = 2

/** A weights file of the output. */
export interface PartFile {
  name: string
  bytes: number
  headerHash: string
}

/** What a merge is planned from again when it is finished. */
export interface PartRequest {
  /** As it is carried out, without paths. */
  recipe: Recipe
  /** Absolute paths by name. */
  models: Record<string, string>
  overwrite: boolean
  card: boolean
}

/** Which part of which merge. */
export type PartIdentity = Pick<PartRecord, 'fingerprint' | 'part' | 'parts'>

/** What a task tells when its files are safe. */
export interface PartRecord {
  format: number
  /** Of everything that decides the bytes of the whole output but the tensors of the inputs, the same in each task. */
  fingerprint: string
  /** 1 to `parts`. */
  part: number
  parts: number
  request: PartRequest
  files: PartFile[]
  /** Of the part's tensors. */
  outcome: MergeOutcome
  /** SHA-256 of each file of a model, by the model's name, where they were asked for: in the first part. */
  sha256: Record<string, string[]>
  /** The files of all models before the part read them, in their order; null for one whose state tells nothing. */
  inputs: (InputState | null)[]
}

/**
 * The directory in which the tasks of one merge, on any number of machines, leave their files for the one that finishes it.
 * A file has its name only when it is on the disk, and a record is written after the files that it vouches for.
 */
export class PartDirectory {
  readonly path: string

  constructor(out: string) {
    this.path = join(resolve(out), partDirectoryName)
  }

  fileAt(name: string): string {
    return join(this.path, name)
  }

  /** Creates it where it is missing; other tasks may be doing so at this moment. */
  async create(): Promise<void> {
    for (;;) {
      if ((await this.names()) !== undefined) return
      try {
        await syncAbove(this.path, await makeDirectory(this.path))
      } catch (error) {
        const { cause } = error as { cause?: NodeJS.ErrnoException }
        if (cause?.code !== 'EEXIST') throw error
      }
    }
  }

  private async names(): Promise<string[] | undefined> {
    try {
      return await readdir(this.path)
    } catch (error) {
      const cause = error as NodeJS.ErrnoException
      if (cause.code === 'ENOENT') return undefined
      throw new BranchMergeError('ERR_OUTPUT_WRITE', `Cannot look into ${this.path}: ${cause.message}`, { cause })
    }
  }

  /**
   * Every record that is there, in the order of the parts.
   *
   * @throws ERR_PART_MISMATCH when two are not of the same merge.
   */
  async records(): Promise<PartRecord[]> {
    const names = ((await this.names()) ?? []).filter((name) => /^part-\d+-of-\d+\.json$/.test(name)).sort()
    const records = await Promise.all(names.map((name) => this.readRecord(name)))
    for (const [i, record] of records.entries())
      this.checkAgreement(records[0] as PartRecord, record, names[i] as string)
    return records
  }

  private checkAgreement(first: PartRecord, record: PartRecord, name: string): void {
    if (record.fingerprint === first.fingerprint && record.parts === first.parts) return
    throw this.mismatch(`part ${first.part} of ${first.parts} and ${name} are of different merges`)
  }

  private async readRecord(name: string): Promise<PartRecord> {
    try {
      const record = JSON.parse(await readFile(this.fileAt(name), 'utf8')) as PartRecord
      if (record.format === format && recordName(record) === name) return record
    } catch (cause) {
      throw this.mismatch(`${name} cannot be read`, { cause })
    }
    throw this.mismatch(`${name} is of another version of branchmerge`)
  }

  /**
   * Checks that what is there is of this merge.
   *
   * @throws ERR_PART_MISMATCH
   */
  async refuseOtherMerge(fingerprint: string, parts: number): Promise<void> {
    const other = (await this.records()).find((record) => record.fingerprint !== fingerprint || record.parts !== parts)
    if (!other) return
    throw this.mismatch(
      other.parts === parts
        ? `part ${other.part} of ${parts} there is of another merge, or the headers of its inputs have changed since`
        : `a merge in ${other.parts} parts is there, not in ${parts}`,
    )
  }

  mismatch(what: string, options?: ErrorOptions): BranchMergeError {
    return new BranchMergeError(
      'ERR_PART_MISMATCH',
      `Expected parts of one merge in ${this.path} but ${what}. Remove that directory and run every part again.`,
      options,
    )
  }

  async record(part: number, parts: number): Promise<PartRecord | undefined> {
    return (await this.records()).find((record) => record.part === part && record.parts === parts)
  }

  /** Removes a record whose files are no longer what it says. */
  async forget(part: { part: number; parts: number }): Promise<void> {
    await removeIfPresent(this.fileAt(recordName(part)))
  }

  /** Whether the file lies at `path` as the record says. Headers are read, tensors are not. */
  async holds(path: string, file: PartFile): Promise<boolean> {
    const found = await describeFile(path).catch(() => undefined) // missing or cut off
    return found?.bytes === file.bytes && found.headerHash === file.headerHash
  }

  /**
   * Begins an attempt at a part, where an earlier one that was cut off had come to. Its unfinished files have names of their
   * own: an attempt that was taken for dead may still be writing. `plan` is that of the part's files.
   *
   * @throws ERR_PART_MISMATCH when what is unfinished is of inputs with another content
   */
  async begin(part: PartIdentity, plan: MergePlan): Promise<PartAttempt> {
    const token = newToken()
    const names = plan.files.map(({ name }) => name)
    const journal = journalName(part)
    const fingerprint = `${part.fingerprint} ${recordName(part)}`
    const refuse = (differences: string[]) =>
      this.mismatch(`what is unfinished of part ${part.part} is of another merge (${differences.join('; ')})`)
    const resumed = await takeOver(this.path, { fingerprint, plan }, token, { journal, refuse })
    for (const name of (await this.names()) ?? []) {
      const isOld = [journal, ...names].some((own) => isPartialOf(name, own)) && !name.includes(`.${token}.`)
      if (isOld) await removeIfPresent(this.fileAt(name))
    }
    return new PartAttempt(this, names, { token, journal, fingerprint, resumed })
  }

  async writeText(name: string, text: string): Promise<void> {
    const path = partialPath(this.path, name, newToken())
    await write(path, () => writeNew(path, text))
    await sync(path)
    await write(path, () => rename(path, this.fileAt(name)))
    await sync(this.path)
  }

  async exists(): Promise<boolean> {
    return (await this.names()) !== undefined
  }

  /** Removes it with all that is in it. It gets another name first: a crash leaves no records of a part of the parts. */
  async remove(): Promise<void> {
    await this.removeRemains()
    await write(this.path, () => rename(this.path, this.remains))
    await sync(dirname(this.path))
    await this.removeRemains()
  }

  private get remains(): string {
    return `${this.path}-finished`
  }

  /** What an earlier removal left, but for what is in use: NFS keeps a job's log until the job is over. */
  async removeRemains(): Promise<void> {
    await rm(this.remains, { recursive: true, force: true }).catch((cause) => {
      if (cause.code !== 'ENOTEMPTY' && cause.code !== 'EBUSY') throw outputFailure(this.remains, cause)
    })
  }
}

/** One run of one task. */
export class PartAttempt {
  /** Of the part, as its journal has it. */
  readonly fingerprint: string
  /** What an attempt that was cut off had done. */
  readonly resumed: JournalRecord | undefined
  readonly journalPath: string
  private readonly token: string

  constructor(
    private readonly directory: PartDirectory,
    private readonly names: readonly string[],
    identity: { token: string; journal: string; fingerprint: string; resumed: JournalRecord | undefined },
  ) {
    this.fingerprint = identity.fingerprint
    this.resumed = identity.resumed
    this.token = identity.token
    this.journalPath = partialPath(directory.path, identity.journal, identity.token)
  }

  temporaryPath(name: string): string {
    return partialPath(this.directory.path, name, this.token)
  }

  /** Gives the finished files their names and writes the record. */
  async complete(record: Omit<PartRecord, 'format' | 'files'>): Promise<PartRecord> {
    const files: PartFile[] = []
    for (const name of this.names) {
      const path = this.temporaryPath(name)
      files.push({ name, ...(await describeFile(path)) })
      await write(path, () => rename(path, this.directory.fileAt(name)))
    }
    await sync(this.directory.path)
    const whole = { format, ...record, files }
    await this.directory.writeText(recordName(whole), `${JSON.stringify(whole)}\n`)
    await removeIfPresent(this.journalPath)
    return whole
  }
}

function recordName({ part, parts }: { part: number; parts: number }): string {
  const number = (n: number) => String(n).padStart(5, '0')
  return `part-${number(part)}-of-${number(parts)}.json`
}

const journalName = (part: PartIdentity): string => `${recordName(part)}.journal`

const newToken = (): string => randomBytes(4).toString('hex')

const isPartialOf = (name: string, own: string): boolean =>
  name.startsWith(own) && /^\.[0-9a-f]{8}\.branchmerge-partial$/.test(name.slice(own.length))

async function describeFile(path: string): Promise<{ bytes: number; headerHash: string }> {
  const { bytes, headerHash } = await runJob(() => native.readHeader(path), undefined)
  return { bytes, headerHash }
}
