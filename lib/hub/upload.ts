import type { CommitOperation } from '@huggingface/hub'
import { BranchMergeError } from '../errors.js'
import { FileContent } from './fileContent.js'
import type { HubName } from './hubName.js'
import { listRepository, type RemoteFile, resolveUrl, subjectOf } from './repository.js'
import type { Transport } from './transport.js'

/** A branch of a repository, as it is before something is sent to it. */
export interface UploadTarget {
  /** Whether the repository is there; undefined commit: the branch is not. */
  exists: boolean
  isPrivate: boolean
  commit: string | undefined
  files: RemoteFile[]
}

/** A file that is to be in the repository. */
export interface UploadFile {
  /** In the repository. */
  name: string
  path: string
  bytes: number
}

/** What a commit is to change. */
export interface UploadChange {
  title: string
  files: readonly UploadFile[]
  /** Names in the repository. */
  removed: readonly string[]
  /** The branch must still be there. */
  parent: string
}

export interface UploadEvents {
  signal: AbortSignal | undefined
  /** Bytes of a large file that were sent; negative where they are sent again. */
  onSent(name: string, bytes: number): void
  /** A large file is at the Hub. */
  onPresent(name: string): void
  /** All large files are there; the commit follows. */
  beforeCommit(): Promise<void>
}

/** Writes to one branch of a model's repository. @huggingface/hub does it; requests, tries and errors are those of {@link Transport}. */
export class Upload {
  private readonly subject: string

  constructor(
    private readonly name: HubName,
    private readonly branch: string,
    private readonly transport: Transport,
    private readonly signal: AbortSignal | undefined,
  ) {
    this.subject = subjectOf(name)
  }

  /** That the token is one, and may write. @throws ERR_HUB_ACCESS, ERR_HUB_UNAVAILABLE */
  async checkToken(): Promise<void> {
    const { whoAmI } = await import('@huggingface/hub')
    const { auth } = await whoAmI(this.common(true))
    if (auth.accessToken?.role !== 'read') return
    throw new BranchMergeError(
      'ERR_HUB_ACCESS',
      `The token may only read, and ${this.subject} is to be written: set HF_TOKEN to one that may write`,
    )
  }

  /** @throws ERR_HUB_ACCESS, ERR_HUB_UNAVAILABLE, ERR_HUB_PROTOCOL */
  async target(): Promise<UploadTarget> {
    const main = await this.info('main')
    if (!main) return { exists: false, isPrivate: false, commit: undefined, files: [] }
    const found = this.branch === 'main' ? main : await this.info(this.branch)
    const files = found ? await this.list(found.commit) : []
    return { exists: true, isPrivate: main.isPrivate, commit: found?.commit, files }
  }

  private async info(revision: string): Promise<{ commit: string; isPrivate: boolean } | undefined> {
    const { modelInfo } = await import('@huggingface/hub')
    const asked = { ...this.common(false), name: this.name.repository, revision, additionalFields: ['sha' as const] }
    const found = await modelInfo(asked).catch((error) => {
      if (error instanceof BranchMergeError && error.code === 'ERR_HUB_NOT_FOUND') return undefined
      throw error
    })
    return found && { commit: found.sha, isPrivate: found.private }
  }

  /** @throws as {@link listRepository} */
  async list(commit: string): Promise<RemoteFile[]> {
    return await listRepository(this.name, commit, '', this.transport, this.signal)
  }

  /** @throws ERR_HUB_ACCESS where the token may not, ERR_HUB_UNAVAILABLE */
  async createRepository(isPrivate: boolean): Promise<void> {
    const { createRepo } = await import('@huggingface/hub')
    await createRepo({
      ...this.common(true),
      repo: this.repo,
      ...(isPrivate ? { visibility: 'private' as const } : {}),
    })
  }

  /** The text of a file, at most 10 MB as the Hub allows. @throws ERR_HUB_* */
  async text(commit: string, path: string): Promise<string> {
    const url = resolveUrl(this.name, commit, path, this.transport.settings.endpoint)
    return (await this.transport.text(url, { subject: `${path} of ${this.subject}`, signal: this.signal })).text
  }

  /** From what `main` is. @throws ERR_HUB_ACCESS, ERR_HUB_UNAVAILABLE */
  async createBranch(): Promise<void> {
    const { createBranch } = await import('@huggingface/hub')
    await createBranch({ ...this.common(true), repo: this.repo, branch: this.branch })
  }

  /**
   * That the token may write to this repository: the Hub says so before anything is sent.
   *
   * @throws ERR_HUB_ACCESS, ERR_HUB_UNAVAILABLE
   */
  async checkMayWrite(): Promise<void> {
    const { settings } = this.transport
    const url = `${settings.endpoint}/api/models/${this.name.repository}/preupload/${encodeURIComponent(this.branch)}`
    const files = [{ path: 'config.json', size: 2, sample: Buffer.from('{}').toString('base64') }]
    await this.transport.text(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: () => JSON.stringify({ files }),
      subject: this.subject,
      writing: true,
      signal: this.signal,
    })
  }

  /**
   * Sends what the Hub does not have yet, large files in parts, and then makes one commit of all.
   *
   * @returns the commit
   * @throws ERR_HUB_*, ERR_FILE_CHANGED, ERR_FILE_READ; the signal's reason after an abort. Then there is no commit, and what was
   *   sent of large files stays with the Hub for the next call.
   */
  async commit({ title, files, removed, parent }: UploadChange, events: UploadEvents): Promise<string> {
    const { commitIter } = await import('@huggingface/hub')
    events.signal?.throwIfAborted()
    const operations: CommitOperation[] = [
      ...files.map(({ name, path, bytes }) => ({
        operation: 'addOrUpdate' as const,
        path: name,
        content: new FileContent(path, 0, bytes, (sent) => events.onSent(name, sent)),
      })),
      ...removed.map((path) => ({ operation: 'delete' as const, path })),
    ]
    const steps = commitIter({
      ...this.common(true),
      repo: this.repo,
      branch: this.branch,
      title,
      operations,
      parentCommit: parent,
      // Its storage takes the plain protocol, too, which needs neither its chunks nor their hashes.
      useXet: false,
      ...(events.signal ? { abortSignal: events.signal } : {}),
    })
    try {
      for (;;) {
        const { done, value } = await steps.next()
        events.signal?.throwIfAborted()
        if (done) return (value as { commit: { oid: string } }).commit.oid
        if (value.event === 'phase' && value.phase === 'committing') await events.beforeCommit()
        if (value.event === 'fileProgress' && value.state === 'uploading' && value.progress === 1)
          events.onPresent(value.path)
      }
    } catch (error) {
      events.signal?.throwIfAborted()
      if (error instanceof BranchMergeError) throw error
      throw new BranchMergeError(
        'ERR_HUB_PROTOCOL',
        `The Hub did not take ${this.subject}: ${(error as Error).message}`,
        { cause: error },
      )
    }
  }

  private get repo() {
    return { type: 'model' as const, name: this.name.repository }
  }

  private common(writing: boolean) {
    return {
      hubUrl: this.transport.settings.endpoint,
      fetch: this.transport.fetchFor(this.subject, this.signal, { writing }),
      // The transport adds it.
      accessToken: '',
    }
  }
}
