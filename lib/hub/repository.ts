import { BranchMergeError } from '../errors.js'
import { nearestName } from '../validate.js'
import type { HubName } from './hubName.js'
import type { Transport } from './transport.js'

/** A file of a repository at one commit. */
export interface RemoteFile {
  /** Within the repository. */
  path: string
  bytes: number
  /** Its name among the cache's blobs: the SHA-256 of a large file, Git's SHA-1 of another. */
  blob: string
  hash: 'sha256' | 'git'
}

const isCommit = (revision: string): boolean => /^[0-9a-f]{40}$/.test(revision)

/** How messages call a repository: "the model org/name". */
export const subjectOf = ({ kind, repository }: Pick<HubName, 'kind' | 'repository'>): string =>
  `the ${kind === 'model' ? 'model' : 'data set'} ${repository}`

/**
 * The commit that a name means now.
 *
 * @throws ERR_HUB_NOT_FOUND with a near name of the same owner where there is one, ERR_HUB_ACCESS, ERR_HUB_UNAVAILABLE
 */
export async function commitOf(name: HubName, transport: Transport, signal: AbortSignal | undefined): Promise<string> {
  const { datasetInfo, modelInfo } = await import('@huggingface/hub')
  const { kind, repository, revision = 'main' } = name
  const ask = {
    name: repository,
    revision,
    additionalFields: ['sha' as const],
    hubUrl: transport.settings.endpoint,
    fetch: transport.fetchFor(subjectOf(name), signal),
  }
  const { sha } = await (kind === 'model' ? modelInfo(ask) : datasetInfo(ask)).catch(async (error) => {
    throw await withNearName(error, name, transport, signal)
  })
  if (typeof sha === 'string' && isCommit(sha)) return sha
  throw new BranchMergeError(
    'ERR_HUB_PROTOCOL',
    `Expected the Hub to say which commit ${revision} of ${subjectOf(name)} is, but it does not`,
  )
}

async function withNearName(
  error: unknown,
  name: HubName,
  transport: Transport,
  signal: AbortSignal | undefined,
): Promise<unknown> {
  if (!(error instanceof BranchMergeError) || error.code !== 'ERR_HUB_NOT_FOUND') return error
  if (!error.message.startsWith('The Hub has no m') && !error.message.startsWith('The Hub has no d')) return error
  const [owner = ''] = name.repository.split('/')
  const url = `${transport.settings.endpoint}/api/${name.kind}s?author=${encodeURIComponent(owner)}&limit=500`
  const known = await transport
    .text(url, { subject: subjectOf(name), signal })
    .then(({ text }) => (JSON.parse(text) as { id?: unknown }[]).map(({ id }) => String(id)))
    .catch((): string[] => [])
  signal?.throwIfAborted()
  const near = nearestName(name.repository, known)
  return near ? new BranchMergeError(error.code, `${error.message}: did you mean ${near}?`) : error
}

/**
 * The files of a repository at a commit, of the folder of the name if it has one, by path.
 *
 * @throws ERR_HUB_PROTOCOL for names that lead elsewhere, and as {@link commitOf}
 */
export async function listRepository(
  name: HubName,
  commit: string,
  folder: string,
  transport: Transport,
  signal: AbortSignal | undefined,
): Promise<RemoteFile[]> {
  const { listFiles } = await import('@huggingface/hub')
  const { kind, repository } = name
  const subject = `${subjectOf(name)}${folder === '' ? '' : `, ${folder}`}`
  const entries = listFiles({
    repo: { type: kind, name: repository },
    recursive: true,
    revision: commit,
    ...(folder === '' ? {} : { path: folder.split('/').map(encodeURIComponent).join('/') }),
    hubUrl: transport.settings.endpoint,
    fetch: transport.fetchFor(subject, signal),
  })
  const files: RemoteFile[] = []
  for await (const { type, path, size, oid, lfs } of entries) {
    if (type !== 'file') continue
    const file: RemoteFile = lfs
      ? { path, bytes: lfs.size, blob: lfs.oid, hash: 'sha256' }
      : { path, bytes: size, blob: oid ?? '', hash: 'git' }
    files.push(checkFile(file, name))
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** The cache is written by these: what a server says must lead nowhere else. */
function checkFile(file: RemoteFile, name: HubName): RemoteFile {
  const { path, bytes, blob, hash } = file
  const parts = typeof path === 'string' ? path.split('/') : ['']
  const isSafe = parts.every((part) => part !== '' && part !== '.' && part !== '..' && !/[\\\0]/.test(part))
  const isHash = hash === 'sha256' ? /^[0-9a-f]{64}$/.test(blob) : /^[0-9a-f]{40}$/.test(blob)
  if (isSafe && isHash && Number.isSafeInteger(bytes) && bytes >= 0) return file
  throw new BranchMergeError(
    'ERR_HUB_PROTOCOL',
    `Expected a file with its size and hash in the Hub's list of ${subjectOf(name)} but received ${JSON.stringify(file)}`,
  )
}

/** Where a file of a repository is fetched. */
export function resolveUrl(name: HubName, commit: string, path: string, endpoint: string): string {
  const type = name.kind === 'model' ? '' : 'datasets/'
  return `${endpoint}/${type}${name.repository}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`
}
