import { existsSync } from 'node:fs'
import { BranchMergeError } from '../errors.js'
import { pathFromFile } from '../pathFromFile.js'

export type RepositoryKind = 'model' | 'dataset'

/** What a name says of the Hub. */
export interface HubName {
  kind: RepositoryKind
  /** org/name */
  repository: string
  /** A branch, a tag, a commit or refs/pr/N; undefined: main. */
  revision: string | undefined
  /** Folder, file or, of data, pattern with `*` within the repository; '' for the whole. */
  path: string
}

/** Where something came from: enough to have the same again. */
export interface HubOrigin {
  /** In the full form, with the commit: hf://models/org/name/folder@commit */
  name: string
  /** The revision that was asked for, where it was no commit. */
  revision: string
}

const scheme = 'hf://'
const part = '[A-Za-z0-9][\\w.-]*'
const bareName = new RegExp(`^(${part}/${part})(?:@([^@\\s]+))?$`)
/** Of these nobody names a repository, and everybody a file. */
const fileEnding = /\.(safetensors|gguf|bin|pth?|ckpt|ya?ml|jsonl?|ndjson|parquet|csv|txt|gz)$/i
/** Revisions with slashes in them; the slash of others is written %2F. */
const longRevision = /^refs\/(?:pr|convert)\/[^/]+/

/** Whether a text is a name in the full form, which no file has. */
export const isHubName = (text: string): boolean => text.startsWith(scheme)

/**
 * The name that a text is: `org/name`, `org/name@revision`, `hf://models/org/name/folder@revision`,
 * `hf://datasets/org/name@revision/file`. Undefined for what can only be a path.
 *
 * @throws ERR_INVALID_ARGUMENT for hf:// that names nothing
 */
export function parseHubName(text: string, kind: RepositoryKind): HubName | undefined {
  if (isHubName(text)) return parseFull(text)
  const [, repository, revision] = bareName.exec(text) ?? []
  if (repository === undefined || fileEnding.test(repository)) return undefined
  return { kind, repository, revision: revision === undefined ? undefined : decode(revision, text), path: '' }
}

function parseFull(text: string): HubName {
  const rest = text.slice(scheme.length)
  const [, type, named = ''] = /^(?:(models|datasets)\/)?(.*)$/s.exec(rest) ?? []
  const [, repository = '', behind = ''] = new RegExp(`^(${part}/${part})(.*)$`, 's').exec(named) ?? []
  const { revision, path } = splitRevision(behind)
  const isSound = repository !== '' && /^(\/|$)/.test(path) && !/(^|\/)\.{1,2}(\/|$)|\/\/|[\0\\]/.test(path)
  if (!isSound || revision === '' || revision?.includes('..')) {
    throw new BranchMergeError(
      'ERR_INVALID_ARGUMENT',
      `Expected hf://models/ORG/NAME[/FOLDER][@REVISION] or hf://datasets/ORG/NAME[/FILE][@REVISION] but received ${text}`,
    )
  }
  return {
    kind: type === 'datasets' ? 'dataset' : 'model',
    repository,
    revision: revision === undefined ? undefined : decode(revision, text),
    path: path.replace(/^\/|\/$/g, ''),
  }
}

/** The revision stands behind the name, as in addresses of the Hub's own tools, or at the end. */
function splitRevision(behind: string): { revision: string | undefined; path: string } {
  const at = behind.indexOf('@')
  if (at < 0) return { revision: undefined, path: behind }
  const after = behind.slice(at + 1)
  if (at > 0) return { revision: after, path: behind.slice(0, at) }
  const revision = longRevision.exec(after)?.[0] ?? (after.split('/')[0] as string)
  return { revision, path: after.slice(revision.length) }
}

function decode(revision: string, text: string): string {
  try {
    return decodeURIComponent(revision)
  } catch {
    throw new BranchMergeError('ERR_INVALID_ARGUMENT', `Expected a revision behind @ but received ${text}`)
  }
}

/** A name in the full form, which means the same wherever it is read. */
export function hubNameText({ kind, repository, revision, path }: HubName): string {
  const behind =
    revision === undefined ? '' : `@${longRevision.test(revision) ? revision : revision.replaceAll('/', '%2F')}`
  return `${scheme}${kind}s/${repository}${path === '' ? '' : `/${path}`}${behind}`
}

/** The name, with its commit, of what a path of a cache leads to. Undefined for other paths. */
export function nameInCache(path: string): string | undefined {
  const [, kind, owner, name, commit, within = ''] = inSnapshot.exec(path) ?? []
  if (commit === undefined) return undefined
  const repository = `${owner}/${name}`
  return hubNameText({ kind: kind as RepositoryKind, repository, revision: commit, path: within })
}

const inSnapshot = /(?:^|\/)(model|dataset)s--([^/]+?)--([^/]+)\/snapshots\/([0-9a-f]{40})(?:\/(.+?))?\/?$/

/**
 * What stands in a file, or was given, as the place of a model or of data: the path of what lies there; or, where nothing
 * does and the text can name something on the Hub, that name in the full form.
 *
 * @param directory - what relative paths start from
 * @throws ERR_INVALID_ARGUMENT
 */
export function placeFromFile(text: string, directory: string, kind: RepositoryKind): string {
  if (isHubName(text)) return hubNameText(parseFull(text))
  const path = pathFromFile(text, directory)
  const name = parseHubName(text, kind)
  return name && !existsSync(path) ? hubNameText(name) : path
}
