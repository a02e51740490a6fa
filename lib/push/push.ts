import { readFile } from 'node:fs/promises'
import { basename, resolve } from 'node:path'
import { cardName, isWrittenCard } from '../card/cardMark.js'
import { isOfTokenizer } from '../checkpoint/sideFiles.js'
import { indexFileName, manifestFileName, singleFileName } from '../checkpoint/weightFiles.js'
import { BranchMergeError } from '../errors.js'
import { firstOf } from '../files/outputDirectory.js'
import { FileHashes } from '../hub/fileHashes.js'
import { type HubName, parseHubName } from '../hub/hubName.js'
import type { RemoteFile } from '../hub/repository.js'
import { hubSettings } from '../hub/settings.js'
import { Transport } from '../hub/transport.js'
import { Upload, type UploadChange, type UploadTarget } from '../hub/upload.js'
import { checkBoolean, checkFunction, checkOptionNames, checkPath, checkSignal } from '../validate.js'
import { type PushedFile, pushedFiles, refuseChanged } from './pushedFiles.js'

/** How far a push is. */
export interface PushProgress {
  /** hash: files are read for their hashes; send: large files are sent. */
  phase: 'hash' | 'send'
  bytesDone: number
  bytesTotal: number
}

/** Options of {@link push}. */
export interface PushOptions {
  /** Make a new repository private. Refused where a public one is there. Default: as the account has it, mostly public. */
  private?: boolean | undefined
  /** Branch; made from `main` where it is not there. Default: 'main'. */
  revision?: string | undefined
  signal?: AbortSignal | undefined
  onProgress?: ((progress: PushProgress) => void) | undefined
}

/** What a push did; the command's `--json` prints it. */
export interface PushSummary {
  /** org/name */
  repository: string
  url: string
  revision: string
  commit: string
  /** Whether the repository was made. */
  created: boolean
  /** The repository had all of it: there is no new commit. */
  alreadyDone: boolean
  /** That are there now, with their bytes. */
  files: number
  bytes: number
  /** Of the large files, over the network. */
  bytesSent: number
  /** Files of an earlier checkpoint that a loader would mix with this one. */
  removed: string[]
  /** Names in the directory that were not sent. */
  left: string[]
  notes: string[]
  seconds: number
}

const optionNames = ['private', 'revision', 'signal', 'onProgress'] as const satisfies (keyof PushOptions)[]

/**
 * Sends a checkpoint to a model's repository on the Hub, which is made where it is not there: the weights, what belongs to them,
 * branchmerge.json and the model card. Large files go in parts; those that the Hub has are not sent again; one commit follows when all
 * are there, and is compared with the files afterwards.
 *
 * @param directory - of a complete checkpoint
 * @param repository - org/name
 * @throws ERR_HUB_*, ERR_INVALID_ARGUMENT, ERR_OUTPUT_EXISTS where the directory is not finished, ERR_MANIFEST, ERR_FILE_CHANGED,
 *   ERR_FILE_READ and what {@link openCheckpoint} throws; the signal's reason after an abort
 */
export async function push(directory: string, repository: string, options: PushOptions = {}): Promise<PushSummary> {
  const started = performance.now()
  checkPath(directory, 'directory')
  checkOptionNames(options, optionNames)
  const isPrivate = options.private === undefined ? false : checkBoolean(options.private, 'private')
  const signal = checkSignal(options.signal)
  const onProgress = checkFunction(options.onProgress as PushOptions['onProgress'], 'onProgress')
  const { name, branch } = targetName(repository, options.revision)
  const { files, left } = await pushedFiles(directory, signal)
  const settings = hubSettings()
  if (settings.token === undefined) {
    throw new BranchMergeError(
      'ERR_HUB_ACCESS',
      'Expected a token that may write to the Hub: set HF_TOKEN, or log in with the tools of Hugging Face',
    )
  }
  const transport = new Transport(settings)
  try {
    const upload = new Upload(name, branch, transport, signal)
    const { target, created } = await openTarget(upload, name, isPrivate)
    const hashes = await hashAll(files, signal, onProgress)
    const { wanted, notes } = await withoutCard(upload, files, target, hashes)
    const changed = wanted.filter((file) => !isThere(file, target.files, hashes))
    const removed = target.files.map(({ path }) => path).filter((path) => isStale(path, wanted))
    const check = async (commit: string) => checkResult(await upload.list(commit), wanted, removed, hashes, name)
    await refuseChanged(files)
    const alreadyDone = changed.length + removed.length === 0
    const change = { files: changed, removed, parent: target.commit }
    const { commit, sent } = alreadyDone
      ? { commit: target.commit, sent: 0 }
      : await send(upload, directory, change, check, { signal, onProgress })
    await check(commit)
    return {
      repository: name.repository,
      url: `${settings.endpoint}/${name.repository}${branch === 'main' ? '' : `/tree/${encodeURIComponent(branch)}`}`,
      revision: branch,
      commit,
      created,
      alreadyDone,
      files: wanted.length,
      bytes: totalBytes(wanted),
      bytesSent: sent,
      removed,
      left,
      notes,
      seconds: (performance.now() - started) / 1000,
    }
  } finally {
    await transport.close()
  }
}

function targetName(text: string, revision: unknown): { name: HubName; branch: string } {
  const name = parseHubName(checkPath(text, 'repository'), 'model')
  const branch = revision === undefined ? (name?.revision ?? 'main') : checkPath(revision, 'revision')
  const isBranch = !/^([0-9a-f]{40}|refs\/.*)$/.test(branch) && (name?.revision ?? branch) === branch
  if (name?.kind === 'model' && name.path === '' && isBranch) return { name, branch }
  throw new BranchMergeError(
    'ERR_INVALID_ARGUMENT',
    `Expected the model org/name and a branch to push to but received ${text}${revision === undefined ? '' : ` and ${revision}`}`,
  )
}

/** Finds the repository and the branch or makes them, so that it is known before anything is read or sent that it may be written. */
async function openTarget(
  upload: Upload,
  name: HubName,
  isPrivate: boolean,
): Promise<{ target: UploadTarget & { commit: string }; created: boolean }> {
  await upload.checkToken()
  const found = await upload.target()
  if (found.exists && isPrivate && !found.isPrivate) {
    throw new BranchMergeError(
      'ERR_HUB_ACCESS',
      `The model ${name.repository} is there and public, so that --private would not hold. Make it private on its page, or push without.`,
    )
  }
  if (found.exists && found.commit !== undefined) {
    await upload.checkMayWrite()
    return { target: { ...found, commit: found.commit }, created: false }
  }
  if (!found.exists) await upload.createRepository(isPrivate)
  let target = await upload.target()
  if (target.commit === undefined) {
    await upload.createBranch()
    target = await upload.target()
  }
  const { commit } = target
  if (commit !== undefined) return { target: { ...target, commit }, created: !found.exists }
  throw new BranchMergeError(
    'ERR_HUB_PROTOCOL',
    `The Hub made the model ${name.repository} but says nothing of a commit`,
  )
}

interface Hashes {
  sha256: string
  /** Of what may be small. */
  git: string | undefined
}

/** Larger ones are always stored apart. */
const mayBeSmall = 16 * 2 ** 20

/** The Hub decides which files are large, and lists those by SHA-256 and others as Git does. */
async function hashAll(
  files: readonly PushedFile[],
  signal: AbortSignal | undefined,
  onProgress: PushOptions['onProgress'],
): Promise<Map<string, Hashes>> {
  const hashes = new FileHashes()
  const bytesTotal = totalBytes(files)
  const tell = (bytesDone: number) => onProgress?.({ phase: 'hash', bytesDone, bytesTotal })
  const found = new Map<string, Hashes>()
  const stop = () => void hashes.close(signal?.reason)
  signal?.addEventListener('abort', stop, { once: true })
  try {
    let before = 0
    for (const { name, path, bytes } of files) {
      signal?.throwIfAborted()
      const start = before
      const digest = (hash: 'sha256' | 'git') => hashes.follow(path, { hash, bytes }, (at) => tell(start + at)).digest()
      const git = bytes <= mayBeSmall ? await digest('git') : undefined
      found.set(name, { sha256: await digest('sha256'), git })
      before += bytes
      tell(before)
    }
  } finally {
    signal?.removeEventListener('abort', stop)
    await hashes.close()
  }
  return found
}

const totalBytes = (files: readonly PushedFile[]): number => files.reduce((sum, { bytes }) => sum + bytes, 0)

function isThere({ name, bytes }: PushedFile, remote: readonly RemoteFile[], hashes: Map<string, Hashes>): boolean {
  const there = remote.find(({ path }) => path === name)
  return there !== undefined && there.bytes === bytes && there.blob === hashes.get(name)?.[there.hash]
}

/** Weights, tokenizer and settings of another checkpoint: a loader would take them with what is sent. */
function isStale(path: string, wanted: readonly PushedFile[]): boolean {
  if (wanted.some(({ name }) => name === path)) return false
  const isWeights = path === singleFileName || path === indexFileName || /^model-\d+-of-\d+\.safetensors$/.test(path)
  return isWeights || path === manifestFileName || isOfTokenizer(path) || path === 'generation_config.json'
}

/** A card that people have written stays, where the one of the directory is only branchmerge's. */
async function withoutCard(
  upload: Upload,
  files: readonly PushedFile[],
  target: UploadTarget & { commit: string },
  hashes: Map<string, Hashes>,
): Promise<{ wanted: readonly PushedFile[]; notes: string[] }> {
  const own = files.find(({ name }) => name === cardName)
  const there = target.files.find(({ path }) => path === cardName)
  if (!own || !there || isThere(own, [there], hashes)) return { wanted: files, notes: [] }
  if (!isWrittenCard(await readFile(own.path, 'utf8'))) return { wanted: files, notes: [] }
  if (isWrittenCard(await upload.text(target.commit, cardName))) return { wanted: files, notes: [] }
  return {
    wanted: files.filter((file) => file !== own),
    notes: [`The repository's ${cardName} was written by people and stays; the one of the directory was not sent`],
  }
}

interface Sending extends Omit<UploadChange, 'title' | 'files'> {
  files: readonly PushedFile[]
}

async function send(
  upload: Upload,
  directory: string,
  change: Sending,
  check: (commit: string) => Promise<void>,
  { signal, onProgress }: Pick<PushOptions, 'signal' | 'onProgress'>,
): Promise<{ commit: string; sent: number }> {
  const { files } = change
  const sent = new Map(files.map(({ name }) => [name, 0]))
  const present = new Set<string>()
  const bytesTotal = totalBytes(files)
  const tell = () => {
    const bytesDone = files.reduce(
      (sum, { name, bytes }) => sum + (present.has(name) ? bytes : (sent.get(name) ?? 0)),
      0,
    )
    onProgress?.({ phase: 'send', bytesDone, bytesTotal })
  }
  let committing = false
  const commit = await upload
    .commit(
      { title: `Upload ${basename(resolve(directory))} with branchmerge`, ...change },
      {
        signal,
        onSent(name, bytes) {
          sent.set(name, (sent.get(name) ?? 0) + bytes)
          if (bytes > 0) tell()
        },
        onPresent(name) {
          present.add(name)
          tell()
        },
        async beforeCommit() {
          await refuseChanged(files)
          committing = true
        },
      },
    )
    .catch(async (error) => {
      signal?.throwIfAborted()
      // The answer may have been lost, and the commit not.
      const now = committing ? (await upload.target().catch(() => undefined))?.commit : undefined
      if (now === undefined || now === change.parent) throw error
      await check(now).catch(() => {
        throw error
      })
      return now
    })
  return { commit, sent: [...sent.values()].reduce((sum, bytes) => sum + bytes, 0) }
}

/** @throws ERR_HUB_PROTOCOL where the repository does not have what was sent */
function checkResult(
  there: readonly RemoteFile[],
  wanted: readonly PushedFile[],
  removed: readonly string[],
  hashes: Map<string, Hashes>,
  { repository }: HubName,
): void {
  const wrong = [
    ...wanted.filter((file) => !isThere(file, there, hashes)).map(({ name }) => name),
    ...removed.filter((name) => there.some(({ path }) => path === name)),
  ]
  if (wrong.length === 0) return
  throw new BranchMergeError(
    'ERR_HUB_PROTOCOL',
    `After the commit the model ${repository} has not the files of the directory: ${firstOf(wrong)}. Push again.`,
  )
}
