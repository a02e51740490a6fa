import { BranchMergeError } from '../errors.js'
import { checkInteger, checkObject } from '../validate.js'
import type { EncodedDocument, Encoder } from './encode.js'
import { type EncodePool, openEncodePool } from './encodePool.js'
import type { EncodedRow } from './encodeRows.js'
import { fetchData } from './fetchData.js'
import { type LoadedEncoding, loadEncoding } from './loadEncoding.js'
import { type OpenSource, openSources } from './openSources.js'
import { checkPrepareOptions, type PrepareDataOptions, type ResolvedData, type Running } from './options.js'
import type { Thinking } from './reasoning.js'
import { type ReadRow, sourceRows } from './sourceRows.js'
import { type BadRowPlace, maxNamed } from './sourceSummary.js'

/** Which rows of which source to show, beside everything that decides their tokens. */
export interface PreviewDataOptions extends PrepareDataOptions {
  /** Samples to show, 1 to 1000. Default: 1. */
  samples?: number | undefined
  /** Name of the source to look at. Default: the first. */
  source?: string | undefined
  /** Row of the source to begin at, from 0. Default: 0. */
  row?: number | undefined
}

/** A stretch of tokens that are all trained, or all not. */
export interface PreviewStretch {
  trained: boolean
  /** The tokens decoded; special tokens are visible. */
  text: string
  tokens: number[]
}

/** One row as the trainer would see it. */
export interface PreviewSample {
  source: string
  file: string
  row: number
  stretches: PreviewStretch[]
  tokens: number
  trainedTokens: number
  /** Tokens before truncation. */
  fullLength: number
  /** There are more than fullLength: the rest of a long row is not counted. */
  isLonger: boolean
  thinking: Thinking
  /** Which side of the answers the opening tag of the reasoning is on, where it is; of several, the last that has one. */
  thinkIn: 'target' | 'prompt' | 'nowhere'
  /** Stretches that are trained, and how many of them have an opening tag in or right before them. */
  answers: number
  answersWithThink: number
}

/** Rows as the tokens that are trained, and what was found out about the template on the way. */
export interface DataPreview {
  samples: PreviewSample[]
  /** Rows that cannot be used and were passed over on the way; the first of them by name. */
  bad: number
  badRows: BadRowPlace[]
  /** Rows that `where` or `choose` left out on the way. */
  filtered: number
  /** Rows that were left out on the way because they have more tokens than fit. */
  tooLong: number
  template: string
  /** How the model is asked: the text before its answer, or the end of that. */
  generationPrompt: string
  /** What answers end with. */
  endToken: { text: string; id: number }
  /** What should be known before a training, in words. */
  notices: string[]
}

/**
 * Shows what becomes of rows: the tokens of one or more samples, and which of them are trained. Reads no more rows than it
 * shows, and writes nothing.
 *
 * @throws as prepareData; ERR_DATA when there is no row to show
 */
export async function previewData(options: PreviewDataOptions): Promise<DataPreview> {
  checkObject(options, 'options')
  const { samples, source, row, ...rest } = options
  const { model, data, run } = checkPrepareOptions(rest)
  return await previewResolvedData(model, data, run, { samples, source, row })
}

export type PreviewChoice = Pick<PreviewDataOptions, 'samples' | 'source' | 'row'>

/** The same for options that were checked before, as those of a run file are. */
export async function previewResolvedData(
  place: string,
  given: ResolvedData,
  running: Pick<Running, 'signal' | 'onProgress'>,
  choice: PreviewChoice,
): Promise<DataPreview> {
  const { signal } = running
  const count = checkInteger(choice.samples ?? 1, 'samples', 1, 1000)
  const first = checkInteger(choice.row ?? 0, 'row', 0, Number.MAX_SAFE_INTEGER)
  const named = sourceNamed(given, choice.source)
  const { model, data } = await fetchData(place, { ...given, sources: [named] }, 'tokenizer', running)
  const [open] = (await openSources(data)) as [OpenSource]
  const loaded = await loadEncoding(model, data)
  const preview = emptyPreview(loaded)
  const pool = openEncodePool(loaded.encoder, 1, signal)
  try {
    for await (const row of sourceRows(open)) {
      signal?.throwIfAborted()
      if (row.row >= first) show(row, named.name, await encodedRow(row, pool), loaded.encoder, preview)
      if (preview.samples.length >= count) break
    }
  } finally {
    await pool.close()
  }
  if (preview.samples.length === 0) throw nothingToShow(named.name, first, preview)
  return preview
}

function sourceNamed({ sources }: ResolvedData, name: string | undefined) {
  const found = name === undefined ? sources[0] : sources.find((source) => source.name === name)
  if (found) return found
  const names = sources.map((source) => source.name).join(', ')
  throw new BranchMergeError(
    'ERR_INVALID_ARGUMENT',
    `Expected one of ${names} for source (--from) but received ${name}`,
  )
}

function emptyPreview({ encoder, generationPrompt, endToken, notices }: LoadedEncoding): DataPreview {
  const template = encoder.template.name
  return { samples: [], bad: 0, badRows: [], filtered: 0, tooLong: 0, template, generationPrompt, endToken, notices }
}

async function encodedRow({ conversation, problem }: ReadRow, pool: EncodePool): Promise<EncodedRow | undefined> {
  if (problem !== undefined) return { problem }
  return conversation && (await pool.encode([conversation]))[0]
}

function show(
  row: ReadRow,
  source: string,
  encoded: EncodedRow | undefined,
  encoder: Encoder,
  preview: DataPreview,
): void {
  const { file, fileRow, line } = row
  if (!encoded) preview.filtered++
  else if ('problem' in encoded) {
    const reason = encoded.problem
    if (preview.bad++ < maxNamed) {
      preview.badRows.push({ file, row: fileRow, ...(line !== undefined && { line }), reason })
    }
  } else {
    for (const document of encoded.documents) {
      if (document.dropped) preview.tooLong++
      else preview.samples.push({ source, file, row: row.row, ...describe(document, encoder) })
    }
  }
}

type Description = Omit<PreviewSample, 'source' | 'file' | 'row'>

function describe(
  { tokens, spans, fullLength, isLonger, thinking }: EncodedDocument,
  { tokenizer }: Encoder,
): Description {
  const bounds = [...new Set([0, ...spans, tokens.length])]
  const stretches = bounds.slice(1).map((end, i) => {
    const begin = bounds[i] as number
    const ids = [...tokens.subarray(begin, end)]
    return { trained: isIn(spans, begin), text: tokenizer.decode(ids), tokens: ids }
  })
  const trainedTokens = stretches.reduce((sum, { trained, tokens: ids }) => sum + (trained ? ids.length : 0), 0)
  return {
    stretches,
    tokens: tokens.length,
    trainedTokens,
    fullLength,
    isLonger,
    thinking,
    ...placesOfThink(stretches),
  }
}

/** Whether a position is in one of the stretches that begin and end at `spans` in turn. */
const isIn = (spans: readonly number[], position: number): boolean =>
  spans.some((begin, i) => i % 2 === 0 && begin <= position && position < (spans[i + 1] as number))

/** The reasoning of an answer may begin in what is trained or right before it. */
function placesOfThink(
  stretches: readonly PreviewStretch[],
): Pick<PreviewSample, 'thinkIn' | 'answers' | 'answersWithThink'> {
  const places = stretches.flatMap(({ trained, text }, i) => {
    if (!trained) return []
    if (text.includes('<think>')) return ['target' as const]
    return /<think>\s*(<\/think>\s*)?$/.test(stretches[i - 1]?.text ?? '') ? ['prompt' as const] : [undefined]
  })
  const found = places.filter((place) => place !== undefined)
  return { thinkIn: found.at(-1) ?? 'nowhere', answers: places.length, answersWithThink: found.length }
}

function nothingToShow(
  source: string,
  first: number,
  { bad, badRows, filtered, tooLong }: DataPreview,
): BranchMergeError {
  const reasons = badRows.slice(0, 10).map(({ row, reason }) => `\n  row ${row}: ${reason}`)
  return new BranchMergeError(
    'ERR_DATA',
    `Expected a usable row of "${source}" from row ${first} on but there is none: ${bad} are unusable, ${filtered} are ` +
      `filtered out, ${tooLong} are too long${reasons.join('')}`,
  )
}
