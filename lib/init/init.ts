import { constants, copyFile, mkdir, rename, rm, rmdir, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { type ConfigJson, decoderShape, type Family, families, readConfigJson } from '../checkpoint/decoderShape.js'
import { type DecoderTensor, decoderTensors } from '../checkpoint/decoderTensors.js'
import { torchName } from '../checkpoint/dtypes.js'
import { readJsonObject } from '../checkpoint/readConfig.js'
import { isOfTokenizer, listSideFiles } from '../checkpoint/sideFiles.js'
import { singleFileName } from '../checkpoint/weightFiles.js'
import { BranchMergeError } from '../errors.js'
import { makeDirectory, sync, write, writeNew } from '../files/durableFiles.js'
import { checkFreeSpace, examineOutput } from '../files/outputDirectory.js'
import { keepAlive, newToken, partialSuffix } from '../files/owners.js'
import type { DownloadOptions, DownloadProgress } from '../hub/download.js'
import { fetchPlaces } from '../hub/hub.js'
import { hubNameText, isHubName, parseHubName, placeFromFile } from '../hub/hubName.js'
import {
  checkChoice,
  checkFunction,
  checkInteger,
  checkOptionNames,
  checkPath,
  checkSignal,
  invalidArgument,
} from '../validate.js'
import { configOfSize, type SizeName, sizeNames } from './modelSizes.js'
import { leastVocabulary, mostVocabulary, trainTokenizer } from './trainTokenizer.js'
import { elements, type NewDtype, newDtypes, writeNewWeights } from './writeNewWeights.js'

/** What a new model is made of: a configuration or a size, and a tokenizer or text to train one on. */
export interface InitOptions {
  /** Directory to write; new or empty. */
  out: string
  /** A config.json of Qwen2, Llama or Qwen3, or the name of a model that has one. Either this or {@link InitOptions.size}. */
  config?: string | undefined
  /** Instead of a configuration: a small model of about so many parameters with a vocabulary of 4096. */
  size?: SizeName | undefined
  /** With a size. Default: 'qwen2'. */
  family?: Family | undefined
  /** A directory with a tokenizer or its name, or a tokenizer.json. Either this or {@link InitOptions.trainTokenizer}. */
  tokenizer?: string | undefined
  /** UTF-8 text files to train a byte-level BPE tokenizer on. */
  trainTokenizer?: readonly string[] | undefined
  /** Ids of the tokenizer to train, special tokens among them. From 259. */
  vocabularySize?: number | undefined
  /** Decides all weights. From 0 to 2⁵³ − 1. Default: 42. */
  seed?: number | undefined
  /** Default: 'BF16'. */
  dtype?: NewDtype | undefined
  signal?: AbortSignal | undefined
  /** Called now and then while a tokenizer or configuration of the Hub is fetched. */
  onDownload?: ((progress: DownloadProgress) => void) | undefined
}

/** What was made. */
export interface InitSummary {
  out: string
  family: Family
  parameters: number
  tensors: number
  vocabularySize: number
  dtype: NewDtype
  seed: number
}

/** A tokenizer's files, each a text to write or a file to copy. */
interface Tokenizer {
  files: Map<string, { text: string } | { source: string }>
  /** Highest id and one. */
  size: number
  ids: Record<string, number | null> | undefined
}

const optionNames = [
  'out',
  'config',
  'size',
  'family',
  'tokenizer',
  'trainTokenizer',
  'vocabularySize',
  'seed',
  'dtype',
  'signal',
  'onDownload',
] as const satisfies (keyof InitOptions)[]

/**
 * Makes a checkpoint of random weights: matrices normal with the configuration's `initializer_range`, norms 1, biases 0. The
 * same options give the same bytes. A text at a time and a part of a tensor at a time are in memory.
 *
 * @throws ERR_INVALID_ARGUMENT, ERR_CONFIG_JSON, ERR_FILE_READ, ERR_OUTPUT_EXISTS, ERR_OUTPUT_WRITE, ERR_DISK_FULL, ERR_HUB_*; then
 *   nothing is left in the directory
 */
export async function init(given: InitOptions): Promise<InitSummary> {
  checkOptionNames(given, optionNames)
  const out = checkPath(given.out, 'out')
  const dtype = given.dtype === undefined ? 'BF16' : checkChoice(given.dtype, 'dtype', newDtypes)
  const seed = given.seed === undefined ? 42 : checkInteger(given.seed, 'seed', 0, Number.MAX_SAFE_INTEGER)
  const signal = checkSignal(given.signal)
  const onProgress = checkFunction(given.onDownload as InitOptions['onDownload'], 'onDownload')
  checkAlternatives(given)
  await examineOutput(out, undefined)
  const options = await fetchNamed(given, { signal, onProgress })
  const tokenizer = await tokenizerOf(options, signal)
  const config = await configOf(options, tokenizer)
  const shape = decoderShape(config, given.config ?? 'the configuration')
  refuseSmallVocabulary(shape.vocabularySize, tokenizer.size, given.config)
  const tensors = decoderTensors(shape)
  const parameters = tensors.reduce((total, tensor) => total + elements(tensor), 0)
  await checkFreeSpace(out, parameters * (dtype === 'F32' ? 4 : 2))
  const text = `${JSON.stringify({ ...config, tie_word_embeddings: shape.tied, torch_dtype: torchName(dtype) }, null, 2)}\n`
  tokenizer.files.set('config.json', { text })
  const weights = { tensors, seed, dtype, deviation: shape.initializerRange, signal }
  await writeNewCheckpoint(out, tokenizer.files, weights)
  const { family, vocabularySize } = shape
  return { out, family, parameters, tensors: tensors.length, vocabularySize, dtype, seed }
}

function checkAlternatives({ config, size, family, tokenizer, trainTokenizer, vocabularySize }: InitOptions): void {
  if ((config === undefined) === (size === undefined)) {
    throw new BranchMergeError(
      'ERR_INVALID_ARGUMENT',
      `Expected a configuration (--config) or a size (--size) but received ${config === undefined ? 'neither' : 'both'}`,
    )
  }
  if (config !== undefined) checkPath(config, 'config')
  if (size !== undefined) checkChoice(size, 'size', sizeNames)
  if (family !== undefined) checkChoice(family, 'family', families)
  if (family !== undefined && size === undefined)
    throw invalidArgument('nothing beside a configuration', 'family', family)
  if ((tokenizer === undefined) === (trainTokenizer === undefined)) {
    throw new BranchMergeError(
      'ERR_INVALID_ARGUMENT',
      'Expected a tokenizer (--tokenizer) or text to train one on (--train-tokenizer) ' +
        `but received ${tokenizer === undefined ? 'neither' : 'both'}`,
    )
  }
  if (trainTokenizer === undefined) {
    checkPath(tokenizer, 'tokenizer')
    if (vocabularySize !== undefined)
      throw invalidArgument('nothing beside a tokenizer', 'vocabularySize', vocabularySize)
    return
  }
  if (!Array.isArray(trainTokenizer) || trainTokenizer.length === 0) {
    throw invalidArgument('a list of text files', 'trainTokenizer', trainTokenizer)
  }
  for (const path of trainTokenizer) checkPath(path, 'trainTokenizer')
  checkInteger(vocabularySize, 'vocabularySize (--vocab-size)', leastVocabulary, mostVocabulary)
}

/** With paths for what is named on the Hub; of a model its configuration. */
async function fetchNamed(options: InitOptions, fetching: DownloadOptions): Promise<InitOptions> {
  const { config, tokenizer } = options
  const [configuration, files] = await fetchPlaces(
    [
      { place: config === undefined ? '' : configPlace(config), wanted: 'model' },
      { place: tokenizer === undefined ? '' : placeFromFile(tokenizer, '.', 'model'), wanted: 'tokenizer' },
    ],
    fetching,
  )
  return {
    ...options,
    config: config === undefined ? undefined : configuration?.paths[0],
    tokenizer: tokenizer === undefined ? undefined : files?.paths[0],
  }
}

function configPlace(config: string): string {
  const place = placeFromFile(config, '.', 'model')
  const name = isHubName(place) ? parseHubName(place, 'model') : undefined
  if (!name || name.path.endsWith('.json')) return place
  return hubNameText({ ...name, path: name.path === '' ? 'config.json' : `${name.path}/config.json` })
}

async function configOf(
  { config, size, family, trainTokenizer: trained }: InitOptions,
  tokenizer: Tokenizer,
): Promise<ConfigJson> {
  if (config !== undefined) return { ...(await readConfigJson(config)), ...(trained ? tokenizer.ids : {}) }
  return { ...configOfSize(size as SizeName, family ?? 'qwen2'), vocab_size: tokenizer.size, ...tokenizer.ids }
}

async function tokenizerOf(options: InitOptions, signal: AbortSignal | undefined): Promise<Tokenizer> {
  if (options.tokenizer !== undefined) return await existingTokenizer(options.tokenizer)
  const { trainTokenizer: paths, vocabularySize } = options
  const trained = await trainTokenizer(paths as string[], vocabularySize as number, signal)
  const files = Object.entries(trained.files).map(([name, text]) => [name, { text }] as const)
  return {
    files: new Map(files),
    size: trained.vocabularySize,
    ids: { bos_token_id: null, eos_token_id: trained.eosTokenId, pad_token_id: trained.padTokenId },
  }
}

/** The files of a tokenizer in a directory, or one tokenizer.json. */
async function existingTokenizer(path: string): Promise<Tokenizer> {
  const isDirectory = (await stat(path).catch(() => undefined))?.isDirectory() ?? false
  const main = isDirectory ? join(path, 'tokenizer.json') : path
  if (!isDirectory && basename(path) !== 'tokenizer.json') {
    throw invalidArgument('a directory, or the file tokenizer.json,', 'tokenizer', path)
  }
  const directory = isDirectory ? path : join(path, '..')
  const size = await tokenizerSize(main)
  const names = isDirectory ? (await listSideFiles(directory)).filter(isOfTokenizer) : ['tokenizer.json']
  const files = names.map((name) => [name, { source: join(directory, name) }] as const)
  return { files: new Map(files), size, ids: await tokenizerIds(main, isDirectory ? directory : undefined) }
}

interface TokenizerJson {
  model?: { vocab?: unknown }
  added_tokens?: { id?: unknown; content?: unknown }[]
}

async function readTokenizer(main: string): Promise<TokenizerJson> {
  const file = await readJsonObject(main)
  if (!file) throw new BranchMergeError('ERR_FILE_READ', `Expected a tokenizer but there is no file ${main}`)
  return file.json as TokenizerJson
}

/** One more than the highest id. */
async function tokenizerSize(main: string): Promise<number> {
  const { model, added_tokens = [] } = await readTokenizer(main)
  const { vocab } = model ?? {}
  const ids = Array.isArray(vocab)
    ? [vocab.length - 1]
    : typeof vocab === 'object' && vocab !== null
      ? Object.values(vocab)
      : []
  const highest = [...ids, ...added_tokens.map(({ id }) => id)].reduce<number>(
    (most, id) => (Number.isSafeInteger(id) ? Math.max(most, id as number) : most),
    -1,
  )
  if (highest >= 0) return highest + 1
  throw new BranchMergeError('ERR_CONFIG_JSON', `Expected a vocabulary in ${main}`)
}

/** Ids of the tokens that tokenizer_config.json names; only what config.json has of them is of interest. */
async function tokenizerIds(main: string, directory: string | undefined): Promise<Tokenizer['ids']> {
  const config = directory === undefined ? undefined : await readJsonObject(join(directory, 'tokenizer_config.json'))
  if (!config) return undefined
  const { model, added_tokens = [] } = await readTokenizer(main)
  const vocabulary = (model?.vocab ?? {}) as Record<string, number>
  const idOf = (token: unknown): number | null => {
    const content = typeof token === 'object' && token !== null ? (token as { content?: unknown }).content : token
    if (typeof content !== 'string') return null
    const added = added_tokens.find((each) => each.content === content)?.id
    return typeof added === 'number' ? added : (vocabulary[content] ?? null)
  }
  const { bos_token, eos_token, pad_token } = config.json
  return { bos_token_id: idOf(bos_token), eos_token_id: idOf(eos_token), pad_token_id: idOf(pad_token) }
}

function refuseSmallVocabulary(vocabularySize: number, needed: number, config: string | undefined): void {
  if (vocabularySize >= needed) return
  throw new BranchMergeError(
    'ERR_CONFIG_JSON',
    `Expected at least ${needed} for vocab_size in ${config}, which the tokenizer has ids for, but received ${vocabularySize}`,
  )
}

/** Writes all files under temporary names, then names them, the weights last: what looks complete is. */
async function writeNewCheckpoint(
  out: string,
  files: Tokenizer['files'],
  {
    tensors,
    ...weights
  }: { tensors: DecoderTensor[]; seed: number; deviation: number; dtype: NewDtype; signal: AbortSignal | undefined },
): Promise<void> {
  const directory = resolve(out)
  const { exists, leftovers } = await examineOutput(directory, undefined)
  if (!exists) await makeDirectory(directory)
  for (const name of leftovers) await rm(join(directory, name), { force: true })
  const token = newToken()
  const partial = (name: string) => join(directory, `${name.replaceAll('/', '%2F')}.${token}${partialSuffix}`)
  const names = [...files.keys(), singleFileName]
  const rest = keepAlive(() => names.map(partial))
  try {
    for (const [name, content] of files) {
      await write(partial(name), () =>
        'text' in content
          ? writeNew(partial(name), content.text)
          : copyFile(content.source, partial(name), constants.COPYFILE_EXCL),
      )
      await sync(partial(name))
    }
    await writeNewWeights(partial(singleFileName), tensors, weights)
    await sync(directory)
    for (const name of names) {
      await write(directory, async () => {
        await mkdir(dirname(join(directory, name)), { recursive: true })
        await rename(partial(name), join(directory, name))
      })
      if (name.includes('/')) await sync(dirname(join(directory, name)))
    }
    await sync(directory)
  } catch (error) {
    for (const name of names) {
      await rm(partial(name), { force: true })
      await rm(join(directory, name), { force: true })
      if (name.includes('/')) await rmdir(dirname(join(directory, name))).catch(() => {})
    }
    if (!exists) await rmdir(directory).catch(() => {}) // the error at hand says more
    throw error
  } finally {
    rest()
  }
}
