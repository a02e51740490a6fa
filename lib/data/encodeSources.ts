import type { EncodedDocument } from './encode.js'
import { documentCutoff } from './encode.js'
import { type EncodePool, openEncodePool } from './encodePool.js'
import type { LoadedEncoding } from './loadEncoding.js'
import type { OpenSource } from './openSources.js'
import { type DataProgress, defaultThreads, type ResolvedData, type Running } from './options.js'
import type { PackWriter } from './packWriter.js'
import { encodeInOrder, type ReadRow, type RowOutcome, sourceRows } from './sourceRows.js'
import { countBad, newSummary, refuseTooManyBad, type SourceSummary } from './sourceSummary.js'
import { copiesOf, rowNumber, Smallest, type Split, splitOf } from './validationSplit.js'

/** With less data than this, loading a tokenizer in every thread takes longer than the work. */
const bytesForThreads = 8 * 2 ** 20

interface Job {
  sources: OpenSource[]
  loaded: LoadedEncoding
  data: ResolvedData
  run: Running
}

interface Writers {
  train: PackWriter
  validation: PackWriter
}

/**
 * Encodes all sources into the writers, one after the other: each as often as its weight says, its validation rows once.
 *
 * @throws ERR_DATA, ERR_FILE_READ; the signal's reason after an abort
 */
export async function encodeSources(job: Job, writers: Writers): Promise<SourceSummary[]> {
  const { sources, loaded, data, run } = job
  const split = await chooseSplit(job)
  const passes = sources.map(({ source }) => Math.max(1, Math.ceil(source.weight)))
  const bytesTotal = sources.reduce((sum, { bytes }, i) => sum + bytes * (passes[i] as number), 0)
  const progress = { phase: 'encode' as const, bytesDone: 0, bytesTotal, rowsDone: 0, tokensDone: 0 }
  const pool = openEncodePool(
    loaded.encoder,
    run.threads ?? (bytesTotal < bytesForThreads ? 1 : defaultThreads()),
    run.signal,
  )
  try {
    const summaries: SourceSummary[] = []
    for (const [index, open] of sources.entries()) {
      const state = new SourceState(open, index, data, split, writers)
      for (let pass = 0; pass < (passes[index] as number); pass++) {
        await encodePass(state, pass, pool, run, progress)
        progress.bytesDone += open.bytes
      }
      summaries.push(state.summary)
    }
    return summaries
  } finally {
    await pool.close()
  }
}

/** Which rows are for validation; a count takes a pass over all rows to find those with the smallest numbers. */
async function chooseSplit({ sources, data, run }: Job): Promise<Split> {
  if (!data.validation || 'fraction' in data.validation) return splitOf(data)
  const smallest = new Smallest(data.validation.count)
  const bytesTotal = sources.reduce((sum, { bytes }) => sum + bytes, 0)
  const progress: DataProgress = { phase: 'split', bytesDone: 0, bytesTotal, rowsDone: 0, tokensDone: 0 }
  for (const open of sources) {
    let usable = 0
    const before = progress.bytesDone
    for await (const { conversation, bytesRead } of sourceRows(open)) {
      run.signal?.throwIfAborted()
      if (usable === open.source.take) break
      progress.rowsDone++
      progress.bytesDone = before + bytesRead
      run.onProgress?.({ ...progress })
      if (!conversation) continue
      usable++
      smallest.add(rowNumber(conversation, data.seed))
    }
    progress.bytesDone = before + open.bytes
  }
  return splitOf(data, smallest.threshold())
}

/** One source on its way through its passes. */
class SourceState {
  readonly summary: SourceSummary
  /** Rows that later passes go over; complete after the first. */
  private rows = 0
  private usable = 0
  private readonly cutoff: number

  constructor(
    readonly open: OpenSource,
    private readonly index: number,
    readonly data: ResolvedData,
    private readonly split: Split,
    private readonly writers: Writers,
  ) {
    this.summary = newSummary(
      open.source.name,
      open.files.map(({ path }) => path),
    )
    this.cutoff = documentCutoff(data)
  }

  /** Rows that are worth encoding in a pass. */
  async *wanted(pass: number): AsyncGenerator<ReadRow> {
    const { weight, name } = this.open.source
    for await (const row of sourceRows(this.open)) {
      if (pass > 0 && row.row >= this.rows) return
      const isUsed = pass === 0 || (row.conversation && copiesOf(weight, name, row.row, this.data.seed) > pass)
      if (isUsed) yield row
    }
  }

  /** Counts a row and writes its document. Returns false when no more rows are to be taken. */
  async take(outcome: RowOutcome, pass: number): Promise<boolean> {
    if (pass > 0) {
      if (!this.isValidation(outcome)) await this.write(outcome, false)
      return true
    }
    const { summary } = this
    summary.rows++
    this.rows = outcome.row + 1
    if (outcome.problem !== undefined) {
      countBad(summary, outcome)
      refuseTooManyBad(summary, this.data.maxBadRows, false)
    } else if (outcome.documents.length === 0) summary.filtered++
    else await this.takeUsable(outcome)
    return this.usable !== this.open.source.take
  }

  private async takeUsable(outcome: RowOutcome): Promise<void> {
    const kept = outcome.documents.filter(({ dropped }) => !dropped)
    this.summary.tooLong += outcome.documents.length - kept.length
    if (kept.length === 0) return
    this.usable++
    const { weight, name } = this.open.source
    if (this.isValidation(outcome)) await this.write(outcome, true)
    else if (copiesOf(weight, name, outcome.row, this.data.seed) > 0) await this.write(outcome, false)
  }

  private isValidation({ conversation }: RowOutcome): boolean {
    return conversation !== undefined && this.split.isValidation(conversation)
  }

  private async write({ row, documents }: RowOutcome, isValidation: boolean): Promise<void> {
    for (const document of documents) if (!document.dropped) await this.writeDocument(row, document, isValidation)
  }

  private async writeDocument(row: number, document: EncodedDocument, isValidation: boolean): Promise<void> {
    const { tokens, spans, fullLength, thinking } = document
    const { summary } = this
    if (isValidation) summary.validationDocuments++
    else summary.documents++
    if (fullLength > this.cutoff) summary.truncated++
    summary.tokens += tokens.length
    for (const [i, bound] of spans.entries()) summary.trainedTokens += i % 2 === 0 ? -bound : bound
    summary.thinking[thinking]++
    const writer = isValidation ? this.writers.validation : this.writers.train
    await writer.add({ tokens, spans, source: this.index, row })
  }
}

async function encodePass(
  state: SourceState,
  pass: number,
  pool: EncodePool,
  { signal, onProgress }: Running,
  progress: DataProgress,
): Promise<void> {
  const before = progress.bytesDone
  for await (const outcome of encodeInOrder(state.wanted(pass), pool)) {
    signal?.throwIfAborted()
    progress.rowsDone++
    for (const { tokens } of outcome.documents) progress.tokensDone += tokens.length
    progress.bytesDone = before + outcome.bytesRead
    onProgress?.({ ...progress })
    if (!(await state.take(outcome, pass))) break
  }
  progress.bytesDone = before
  if (pass === 0) refuseTooManyBad(state.summary, state.data.maxBadRows, true)
}
