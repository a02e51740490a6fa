import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { BranchMergeError } from '../errors.js'
import { checkFreeSpace, outputFailure } from '../files/outputDirectory.js'
import type { CachedRepository } from './cache.js'
import { FileHashes, type FollowingHash } from './fileHashes.js'
import type { HubName } from './hubName.js'
import { allOrAbort, Limiter } from './limiter.js'
import { missingPieces, PieceJournal } from './pieces.js'
import { type RemoteFile, resolveUrl, subjectOf } from './repository.js'
import type { Answer, Transport } from './transport.js'

/** How far a download is. */
export interface DownloadProgress {
  /** What was there when it began counts as done. */
  bytesDone: number
  bytesTotal: number
  filesDone: number
  filesTotal: number
}

export interface DownloadOptions {
  signal?: AbortSignal | undefined
  onProgress?: ((progress: DownloadProgress) => void) | undefined
}

/** Ranges that are under way at once. */
const connections = 8
/** Files that are under way at once: small ones take longer to ask for than to fetch. */
const filesAtOnce = 8
const pieceBytes = 16 * 2 ** 20
/** Writes are at least as large, but for the last of a piece. */
const writeBytes = 2 ** 20
/** Cuts in a row without a byte between them. */
const maxCuts = 6
const cutWait = 100
/** Addresses of a store are valid for a time. */
const expired = [401, 403, 404, 410]

/**
 * Downloads files of a repository at a commit into the cache: in parallel ranges, going on where an earlier run was cut off,
 * and gives each its name when its hash is right. @huggingface/hub's own functions fetch one file after the other from its
 * start, do not look at hashes, and take no lock.
 */
export class Download {
  private readonly ranges = new Limiter(connections)
  private readonly hashes = new FileHashes()
  private readonly progress: DownloadProgress

  constructor(
    private readonly name: HubName,
    private readonly commit: string,
    private readonly cache: CachedRepository,
    private readonly transport: Transport,
    private readonly options: DownloadOptions,
  ) {
    this.progress = { bytesDone: 0, bytesTotal: 0, filesDone: 0, filesTotal: 0 }
  }

  /**
   * @throws ERR_DISK_FULL, ERR_OUTPUT_WRITE, ERR_HUB_*; the signal's reason after an abort. What was fetched so far is gone on
   *   with by the next call.
   */
  async fetch(files: readonly RemoteFile[]): Promise<void> {
    const missing = await this.linkPresent(files)
    if (missing.length === 0) return
    await this.cache.checkWritable()
    await checkFreeSpace(this.cache.folder, await this.bytesNeeded(missing))
    this.progress.filesTotal = missing.length
    this.progress.bytesTotal = missing.reduce((sum, { bytes }) => sum + bytes, 0)
    this.tell(0)
    const turns = new Limiter(filesAtOnce)
    try {
      await allOrAbort(missing, this.options.signal, (file, signal) =>
        turns.run(async () => {
          signal.throwIfAborted()
          await this.fetchFile(file, signal)
          this.progress.filesDone++
          this.tell(0)
        }),
      )
    } finally {
      await this.hashes.close()
    }
  }

  /** Gives files whose blobs are there their names in the snapshot, and returns the others. */
  private async linkPresent(files: readonly RemoteFile[]): Promise<RemoteFile[]> {
    const missing: RemoteFile[] = []
    for (const file of files) {
      if (await this.cache.has(this.commit, file.path)) continue
      if (await this.hasBlob(file)) await this.cache.link(this.commit, file.path, file.blob)
      else missing.push(file)
    }
    return missing
  }

  private async hasBlob({ blob, bytes }: RemoteFile): Promise<boolean> {
    const found = await stat(this.cache.blob(blob)).catch(() => undefined)
    return found?.size === bytes
  }

  /** Of files of the same content one is fetched. */
  private async bytesNeeded(files: readonly RemoteFile[]): Promise<number> {
    const blobs = new Map(files.map(({ blob, bytes }) => [blob, bytes]))
    let needed = 0
    for (const [blob, bytes] of blobs) {
      const begun = await stat(this.partial(blob)).catch(() => undefined)
      needed += Math.max(0, bytes - (begun?.blocks ?? 0) * 512)
    }
    return needed
  }

  /** Not the name that huggingface_hub goes on with: to it the size says how many bytes are there. */
  private readonly partial = (blob: string): string => this.cache.blob(`${blob}.pieces.incomplete`)
  private readonly journal = (blob: string): string => this.cache.blob(`${blob}.pieces`)

  private async fetchFile(file: RemoteFile, signal: AbortSignal): Promise<void> {
    await this.cache.withLock(file.blob, signal, async () => {
      // Another process may have fetched it while this one waited.
      if (await this.hasBlob(file)) this.tell(file.bytes)
      else if (!(await this.fetchBlob(file, signal))) await this.fetchBlob(file, signal)
    })
    await this.cache.link(this.commit, file.path, file.blob)
  }

  /** False where bytes of an earlier run were wrong: they are gone, and it may be tried again. */
  private async fetchBlob(file: RemoteFile, signal: AbortSignal): Promise<boolean> {
    const { blob, bytes } = file
    const [partial, journalPath] = [this.partial(blob), this.journal(blob)]
    await this.takeOver(file)
    const handle = await this.writing(partial, () =>
      open(partial, 'a').then((made) => made.close().then(() => open(partial, 'r+'))),
    )
    const journal = await this.writing(journalPath, () => PieceJournal.open(journalPath, bytes))
    const earlier = journal.bytes
    const hash = this.hashes.follow(partial, file)
    this.tell(earlier)
    try {
      const pieces = missingPieces(journal.present, bytes, pieceBytes)
      hash.advance(journal.prefix)
      const source = new Source(this.name, this.commit, file, this.transport)
      await allOrAbort(pieces, signal, (piece, own) =>
        this.ranges.run(() => this.fetchPiece({ source, handle, journal, hash, partial }, piece, own)),
      )
      if ((await hash.digest()) === blob) {
        await this.writing(partial, () => handle.datasync())
      } else {
        await this.forget(file)
        this.tell(-bytes)
        if (earlier > 0) return false
        throw this.damaged(file)
      }
    } catch (error) {
      hash.drop()
      throw error
    } finally {
      await journal.close()
      await handle.close()
    }
    await this.writing(partial, () => rename(partial, this.cache.blob(blob)))
    await rm(journalPath, { force: true })
    return true
  }

  /** A beginning that a Python tool left: it holds the lock while it writes, and so do we now. */
  private async takeOver({ blob, bytes }: RemoteFile): Promise<void> {
    if (await stat(this.partial(blob)).catch(() => undefined)) return
    await rm(this.journal(blob), { force: true })
    const theirs = this.cache.blob(`${blob}.incomplete`)
    const begun = await stat(theirs).catch(() => undefined)
    if (!begun?.isFile() || begun.size === 0 || begun.size > bytes) return
    await this.writing(theirs, async () => {
      await rename(theirs, this.partial(blob))
      const journal = await PieceJournal.open(this.journal(blob), bytes)
      await journal.add(0, begun.size)
      await journal.close()
    })
  }

  private async forget({ blob }: RemoteFile): Promise<void> {
    await rm(this.partial(blob), { force: true })
    await rm(this.journal(blob), { force: true })
  }

  private damaged({ path, blob, hash }: RemoteFile): BranchMergeError {
    const algorithm = hash === 'git' ? 'SHA-1' : 'SHA-256'
    return new BranchMergeError(
      'ERR_HUB_PROTOCOL',
      `What was received for ${path} of ${subjectOf(this.name)} has not the ${algorithm} ${blob} that the Hub says. ` +
        'It was removed; try again.',
    )
  }

  private async fetchPiece(
    { source, handle, journal, hash, partial }: Fetching,
    [begin, end]: readonly [number, number],
    signal: AbortSignal,
  ): Promise<void> {
    let written = begin
    try {
      for (let cuts = 0; written < end; ) {
        const before = written
        try {
          for await (const chunks of source.read(written, end, signal)) {
            const count = chunks.reduce((sum, { length }) => sum + length, 0)
            await this.writing(partial, () => writeAll(handle, chunks, written))
            written += count
            this.tell(count)
          }
        } catch (error) {
          signal.throwIfAborted()
          if (!(error instanceof Cut)) throw error
          cuts = written > before ? 0 : cuts + 1
          if (cuts > maxCuts) throw error.failure
          await sleep(cutWait * 2 ** cuts, undefined, { signal }).catch(() => signal.throwIfAborted())
        }
      }
    } finally {
      await this.writing(partial, () => journal.add(begin, written))
      hash.advance(journal.prefix)
    }
  }

  private tell(bytes: number): void {
    this.progress.bytesDone += bytes
    this.options.onProgress?.({ ...this.progress })
  }

  private async writing<T>(path: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (cause) {
      throw outputFailure(path, cause as NodeJS.ErrnoException)
    }
  }
}

interface Fetching {
  source: Source
  handle: FileHandle
  journal: PieceJournal
  hash: FollowingHash
  partial: string
}

async function writeAll(handle: FileHandle, chunks: Buffer[], at: number): Promise<void> {
  const total = chunks.reduce((sum, { length }) => sum + length, 0)
  const { bytesWritten } = await handle.writev(chunks, at)
  if (bytesWritten === total) return
  const rest = Buffer.concat(chunks).subarray(bytesWritten)
  const more = await handle.write(rest, 0, rest.length, at + bytesWritten)
  if (more.bytesWritten < rest.length) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
}

/** The connection ended before all was there. */
class Cut extends Error {
  constructor(readonly failure: BranchMergeError) {
    super(failure.message)
  }
}

/** A file of the Hub, read in ranges from where the Hub says that it lies. Of Xet it says an address of plain HTTP, too. */
export class Source {
  private address: Promise<string> | undefined
  private readonly subject: string
  private readonly url: string

  constructor(
    name: HubName,
    private readonly commit: string,
    private readonly file: RemoteFile,
    private readonly transport: Transport,
  ) {
    this.subject = `${file.path} of ${subjectOf(name)}`
    this.url = resolveUrl(name, commit, file.path, transport.settings.endpoint)
  }

  /**
   * The bytes [begin, end), about a megabyte at a time.
   *
   * @throws Cut where fewer came, ERR_HUB_PROTOCOL where others came
   */
  async *read(begin: number, end: number, signal: AbortSignal): AsyncGenerator<Buffer[]> {
    const answer = await this.ask(begin, end, signal)
    let [left, size] = [end - begin, 0]
    let chunks: Buffer[] = []
    try {
      for await (const chunk of answer.body as AsyncIterable<Buffer>) {
        left -= chunk.length
        if (left < 0) throw this.wrong('more bytes than were asked for')
        chunks.push(chunk)
        size += chunk.length
        if (size < writeBytes) continue
        yield chunks
        chunks = []
        size = 0
      }
    } catch (error) {
      if (error instanceof BranchMergeError) throw error
      signal.throwIfAborted()
      if (chunks.length > 0) yield chunks
      throw new Cut(this.unavailable((error as NodeJS.ErrnoException).code ?? (error as Error).message))
    }
    if (chunks.length > 0) yield chunks
    if (left > 0) throw new Cut(this.unavailable('the connection ended early'))
  }

  private async ask(begin: number, end: number, signal: AbortSignal): Promise<Answer> {
    for (let again = 0; ; again++) {
      const url = await this.locate(signal)
      const answer = await this.transport.ask(url, {
        headers: { range: `bytes=${begin}-${end - 1}` },
        // What the Hub itself refuses is no matter of an address.
        accepts: url === this.url ? [416] : [...expired, 416],
        subject: this.subject,
        signal,
      })
      const problem = this.problemOf(answer, begin, end)
      if (problem === undefined) return answer
      // The rest of a whole file is not worth reading.
      if (answer.status === 200) answer.body.destroy()
      else await answer.body.dump()
      if (!expired.includes(answer.status)) throw this.wrong(problem)
      if (again === 2) throw this.unavailable(problem)
      this.address = undefined
    }
  }

  /** What is wrong with an answer to the question for a range, in words. */
  private problemOf({ status, headers }: Answer, begin: number, end: number): string | undefined {
    const asked = `${begin}-${end - 1} of ${this.file.bytes}`
    if (status === 206) {
      const [, from, to, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headers['content-range'] ?? '') ?? []
      const isAsked = Number(from) === begin && Number(to) === end - 1
      if (isAsked && (total === '*' || Number(total) === this.file.bytes)) return undefined
      return `the range ${headers['content-range']} for ${asked}`
    }
    if (status === 200) {
      const length = headers['content-length']
      const isWhole = begin === 0 && end === this.file.bytes && (length === undefined || Number(length) === end)
      return isWhole ? undefined : 'the whole file for a range of it: a server or proxy on the way ignores ranges'
    }
    if (status === 416) return `no range ${asked}: the file has changed`
    return `the address that the Hub gave is refused (${status})`
  }

  private locate(signal: AbortSignal): Promise<string> {
    // A small file lies at the Hub itself, and its hash tells whether it is the one of the list.
    if (this.file.hash === 'git') return Promise.resolve(this.url)
    this.address ??= this.find(signal).catch((error) => {
      this.address = undefined
      throw error
    })
    return this.address
  }

  /** Asks the Hub where the file lies, and whether it is still the one of its list. */
  private async find(signal: AbortSignal): Promise<string> {
    const asked = { method: 'HEAD', subject: this.subject, redirects: 'return', signal } as const
    const { status, headers, url: answered, body } = await this.transport.ask(this.url, asked)
    await body.dump()
    const tag = (headers['x-linked-etag'] ?? headers.etag)?.replace(/^W\//, '').replaceAll('"', '')
    const size = headers['x-linked-size'] ?? (status === 200 ? headers['content-length'] : undefined)
    const commit = headers['x-repo-commit']
    if (tag !== undefined && tag !== this.file.blob) throw this.wrong(`the hash ${tag}, not ${this.file.blob}`)
    if (size !== undefined && Number(size) !== this.file.bytes)
      throw this.wrong(`${size} bytes, not ${this.file.bytes}`)
    if (commit !== undefined && commit !== this.commit) throw this.wrong(`the commit ${commit}, not ${this.commit}`)
    return headers.location === undefined ? answered : new URL(headers.location, answered).href
  }

  private wrong(what: string): BranchMergeError {
    return new BranchMergeError('ERR_HUB_PROTOCOL', `The Hub answered ${what}, for ${this.subject}`)
  }

  private unavailable(why: string): BranchMergeError {
    return new BranchMergeError('ERR_HUB_UNAVAILABLE', `Cannot fetch ${this.subject}: ${why}`)
  }
}
