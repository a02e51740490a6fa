import { stat } from 'node:fs/promises'
import { basename, dirname, resolve } from 'node:path'
import { withReasoning } from '../../data/conversation.js'
import { checkUnchanged, type SourceFile } from '../../data/sourceFiles.js'
import { BranchMergeError } from '../../errors.js'
import { sync } from '../../files/durableFiles.js'
import { hashFile } from '../../files/hashFile.js'
import { NewFile } from '../../files/newFile.js'
import { keepAlive, removeAbandoned } from '../../files/owners.js'
import { refuseExisting } from '../../files/writeWhole.js'
import { pathFromFile } from '../../pathFromFile.js'
import { funnelPicture } from '../../report/selection/picture.js'
import { version } from '../../version.js'
import type { Answer, Candidate } from '../candidate.js'
import { cellOf } from '../cell.js'
import type { JoinRecord, SelectionInput, SelectionProgress, SelectionRecord } from '../funnel.js'
import type { Rejection } from '../step.js'
import type { SelectionSummary } from '../summary.js'
import { candidatesOf } from './candidates.js'
import { FunnelCount } from './funnelCount.js'
import { JoinedPart } from './joinPart.js'
import type { Place } from './mapRow.js'
import type { OpenSelectionSource } from './openSelection.js'
import type { ResolvedSelection } from './resolveSelection.js'
import { JsonLinesResult, ParquetResult, type ResultRow, type ResultWriter } from './resultFile.js'
import { type RunningStep, runSteps } from './runSteps.js'

/** How a selection is carried out. */
export interface SelectionRunning {
  out: string
  overwrite: boolean
  /** Rows of each source at most. */
  limit: number | undefined
  threads: number
  signal: AbortSignal
  onProgress: (progress: SelectionProgress) => void
}

/** The files beside the result. */
export const besides = (out: string) => ({
  rejected: `${out}.rejected.jsonl`,
  record: `${out}.selection.json`,
  picture: `${out}.selection.svg`,
})

/** @throws ERR_INVALID_ARGUMENT, ERR_OUTPUT_EXISTS, ERR_OUTPUT_IS_INPUT */
export async function checkOutput(out: string, overwrite: boolean, sources: readonly OpenSelectionSource[]) {
  if (!/\.(parquet|jsonl)$/.test(out)) {
    throw new BranchMergeError('ERR_INVALID_ARGUMENT', `Expected a .parquet or .jsonl file for out but received ${out}`)
  }
  const written = [out, ...Object.values(besides(out))]
  for (const path of written) {
    await refuseExisting(path, overwrite)
    const place = await identityOf(path)
    for (const file of filesOf(sources)) {
      if (resolve(file.path) !== resolve(path) && (place === undefined || place !== (await identityOf(file.path))))
        continue
      throw new BranchMergeError('ERR_OUTPUT_IS_INPUT', `Expected another out than ${out}: ${file.path} is an input`)
    }
  }
}

async function identityOf(path: string): Promise<string | undefined> {
  const found = await stat(path, { bigint: true }).catch(() => undefined)
  return found && `${found.dev}:${found.ino}`
}

const filesOf = (sources: readonly OpenSelectionSource[]): SourceFile[] =>
  sources.flatMap(({ files, openParts }) => [...files, ...openParts.flatMap((part) => part.files)])

/**
 * Carries out a selection. Its files appear together when all are complete, the result last.
 *
 * @throws ERR_DATA where no row remains, and what its files and steps throw; the signal's reason after an abort. Then nothing is left.
 */
export async function executeSelection(
  selection: ResolvedSelection,
  sources: readonly OpenSelectionSource[],
  running: SelectionRunning,
): Promise<SelectionSummary> {
  const started = performance.now()
  const { out, signal } = running
  await removeAbandoned(dirname(out), `${basename(out)}.`)
  const inputs = await hashInputs(sources, running)
  const run = await SelectionRun.open(selection, sources, running)
  try {
    await run.select()
    const all = [...inputs, ...(await run.hashStepFiles())]
    await checkUnchanged(filesOf(sources))
    signal.throwIfAborted()
    return await run.publish(all, started)
  } finally {
    await run.close()
  }
}

async function hashInputs(
  sources: readonly OpenSelectionSource[],
  { signal, onProgress }: SelectionRunning,
): Promise<SelectionInput[]> {
  const named = sources.flatMap(({ name, files, openParts }) => [
    ...files.map((file) => ({ of: name, file })),
    ...openParts.flatMap((part) => part.files.map((file) => ({ of: `${name}.${part.name}`, file }))),
  ])
  const total = named.reduce((sum, { file }) => sum + file.bytes, 0)
  let done = 0
  const inputs: SelectionInput[] = []
  for (const { of, file } of named) {
    inputs.push({ of, file: basename(file.path), bytes: file.bytes, sha256: await hashFile(file.path, signal) })
    done += file.bytes
    onProgress({ phase: 'hash', done, total, rowsDone: 0, rowsKept: 0 })
  }
  return inputs
}

/** Everything that is open during a selection. */
class SelectionRun {
  private readonly read = new FunnelCount('read', 'read', 'rows of the sources')
  private readonly join = new FunnelCount('join', 'join', 'the parts of each row')
  private readonly map = new FunnelCount('map', 'map', 'question and answers of each row')
  private readonly written = new FunnelCount('write', 'write', 'conversations')
  private readonly steps: RunningStep[] = []
  private readonly joins: JoinRecord[] = []
  private rows = 0
  private result: ResultWriter | undefined
  private stopTouching: () => void = () => {}

  private constructor(
    private readonly selection: ResolvedSelection,
    private readonly sources: readonly OpenSelectionSource[],
    private readonly running: SelectionRunning,
    private readonly files: Record<'out' | 'rejected' | 'record' | 'picture', NewFile>,
    private readonly rejections: Lines,
  ) {}

  static async open(
    selection: ResolvedSelection,
    sources: readonly OpenSelectionSource[],
    running: SelectionRunning,
  ): Promise<SelectionRun> {
    const { out } = running
    const { rejected, record, picture } = besides(out)
    const made: NewFile[] = []
    try {
      for (const path of [out, rejected, record, picture]) made.push(await NewFile.create(path))
      const [outFile, rejectedFile, recordFile, pictureFile] = made as [NewFile, NewFile, NewFile, NewFile]
      const files = { out: outFile, rejected: rejectedFile, record: recordFile, picture: pictureFile }
      const run = new SelectionRun(selection, sources, running, files, new Lines(rejectedFile))
      run.stopTouching = keepAlive(() => made.map(({ temporary }) => temporary))
      return run
    } catch (error) {
      for (const file of made) await file.discard()
      throw error
    }
  }

  /** Runs every row through every step into the unfinished result. */
  async select(): Promise<void> {
    const { selection, running, files } = this
    const keep = selection.keep.map(([name]) => name)
    this.result = running.out.endsWith('.parquet')
      ? await ParquetResult.create(files.out, keep)
      : new JsonLinesResult(files.out, keep)
    for (const [place, step] of selection.steps.entries()) {
      this.steps.push({
        step: await step.work.open(step.options, {
          seed: selection.seed,
          place,
          tokenizer: selection.tokenizer,
          threads: running.threads,
          signal: running.signal,
          resolvePath: (path) => selection.files.get(path) ?? pathFromFile(path, selection.directory),
        }),
        count: new FunnelCount(step.name, step.kind, step.description),
      })
    }
    const refuse = (candidate: Candidate, step: string, rejection: Rejection) => this.reject(candidate, step, rejection)
    const passed = runSteps(this.candidates(), this.steps, { beside: running.out, signal: running.signal, refuse })
    for await (const candidate of passed) await this.write(candidate)
    await this.result.finish((done, total) => {
      running.signal.throwIfAborted()
      running.onProgress({ phase: 'write', done, total, rowsDone: this.read.rows, rowsKept: this.written.kept })
    })
  }

  /** Rows of all sources that could be read, joined and mapped. */
  private async *candidates(): AsyncGenerator<Candidate> {
    const { signal, limit = Number.POSITIVE_INFINITY } = this.running
    const total = this.sources.reduce((sum, { files }) => sum + files.reduce((bytes, file) => bytes + file.bytes, 0), 0)
    let done = 0
    for (const source of this.sources) {
      const parts = await this.openParts(source)
      const onBytes = (bytes: number) => {
        done += bytes
      }
      try {
        for await (const row of candidatesOf(source, parts, { limit, onBytes })) {
          signal.throwIfAborted()
          if (await this.admit(row, source.openParts.length > 0)) yield row.candidate as Candidate
          const { onProgress } = this.running
          onProgress({ phase: 'select', done, total, rowsDone: this.read.rows, rowsKept: this.written.kept })
        }
        this.joins.push(...parts.map((part) => part.record()))
      } finally {
        for (const part of parts) await part.close()
      }
    }
  }

  private async openParts(source: OpenSelectionSource): Promise<JoinedPart[]> {
    const { out, signal, onProgress } = this.running
    const total = source.openParts.flatMap(({ files }) => files).reduce((sum, { bytes }) => sum + bytes, 0)
    let done = 0
    const onBytes = (bytes: number) => {
      done += bytes
      onProgress({ phase: 'join', done, total, rowsDone: this.read.rows, rowsKept: this.written.kept })
    }
    const parts: JoinedPart[] = []
    try {
      for (const part of source.openParts) {
        parts.push(await JoinedPart.open(source.name, part, { beside: out, signal, onBytes }))
      }
      return parts
    } catch (error) {
      for (const part of parts) await part.close()
      throw error
    }
  }

  /** Counts a row at what precedes the first step. */
  private async admit(
    row: { place: Place; candidate: Candidate | undefined; rejected: (Rejection & { step: string }) | undefined },
    isJoined: boolean,
  ): Promise<boolean> {
    const stages = [this.read, ...(isJoined ? [this.join] : []), this.map]
    for (const stage of stages) {
      stage.came(undefined)
      if (row.rejected?.step === stage.name) {
        stage.refused(row.rejected.reason)
        await this.reject(row.place, stage.name, row.rejected)
        return false
      }
      stage.stayed(stage === this.map ? (row.candidate?.answers.length ?? 0) : 0)
    }
    return true
  }

  private async reject(at: Place, step: string, { reason, detail }: Rejection): Promise<void> {
    const { source, row, file, fileRow, line } = at
    await this.rejections.add({ source, row, file, fileRow, line, step, reason, detail })
  }

  private async write(candidate: Candidate): Promise<void> {
    this.written.came(candidate)
    const started = performance.now()
    const rows = candidate.answers.flatMap((answer) => this.rowOf(candidate, answer))
    if (rows.length === 0) {
      this.written.refused('empty-answer')
      await this.reject(candidate, 'write', { reason: 'empty-answer', detail: 'no answer has a text' })
      return
    }
    for (const row of rows) await (this.result as ResultWriter).add(row)
    this.rows += rows.length
    this.written.stayed(rows.length)
    this.written.seconds += (performance.now() - started) / 1000
  }

  private rowOf(candidate: Candidate, answer: Answer): ResultRow[] {
    const { source, file, fileRow, system, question, reference, columns } = candidate
    const content = contentOf(answer)
    if (content.trim() === '') return []
    return [
      {
        messages: [
          ...(system === undefined ? [] : [{ role: 'system' as const, content: system }]),
          { role: 'user', content: question },
          { role: 'assistant', content },
        ],
        origin: { source, file: basename(file), row: fileRow, answer: answer.index },
        reference,
        verdict: answer.verdict,
        kept: this.selection.keep.map(([, column]) => cellOf(columns, column)),
      },
    ]
  }

  /** Hashes of files that steps read. */
  async hashStepFiles(): Promise<SelectionInput[]> {
    const inputs: SelectionInput[] = []
    for (const { step, count } of this.steps) {
      for (const path of step.files ?? []) {
        const { size } = await stat(path)
        inputs.push({
          of: count.name,
          file: basename(path),
          bytes: size,
          sha256: await hashFile(path, this.running.signal),
        })
      }
    }
    return inputs
  }

  /** Completes all files and gives them their names. */
  async publish(inputs: SelectionInput[], started: number): Promise<SelectionSummary> {
    const { selection, running, files, joins } = this
    const isJoined = this.sources.some(({ openParts }) => openParts.length > 0)
    const counts = [
      this.read,
      ...(isJoined ? [this.join] : []),
      this.map,
      ...this.steps.map(({ count }) => count),
      this.written,
    ]
    const funnel = counts.map((count) => count.record())
    const notes = this.steps.flatMap(({ step, count }) =>
      (step.notes?.() ?? []).map((note) => `${count.name}: ${note}`),
    )
    if (this.rows === 0) throw nothingRemains(funnel.map(({ name, rejected }) => ({ name, rejected })))
    const sha256 = await files.out.complete()
    await this.rejections.flush()
    await files.rejected.complete()
    const record: SelectionRecord = {
      format: 1,
      version,
      recipe: selection.recipe,
      seed: selection.seed,
      limit: running.limit ?? null,
      inputs,
      joins,
      funnel,
      notes,
      output: { file: basename(running.out), rows: this.rows, bytes: files.out.bytes, sha256 },
    }
    await files.record.append(Buffer.from(`${JSON.stringify(record, null, 2)}\n`))
    await files.record.complete()
    await files.picture.append(Buffer.from(funnelPicture(basename(running.out), funnel)))
    await files.picture.complete()
    running.signal.throwIfAborted()
    // The result last: where it is, all of it is.
    for (const file of [files.rejected, files.picture, files.record, files.out]) await file.publish()
    await sync(dirname(running.out))
    return {
      out: running.out,
      ...besides(running.out),
      rowsRead: this.read.rows,
      rows: this.rows,
      bytes: files.out.bytes,
      sha256,
      funnel,
      joins,
      notes,
      seconds: (performance.now() - started) / 1000,
      secondsOfSteps: counts.map(({ seconds }) => seconds),
    }
  }

  async close(): Promise<void> {
    this.stopTouching()
    for (const { step } of this.steps) await step.close?.()
    await this.result?.close()
    for (const file of Object.values(this.files)) await file.discard()
  }
}

/** As training data has it. */
function contentOf({ reasoning, text, closed }: Answer): string {
  if (reasoning === undefined) return text
  return closed ? withReasoning(reasoning, text) : `<think>\n${reasoning}`
}

function nothingRemains(funnel: readonly { name: string; rejected: Record<string, number> }[]): BranchMergeError {
  const lines = funnel.flatMap(({ name, rejected }) =>
    Object.entries(rejected).map(([reason, rows]) => `\n  ${name}: ${reason} ${rows}`),
  )
  return new BranchMergeError(
    'ERR_DATA',
    `Expected rows that pass all steps but none does. Rejected were:${lines.join('')}`,
  )
}

const linesAtOnce = 2 ** 18

/** Objects as lines of JSON. */
class Lines {
  private waiting: string[] = []
  private characters = 0

  constructor(private readonly file: NewFile) {}

  async add(value: Record<string, unknown>): Promise<void> {
    const line = `${JSON.stringify(value)}\n`
    this.waiting.push(line)
    this.characters += line.length
    if (this.characters >= linesAtOnce) await this.flush()
  }

  async flush(): Promise<void> {
    const bytes = Buffer.from(this.waiting.join(''))
    this.waiting = []
    this.characters = 0
    await this.file.append(bytes)
  }
}
