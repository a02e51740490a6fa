import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { BranchMergeError } from '../errors.js'
import { readFailure } from '../files/readSmallFile.js'

export interface SourceFile {
  path: string
  kind: 'lines' | 'json' | 'parquet'
  gzip: boolean
  bytes: number
  modified: number
}

const endings = /\.(jsonl|ndjson|json|parquet)(\.gz)?$/

/**
 * The files that paths name: a file, the data files of a directory by name, or those whose name fits one with `*`.
 *
 * @throws ERR_FILE_READ, or ERR_DATA when there is none or one of another kind
 */
export async function listSourceFiles(paths: readonly string[]): Promise<SourceFile[]> {
  const files: SourceFile[] = []
  for (const path of paths) for (const file of await expand(path)) files.push(await describe(file))
  return files
}

async function expand(path: string): Promise<string[]> {
  if (basename(path).includes('*')) return namesIn(dirname(path), namePattern(basename(path)), path)
  const found = await stat(path).catch((cause) => {
    throw readFailure(path, cause)
  })
  return found.isDirectory() ? namesIn(path, endings, path) : [path]
}

/** Names that fit one with `*`. */
export const namePattern = (name: string): RegExp =>
  new RegExp(
    `^${name
      .split('*')
      .map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
      .join('.*')}$`,
  )

async function namesIn(directory: string, wanted: RegExp, path: string): Promise<string[]> {
  const names = await readdir(directory).catch((cause) => {
    throw readFailure(directory, cause)
  })
  const fitting = names.filter((name) => wanted.test(name)).sort()
  if (fitting.length > 0) return fitting.map((name) => join(directory, name))
  throw new BranchMergeError('ERR_DATA', `Expected .jsonl, .json or .parquet files at ${path} but there are none`)
}

async function describe(path: string): Promise<SourceFile> {
  const [, ending, compressed] = endings.exec(path) ?? []
  if (!ending || (ending === 'parquet' && compressed)) {
    throw new BranchMergeError(
      'ERR_DATA',
      `Expected a .jsonl, .json or .parquet file (the first two also with .gz) but received ${path}`,
    )
  }
  const { size, mtimeMs } = await stat(path).catch((cause) => {
    throw readFailure(path, cause)
  })
  const kind = ending === 'parquet' ? 'parquet' : ending === 'json' ? 'json' : 'lines'
  return { path, kind, gzip: compressed !== undefined, bytes: size, modified: mtimeMs }
}

/** @throws ERR_FILE_CHANGED when a file is not as it was when it was found */
export async function checkUnchanged(files: readonly SourceFile[]): Promise<void> {
  for (const { path, bytes, modified } of files) {
    const now = await stat(path).catch((cause) => {
      throw readFailure(path, cause)
    })
    if (now.size === bytes && now.mtimeMs === modified) continue
    throw new BranchMergeError('ERR_FILE_CHANGED', `${path} was changed while it was read. Run the command again.`)
  }
}
