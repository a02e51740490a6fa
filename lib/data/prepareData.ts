import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BranchMergeError } from '../errors.js'
import { makeDirectory, sync, write } from '../files/durableFiles.js'
import { keepAlive, newToken, partialSuffix, removeAbandoned } from '../files/owners.js'
import { dataKey } from './dataKey.js'
import { encodingHash } from './encode.js'
import { encodeSources } from './encodeSources.js'
import { fetchData } from './fetchData.js'
import { type LoadedEncoding, loadEncoding } from './loadEncoding.js'
import { type OpenSource, openSources } from './openSources.js'
import { checkPrepareOptions, type PrepareDataOptions, type ResolvedData, type Running } from './options.js'
import { type PackedTotals, PackWriter } from './packWriter.js'
import { dataFormat, findPrepared, type PreparedData, type PreparedSet, summaryName } from './preparedData.js'
import { checkUnchanged } from './sourceFiles.js'
import type { SourceSummary } from './sourceSummary.js'

/**
 * Turns training data into packs of tokens: reads the sources, renders them with the chat template, tokenizes, truncates, packs
 * and writes them to `<cache>/<key>`, where a second run with the same data finds them. Works in bounded memory.
 *
 * @throws ERR_RECIPE or ERR_INVALID_ARGUMENT for wrong options; ERR_DATA, ERR_TOKENIZER, ERR_CHAT_TEMPLATE, ERR_FILE_READ,
 *   ERR_FILE_CHANGED, ERR_OUTPUT_WRITE, ERR_DISK_FULL; the signal's reason after an abort
 */
export async function prepareData(options: PrepareDataOptions): Promise<PreparedData> {
  const { model, data, run } = checkPrepareOptions(options)
  return await prepareResolvedData(model, data, run)
}

/** The same for options that were checked before, as those of a run file are. */
export async function prepareResolvedData(place: string, given: ResolvedData, run: Running): Promise<PreparedData> {
  run.signal?.throwIfAborted()
  const { model, data } = await fetchData(place, given, 'tokenizer', run)
  const sources = await openSources(data)
  const loaded = await loadEncoding(model, data)
  const key = await keyOf(sources, loaded, data, run)
  const directory = join(data.cache, key)
  const found = await findPrepared(directory)
  if (found) return found
  await makeCache(data.cache)
  await removeAbandoned(data.cache)
  const stage = `${directory}.${newToken()}${partialSuffix}`
  const rest = keepAlive(() => [stage])
  try {
    const prepared = await writePrepared({ stage, directory, key, sources, loaded, data, run })
    await publish(stage, directory)
    return prepared
  } finally {
    rest()
    await rm(stage, { recursive: true, force: true })
  }
}

async function makeCache(cache: string): Promise<void> {
  // Another process may make it at the same time.
  await makeDirectory(cache).catch((error) => {
    if ((error.cause as NodeJS.ErrnoException | undefined)?.code !== 'EEXIST') throw error
  })
}

function keyOf(sources: OpenSource[], loaded: LoadedEncoding, data: ResolvedData, run: Running): Promise<string> {
  const bytesTotal = sources.reduce((sum, { bytes }) => sum + bytes, 0)
  let bytesDone = 0
  const onBytes = (bytes: number) => {
    bytesDone += bytes
    run.onProgress?.({ phase: 'hash', bytesDone, bytesTotal, rowsDone: 0, tokensDone: 0 })
  }
  return dataKey(sources, loaded.encoder.encoding, data, { signal: run.signal, onBytes })
}

interface Work {
  stage: string
  directory: string
  key: string
  sources: OpenSource[]
  loaded: LoadedEncoding
  data: ResolvedData
  run: Running
}

async function writePrepared({ stage, directory, key, sources, loaded, data, run }: Work): Promise<PreparedData> {
  for (const set of ['train', 'validation']) await makeDirectory(join(stage, set))
  const train = new PackWriter(join(stage, 'train'), data)
  const validation = new PackWriter(join(stage, 'validation'), data)
  const summaries = await encodeSources({ sources, loaded, data, run }, { train, validation })
  const [trained, validated] = [await train.end(), await validation.end()]
  await checkUnchanged(sources.flatMap(({ files }) => files))
  refuseNothing(trained, summaries)
  const { encoder, generationPrompt, endToken } = loaded
  const { tokenizer, vocabularySize, templateName } = encoder.encoding
  const hashes = encodingHash(encoder.encoding)
  const meta = { key, vocabularySize, sources: summaries.map(({ name }) => name) }
  await writeMeta(join(stage, 'train'), trained, data, meta)
  if (validated.packs > 0) await writeMeta(join(stage, 'validation'), validated, data, meta)
  else await rm(join(stage, 'validation'), { recursive: true })
  const prepared: PreparedData = {
    key,
    directory,
    cached: false,
    train: preparedSet(trained, join(directory, 'train'), data),
    validation: validated.packs > 0 ? preparedSet(validated, join(directory, 'validation'), data) : undefined,
    sources: summaries,
    packing: data.packing,
    cutoffLength: data.cutoffLength,
    vocabularySize,
    tokenizer: { directory: tokenizer.directory, sha256: hashes.tokenizer },
    template: { name: templateName, sha256: hashes.template },
    generationPrompt,
    endToken,
    notices: [...loaded.notices, ...noticesOf(summaries, data, loaded, validated)],
  }
  await writeDurably(join(stage, summaryName), `${JSON.stringify(prepared, null, 2)}\n`)
  await sync(stage)
  return prepared
}

function refuseNothing({ packs }: PackedTotals, summaries: readonly SourceSummary[]): void {
  if (packs > 0) return
  const found = summaries.map(
    ({ name, rows, filtered, bad, tooLong, validationDocuments }) =>
      `  ${name}: ${rows} rows, ${filtered} filtered out, ${bad} unusable, ${tooLong} too long, ${validationDocuments} for validation`,
  )
  throw new BranchMergeError('ERR_DATA', `Expected examples to train with but none is left:\n${found.join('\n')}`)
}

async function writeMeta(
  directory: string,
  totals: PackedTotals,
  { packing, cutoffLength }: ResolvedData,
  meta: { key: string; vocabularySize: number; sources: string[] },
): Promise<void> {
  const { key, vocabularySize, sources } = meta
  const { shards, packs, documents, tokens, trainedTokens, shardSizes, lengths } = totals
  const head = { format: dataFormat, key, packing, packLength: cutoffLength, vocabularySize }
  const record = { ...head, shards, packs, documents, tokens, trainedTokens, sources, shardSizes, lengths }
  await writeDurably(join(directory, 'meta.json'), `${JSON.stringify(record)}\n`)
  await sync(directory)
}

async function writeDurably(path: string, text: string): Promise<void> {
  await write(path, () => writeFile(path, text, { flag: 'wx' }))
  await sync(path)
}

function preparedSet(totals: PackedTotals, directory: string, { packing, cutoffLength }: ResolvedData): PreparedSet {
  const { shardSizes: _, ...counts } = totals
  const efficiency = packing === 'none' ? 1 : totals.tokens / (totals.packs * cutoffLength)
  return { ...counts, directory, efficiency }
}

function noticesOf(
  summaries: readonly SourceSummary[],
  { validation }: ResolvedData,
  { encoder: { tokenizer } }: LoadedEncoding,
  validated: PackedTotals,
): string[] {
  const notices: string[] = []
  const hasThinking = summaries.some(
    ({ thinking }) => thinking.given + thinking.added + thinking.opened + thinking.unclosed > 0,
  )
  const spelt = ['<think>', '</think>'].filter((tag) => tokenizer.encode(tag).length > 1)
  if (hasThinking && spelt.length > 0) {
    notices.push(
      `${spelt.join(' and ')} are not tokens of the vocabulary. They are written as several tokens, which models also learn.`,
    )
  }
  const unclosed = summaries.reduce((sum, { thinking }) => sum + thinking.unclosed, 0)
  if (unclosed > 0) {
    notices.push(
      `${unclosed} answers have reasoning that begins and does not end: the model learns to think without end. ` +
        'If truncation cut them, raise cutoffLength, or leave them out with excessLengthStrategy: drop.',
    )
  }
  if (validation && validated.packs === 0)
    notices.push('No row was chosen for validation: there are too few rows for its share.')
  return notices
}

/** Makes the stage the prepared data of its key, unless another process was quicker with the same. */
async function publish(stage: string, directory: string): Promise<void> {
  const isPlaced = await rename(stage, directory).then(
    () => true,
    () => false,
  )
  if (!isPlaced) {
    if (await findPrepared(directory)) return
    // What is there was damaged after it had been published; or the renaming fails for a reason that is told now.
    await rm(directory, { recursive: true, force: true })
    await write(directory, () => rename(stage, directory))
  }
  await sync(join(directory, '..'))
}
