import { mkdir, mkdtemp, open, readdir, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { readConfig, readJsonObject } from '../checkpoint/readConfig.js'
import { isOfTokenizer } from '../checkpoint/sideFiles.js'
import { indexFileName, singleFileName } from '../checkpoint/weightFiles.js'
import { BranchMergeError } from '../errors.js'
import { outputFailure } from '../files/outputDirectory.js'
import { readSmallFile } from '../files/readSmallFile.js'
import { CachedRepository } from './cache.js'
import { Download, type DownloadOptions, Source } from './download.js'
import { type HubName, type HubOrigin, hubNameText, isHubName, parseHubName } from './hubName.js'
import { allOrAbort, Limiter } from './limiter.js'
import { commitOf, listRepository, type RemoteFile, subjectOf } from './repository.js'
import { type HubSettings, hubSettings } from './settings.js'
import { Transport } from './transport.js'
import { dataFiles, inFolder, moduleFiles, smallFiles, type Wanted, weightFiles } from './wantedFiles.js'

/** A name whose commit is known. */
export interface PinnedName {
  name: HubName
  commit: string
  origin: HubOrigin
}

/** An index of the largest models. */
const maxIndexBytes = 64 * 2 ** 20
/** Of a header without its length: the most that the reader takes. */
const maxHeaderBytes = 100_000_000
const headerConnections = 16

/** Models and data of the Hub, by name. Close it. */
export class Hub {
  private readonly transport: Transport
  /** By kind, repository, commit and folder. */
  private readonly lists = new Map<string, Promise<RemoteFile[]>>()
  private readonly pins = new Map<string, Promise<PinnedName>>()

  constructor(
    private readonly settings: HubSettings = hubSettings(),
    private readonly options: DownloadOptions = {},
  ) {
    this.transport = new Transport(settings)
  }

  async close(): Promise<void> {
    await this.transport.close()
  }

  /**
   * The commit that a name means. What the cache has whole under a name without a revision, or by a commit, is taken without
   * a request, and with HF_HUB_OFFLINE everything; else the Hub is asked, also what a branch is that is named.
   *
   * @throws ERR_INVALID_ARGUMENT, ERR_HUB_*
   */
  pin(text: string, wanted: Wanted): Promise<PinnedName> {
    const key = `${wanted} ${text}`
    const known = this.pins.get(key) ?? this.findPin(text, wanted)
    this.pins.set(key, known)
    return known
  }

  private async findPin(text: string, wanted: Wanted): Promise<PinnedName> {
    const name = parseHubName(text, wanted === 'data' ? 'dataset' : 'model')
    if (!name)
      throw new BranchMergeError('ERR_INVALID_ARGUMENT', `Expected the name of a model or data set, not ${text}`)
    const revision = name.revision ?? 'main'
    const cached = await this.cacheOf(name).commit(revision)
    const isFixed = name.revision === undefined || cached === revision
    if (cached !== undefined && (this.settings.offline || (isFixed && (await this.isWhole(name, cached, wanted))))) {
      return pinned(name, revision, cached)
    }
    // A commit is what it is; whether there is one is told by its files.
    if (cached === revision) return pinned(name, revision, cached)
    const commit = await commitOf(name, this.transport, this.options.signal).catch((error) => {
      throw unreachable(error, name)
    })
    return pinned(name, revision, commit)
  }

  /**
   * Fetches what is needed, where it is not in the cache.
   *
   * @returns the path of the folder or file in the cache; of data, of all its files
   * @throws ERR_HUB_*, ERR_DISK_FULL, ERR_OUTPUT_WRITE, and what the files themselves have; the signal's reason after an abort
   */
  async fetch(pin: PinnedName, wanted: Wanted): Promise<string[]> {
    const { name, commit } = pin
    const cache = this.cacheOf(name)
    const local = join(cache.snapshot(commit), name.path)
    if (wanted !== 'data' && (await this.isWhole(name, commit, wanted))) return [local]
    if (this.settings.offline) return await this.offline(pin, wanted)
    if (wanted === 'data') {
      const files = dataFiles(await this.list(pin, ''), name.path, subjectOf(name))
      await this.download(pin, files)
      return files.map(({ path }) => join(cache.snapshot(commit), path))
    }
    const listed = await this.list(pin, '')
    const single = listed.find(({ path }) => path === name.path)
    if (single) await this.download(pin, [single])
    else {
      const files = await this.small(pin, wanted)
      if (wanted === 'model') await this.download(pin, await this.weights(pin, files))
    }
    return [local]
  }

  /**
   * Lays out in a new directory what tells all about a model but its tensors: its small files, and for each file of weights one
   * of the same size with the same header and without bytes behind it. A few megabytes are read of the largest models.
   *
   * @throws as {@link fetch}
   */
  async layOut(pin: PinnedName, directory: string): Promise<string> {
    const { name, commit } = pin
    const cache = this.cacheOf(name)
    if (await this.isWhole(name, commit, 'model')) return join(cache.snapshot(commit), name.path)
    if (this.settings.offline) return (await this.offline(pin, 'model'))[0] as string
    const listed = await this.list(pin, '')
    const single = listed.find(({ path }) => path === name.path)
    const folder = join(
      directory,
      `${name.kind}s`,
      `${name.repository}@${commit}`,
      single ? dirname(name.path) : name.path,
    )
    await mkdir(folder, { recursive: true })
    const files = single ? new Map<string, RemoteFile>() : await this.small(pin, 'model')
    const weights = single ? [single] : await this.weights(pin, files)
    const names = new Map([...files].map(([own, file]) => [file.path, own]))
    const small = [...files.values()].filter((file) => !weights.includes(file))
    for (const { path } of small) {
      if (!(await cache.has(commit, path))) continue
      const to = join(folder, names.get(path) as string)
      await mkdir(dirname(to), { recursive: true })
      await symlink(join(cache.snapshot(commit), path), to)
    }
    const turns = new Limiter(headerConnections)
    await allOrAbort(weights, this.options.signal, (file, signal) =>
      turns.run(async () => {
        signal.throwIfAborted()
        const to = join(folder, names.get(file.path) ?? basename(file.path))
        if (await cache.has(commit, file.path)) await symlink(join(cache.snapshot(commit), file.path), to)
        else await this.layOutHeader(pin, file, to, signal)
      }),
    )
    return single ? join(folder, basename(name.path)) : folder
  }

  private async layOutHeader({ name, commit }: PinnedName, file: RemoteFile, path: string, signal: AbortSignal) {
    const source = new Source(name, commit, file, this.transport)
    const read = async (begin: number, end: number) => {
      const pieces: Buffer[] = []
      for await (const chunks of source.read(begin, end, signal)) pieces.push(...chunks)
      return Buffer.concat(pieces)
    }
    const first = await read(0, Math.min(file.bytes, firstBytes))
    const length = first.length < 8 ? 0 : Number(first.readBigUInt64LE())
    // What is not a header is for the reader to refuse, with the words that it has for it.
    const end = Math.min(file.bytes, 8 + Math.min(length, maxHeaderBytes))
    const rest = end > first.length ? await read(first.length, end) : Buffer.alloc(0)
    try {
      const handle = await open(path, 'wx')
      try {
        await handle.writeFile(Buffer.concat([first.subarray(0, end), rest]))
        await handle.truncate(file.bytes)
      } finally {
        await handle.close()
      }
    } catch (cause) {
      throw outputFailure(path, cause as NodeJS.ErrnoException)
    }
  }

  private cacheOf(name: HubName): CachedRepository {
    return new CachedRepository(this.settings.cache, name)
  }

  private list({ name, commit }: PinnedName, folder: string): Promise<RemoteFile[]> {
    const key = [name.kind, name.repository, commit, folder].join(' ')
    const known =
      this.lists.get(key) ??
      listRepository(name, commit, folder, this.transport, this.options.signal).catch((error) => {
        throw unreachable(error, name)
      })
    this.lists.set(key, known)
    return known
  }

  private async download(pin: PinnedName, files: readonly RemoteFile[]): Promise<void> {
    const { name, commit, origin } = pin
    const cache = this.cacheOf(name)
    await new Download(name, commit, cache, this.transport, this.options).fetch(files)
    if (files.length > 0 && !(await this.isReadOnly(cache))) await cache.writeRef(origin.revision, commit)
  }

  private async isReadOnly(cache: CachedRepository): Promise<boolean> {
    return await cache.checkWritable().then(
      () => false,
      () => true,
    )
  }

  /** Fetches the small files of a folder and returns all of its files by name. */
  private async small(pin: PinnedName, wanted: 'model' | 'tokenizer'): Promise<Map<string, RemoteFile>> {
    const { name, commit } = pin
    const files = inFolder(await this.list(pin, ''), name.path)
    if (files.size === 0) throw this.notThere(pin)
    const small = smallFiles(files, wanted)
    // Before anything is fetched: a repository of another kind is not worth its files.
    if (wanted === 'model' && !files.has(indexFileName)) weightFiles(files, undefined, subjectOf(name))
    await this.download(pin, small)
    const folder = join(this.cacheOf(name).snapshot(commit), name.path)
    if (wanted === 'model' && (await namesModules(folder))) await this.download(pin, moduleFiles(files))
    const kept = new Set([...small, ...moduleFiles(files)])
    return new Map([...files].filter(([own, file]) => kept.has(file) || own.endsWith('.safetensors')))
  }

  private async weights(pin: PinnedName, files: ReadonlyMap<string, RemoteFile>): Promise<RemoteFile[]> {
    const { name, commit } = pin
    const index = files.has(singleFileName)
      ? undefined
      : await readSmallFile(
          join(this.cacheOf(name).snapshot(commit), name.path, indexFileName),
          maxIndexBytes,
          'ERR_INDEX_JSON',
        )
    return weightFiles(files, index, subjectOf(name))
  }

  private notThere({ name, origin }: PinnedName): BranchMergeError {
    return new BranchMergeError('ERR_HUB_NOT_FOUND', `${subjectOf(name)} has no ${name.path} (${origin.name})`)
  }

  /** Whether the cache has all of it, as far as the files themselves tell. */
  private async isWhole(name: HubName, commit: string, wanted: Wanted): Promise<boolean> {
    if (wanted === 'data') return false
    const folder = join(this.cacheOf(name).snapshot(commit), name.path)
    const found = await stat(folder).catch(() => undefined)
    if (found?.isFile()) return true
    const names = await readdir(folder).catch((): string[] => [])
    if (!names.some((each) => isOfTokenizer(each))) return false
    if (wanted === 'tokenizer') return names.includes('tokenizer.json') && names.includes('tokenizer_config.json')
    return names.includes('config.json') && (await hasWeights(folder, names))
  }

  /** What the cache has, where the Hub may not be asked. */
  private async offline(pin: PinnedName, wanted: Wanted): Promise<string[]> {
    const { name, commit, origin } = pin
    const snapshot = this.cacheOf(name).snapshot(commit)
    const folder = join(snapshot, name.path)
    const refuse = () =>
      new BranchMergeError(
        'ERR_HUB_UNAVAILABLE',
        `${origin.name} is not whole in the cache, ${snapshot}, and HF_HUB_OFFLINE is set`,
      )
    if (wanted === 'data') {
      const present = await cachedFiles(snapshot)
      if (present.length === 0) throw refuse()
      return dataFiles(present, name.path, subjectOf(name)).map(({ path }) => join(snapshot, path))
    }
    const names = await readdir(folder).catch((): string[] => [])
    const whole = wanted === 'model' ? await hasWeights(folder, names) : names.includes('tokenizer.json')
    if (!whole) throw refuse()
    return [folder]
  }
}

/** Most headers of large models' shards fit. */
const firstBytes = 48 * 2 ** 10

function pinned(name: HubName, revision: string, commit: string): PinnedName {
  return { name, commit, origin: { name: hubNameText({ ...name, revision: commit }), revision } }
}

async function namesModules(folder: string): Promise<boolean> {
  const config = await readConfig(folder)
  const tokenizer = await readJsonObject(join(folder, 'tokenizer_config.json'))
  return config?.namesCustomCode === true || tokenizer?.json.auto_map !== undefined
}

async function hasWeights(folder: string, names: readonly string[]): Promise<boolean> {
  const isThere = (name: string) =>
    stat(join(folder, name)).then(
      (found) => found.isFile(),
      () => false,
    )
  if (names.includes(singleFileName)) return await isThere(singleFileName)
  if (!names.includes(indexFileName)) return false
  const text = await readSmallFile(join(folder, indexFileName), maxIndexBytes, 'ERR_INDEX_JSON').catch(() => undefined)
  if (!text) return false
  const shards = new Set(Object.values((JSON.parse(text.toString('utf8')) as { weight_map?: object }).weight_map ?? {}))
  for (const shard of shards) if (!(await isThere(String(shard)))) return false
  return shards.size > 0
}

/** The files of a snapshot, as if the Hub had listed them. */
async function cachedFiles(snapshot: string): Promise<RemoteFile[]> {
  const entries = await readdir(snapshot, { recursive: true, withFileTypes: true }).catch(() => [])
  const files: RemoteFile[] = []
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name)
    const found = await stat(path).catch(() => undefined)
    if (!found?.isFile()) continue
    files.push({ path: path.slice(snapshot.length + 1), bytes: found.size, blob: '', hash: 'git' })
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1))
}

function unreachable(error: unknown, name: HubName): unknown {
  if (!(error instanceof BranchMergeError)) return error
  const { repository } = name
  // The text may have been meant as a directory.
  if (error.code === 'ERR_HUB_NOT_FOUND' || error.code === 'ERR_HUB_UNAVAILABLE') {
    const place = `There is no directory ${repository} here`
    return new BranchMergeError(error.code, `${place}, and as a name: ${error.message}`)
  }
  return error
}

/** A directory in which models are laid out, for as long as `work` takes. Messages of errors have their names instead of its. */
export async function withLayout<T>(work: (directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'branchmerge-hub-')).catch((cause) => {
    throw outputFailure(tmpdir(), cause)
  })
  try {
    return await work(directory)
  } catch (error) {
    if (!(error instanceof BranchMergeError)) throw error
    throw new BranchMergeError(error.code, error.message.replaceAll(`${directory}/`, 'hf://'), { cause: error.cause })
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/**
 * Paths for places, of which those on the Hub are fetched.
 *
 * @throws ERR_HUB_*, ERR_DISK_FULL, ERR_OUTPUT_WRITE; the signal's reason after an abort
 */
export async function fetchPlaces(
  places: readonly { place: string; wanted: Wanted }[],
  options: DownloadOptions = {},
): Promise<{ paths: string[]; origin: HubOrigin | undefined }[]> {
  if (!places.some(({ place }) => isHubName(place)))
    return places.map(({ place }) => ({ paths: [place], origin: undefined }))
  const hub = new Hub(hubSettings(), options)
  try {
    const found: { paths: string[]; origin: HubOrigin | undefined }[] = []
    for (const { place, wanted } of places) {
      if (!isHubName(place)) found.push({ paths: [place], origin: undefined })
      else {
        const pin = await hub.pin(place, wanted)
        found.push({ paths: await hub.fetch(pin, wanted), origin: pin.origin })
      }
    }
    return found
  } finally {
    await hub.close()
  }
}
