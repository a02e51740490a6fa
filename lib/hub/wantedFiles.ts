import { isOfTokenizer, isSideFile } from '../checkpoint/sideFiles.js'
import { indexFileName, singleFileName } from '../checkpoint/weightFiles.js'
import { BranchMergeError, fromNative } from '../errors.js'
import { native } from '../native/native.js'
import type { RemoteFile } from './repository.js'

/** What of a repository is needed: a model's weights with what belongs to them, a tokenizer alone, or rows of data. */
export type Wanted = 'model' | 'tokenizer' | 'data'

/** Its licence and what it was made from are told in the card of what is made of it. */
const cardName = 'README.md'
const dataFile = /\.(jsonl|ndjson|json|parquet)(\.gz)?$/
const maxShards = 10_000

/** The files of a folder by their names in it. */
export function inFolder(files: readonly RemoteFile[], folder: string): Map<string, RemoteFile> {
  const prefix = folder === '' ? '' : `${folder}/`
  return new Map(
    files.flatMap((file) => (file.path.startsWith(prefix) ? [[file.path.slice(prefix.length), file] as const] : [])),
  )
}

/** What is small and belongs to a model or tokenizer; the index of the weights is among it. */
export function smallFiles(files: ReadonlyMap<string, RemoteFile>, wanted: 'model' | 'tokenizer'): RemoteFile[] {
  const isWanted = (name: string) =>
    wanted === 'tokenizer'
      ? isOfTokenizer(name)
      : isSideFile(name) || name === cardName || (name === indexFileName && !files.has(singleFileName))
  return [...files].filter(([name]) => isWanted(name)).map(([, file]) => file)
}

/** Python modules, which are only copied: all that lie beside the configuration. */
export const moduleFiles = (files: ReadonlyMap<string, RemoteFile>): RemoteFile[] =>
  [...files].filter(([name]) => !name.includes('/') && name.endsWith('.py')).map(([, file]) => file)

/** The weights: one file, or those that the index lists. `index`: its text. @throws ERR_HUB_NOT_FOUND, ERR_INDEX_* */
export function weightFiles(
  files: ReadonlyMap<string, RemoteFile>,
  index: Uint8Array | undefined,
  subject: string,
): RemoteFile[] {
  const single = files.get(singleFileName)
  if (single) return [single]
  if (!index) throw noWeights(files, subject)
  const names = shardNames(index, subject)
  const missing = names.filter((name) => !files.has(name))
  if (names.length > maxShards || missing.length > 0) {
    throw new BranchMergeError(
      'ERR_INDEX_SHARD_MISSING',
      `${indexFileName} of ${subject} lists ${names.length} shards but ${missing.length} of them are not there: ` +
        missing.slice(0, 10).join(', '),
    )
  }
  return names.map((name) => files.get(name) as RemoteFile)
}

function shardNames(index: Uint8Array, subject: string): string[] {
  try {
    const { weightMap } = native.parseIndex(`${indexFileName} of ${subject}`, index)
    return [...new Set(weightMap.map(([, file]) => file))].filter((name) => name.endsWith('.safetensors')).sort()
  } catch (error) {
    throw fromNative(error)
  }
}

function noWeights(files: ReadonlyMap<string, RemoteFile>, subject: string): BranchMergeError {
  const names = [...files.keys()]
  const below = names
    .filter((name) => name.endsWith(`/${singleFileName}`) || name.endsWith(`/${indexFileName}`))
    .map((name) => name.slice(0, name.lastIndexOf('/')))
  const some = (found: string[]) => found.slice(0, 5).join(', ') + (found.length > 5 ? ', …' : '')
  const ending = (pattern: RegExp) => names.filter((name) => pattern.test(name))
  const advice = names.includes('adapter_model.safetensors')
    ? 'it holds an adapter: merge that into its base first'
    : below.length > 0
      ? `name a folder of it that has: ${some(below)}`
      : ending(/\.gguf$/).length > 0
        ? `it holds GGUF files, ${some(ending(/\.gguf$/))}: take the safetensors that they come from`
        : ending(/\.(bin|pth?)$/).length > 0
          ? `it holds PyTorch pickles, ${some(ending(/\.(bin|pth?)$/))}: convert them to safetensors first`
          : `it holds ${some(names) || 'nothing'}`
  return new BranchMergeError(
    'ERR_CHECKPOINT_NOT_FOUND',
    `Expected ${singleFileName} or ${indexFileName} in ${subject}; ${advice}`,
  )
}

/** The files that a path of a data set names: one, those of a folder, or those that fit its last part with `*`. */
export function dataFiles(files: readonly RemoteFile[], path: string, subject: string): RemoteFile[] {
  const exact = files.find((file) => file.path === path)
  if (exact) return [exact]
  const found = path.includes('*')
    ? files.filter((file) => pattern(path).test(file.path))
    : [...inFolder(files, path)].filter(([name]) => dataFile.test(name) && !isMetadata(name)).map(([, file]) => file)
  if (!path.includes('*')) refuseSplits(found, subject)
  if (found.length > 0) return found
  throw new BranchMergeError(
    'ERR_HUB_NOT_FOUND',
    `Expected .jsonl, .json or .parquet files in ${subject} but there are none: it has ` +
      `${
        files
          .slice(0, 10)
          .map((file) => file.path)
          .join(', ') || 'no files'
      }`,
  )
}

/** How files are named that are a split's: train-00000-of-00002.parquet, math/test.jsonl, data/validation/0.parquet. */
const numbered = /-\d{5}-of-\d{5}(?=\.)/
const splitWord = /(?:^|[^a-z])(train|training|test|testing|eval|evaluation|val|valid|validation|dev)(?=$|[^a-z])/gi

/** Rows for a test would be trained on together with the others: a whole data set or folder is taken where it is one split. */
function refuseSplits(files: readonly RemoteFile[], subject: string): void {
  const splits = new Map<string, string>()
  for (const { path } of files) {
    const of = numbered.test(path) ? path.slice(0, path.search(numbered)) : [...path.matchAll(splitWord)].at(-1)?.[1]
    const name = of?.toLowerCase() ?? ''
    if (!splits.has(name)) splits.set(name, path)
  }
  if (splits.size < 2) return
  const some = [...splits.values()].slice(0, 5).join(', ') + (splits.size > 5 ? ', …' : '')
  throw new BranchMergeError(
    'ERR_DATA',
    `Expected files of one split but ${subject} has several: ${some}. Name a file or folder of it, or a pattern with *.`,
  )
}

/** Of the data set, not its rows. */
const isMetadata = (name: string): boolean => /(^|\/)(dataset_infos?|dataset_dict|state)\.json$/.test(name)

const pattern = (path: string): RegExp =>
  new RegExp(
    `^${path
      .split('*')
      .map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
      .join('[^/]*')}$`,
  )
