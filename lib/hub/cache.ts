import { constants } from 'node:fs'
import { access, lstat, mkdir, open, readFile, readlink, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { BranchMergeError } from '../errors.js'
import { outputFailure } from '../files/outputDirectory.js'
import { newToken, partialSuffix } from '../files/owners.js'
import { native } from '../native/native.js'
import type { HubName } from './hubName.js'

const commitPattern = /^[0-9a-f]{40}$/
const lockWait = 100

/**
 * A repository in the user's cache of Hugging Face's tools: `blobs` by hash, `snapshots` of links to them by commit, `refs`
 * that say which commit a branch was. Python's tools may write to it at the same time.
 */
export class CachedRepository {
  readonly folder: string
  private readonly folderName: string

  constructor(
    private readonly cache: string,
    { kind, repository }: Pick<HubName, 'kind' | 'repository'>,
  ) {
    this.folderName = `${kind}s--${repository.replaceAll('/', '--')}`
    this.folder = join(cache, this.folderName)
  }

  /** The commit that a revision was when something of it was fetched last. */
  async commit(revision: string): Promise<string | undefined> {
    if (commitPattern.test(revision)) return revision
    const text = await readFile(join(this.folder, 'refs', revision), 'latin1').catch(() => undefined)
    const commit = text?.trim()
    return commit !== undefined && commitPattern.test(commit) ? commit : undefined
  }

  snapshot(commit: string): string {
    return join(this.folder, 'snapshots', commit)
  }

  blob(name: string): string {
    return join(this.folder, 'blobs', name)
  }

  /** Whether a file of a snapshot is there, whole: Python's tools may have been killed between the link and what it leads to. */
  async has(commit: string, path: string): Promise<boolean> {
    return await stat(join(this.snapshot(commit), path)).then(
      (found) => found.isFile(),
      () => false,
    )
  }

  /** That something can be written here, told before it is fetched. @throws ERR_OUTPUT_WRITE */
  async checkWritable(): Promise<void> {
    try {
      await mkdir(join(this.folder, 'blobs'), { recursive: true })
      await access(join(this.folder, 'blobs'), constants.W_OK)
    } catch (cause) {
      const failure = outputFailure(this.folder, cause as NodeJS.ErrnoException)
      throw new BranchMergeError(
        failure.code,
        `${failure.message}. The cache can be read only: set HF_HUB_CACHE to a directory of your own.`,
        { cause },
      )
    }
  }

  /** Says which commit a branch is, as far as anybody asks the cache. */
  async writeRef(revision: string, commit: string): Promise<void> {
    if (commitPattern.test(revision) || (await this.commit(revision)) === commit) return
    const path = join(this.folder, 'refs', revision)
    await this.writing(path, async () => {
      await mkdir(dirname(path), { recursive: true })
      // No name that a branch could have too: Python's tools list this directory.
      const temporary = join(this.folder, `${newToken()}${partialSuffix}`)
      await writeFile(temporary, commit)
      await rename(temporary, path)
    })
  }

  /** Makes a blob a file of a snapshot, by a relative link, so that the cache can be moved. */
  async link(commit: string, path: string, blob: string): Promise<void> {
    const from = join(this.snapshot(commit), path)
    const target = relative(dirname(from), this.blob(blob))
    await this.writing(from, async () => {
      await mkdir(dirname(from), { recursive: true })
      for (;;) {
        const failure = await symlink(target, from).then(
          () => undefined,
          (cause: NodeJS.ErrnoException) => cause,
        )
        if (!failure) return
        if (failure.code !== 'EEXIST') throw failure
        // A file system without links has copies instead.
        const isLink = (await lstat(from).catch(() => undefined))?.isSymbolicLink()
        if (isLink === false || (isLink && (await readlink(from).catch(() => undefined)) === target)) return
        await rm(from, { force: true })
      }
    })
  }

  /**
   * Works on a blob while no other process does: the lock file and the kind of lock are those of huggingface_hub.
   *
   * @throws what `work` throws; the signal's reason where it is aborted while another process has the lock
   */
  async withLock<T>(blob: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    const directory = join(this.cache, '.locks', this.folderName)
    const path = join(directory, `${blob}.lock`)
    for (;;) {
      const handle = await this.writing(path, async () => {
        await mkdir(directory, { recursive: true })
        return await open(path, 'a+')
      })
      try {
        while (!native.lockFile(handle.fd)) {
          await sleep(lockWait, undefined, signal ? { signal } : {}).catch(() => signal?.throwIfAborted())
        }
        // A file that has lost its name meanwhile, to a tool that removes what it locked, excludes nobody.
        const named = await stat(path).catch(() => undefined)
        if (named?.ino === (await handle.stat()).ino) return await work()
      } finally {
        await handle.close() // and with it the lock
      }
    }
  }

  private async writing<T>(path: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (cause) {
      if (cause instanceof BranchMergeError) throw cause
      throw outputFailure(path, cause as NodeJS.ErrnoException)
    }
  }
}
