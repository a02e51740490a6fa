import { createHash } from 'node:crypto'
import { closeSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs'
import { outputFailure } from '../../files/outputDirectory.js'
import type { NativeMergedTensor, NativeMergePlan, NativeWritten } from '../../native/native.js'
import type { InputState } from './inputStates.js'
import type { MergeDescription } from './mergeDescription.js'

/** What an interrupted merge left: how far each output file is safe, and what the tensors within told. */
export interface JournalRecord {
  /** Bytes from the start of each output file; of one that was not begun, none or nothing. */
  written: number[]
  merged: NativeMergedTensor[]
}

/** Which merge it is of. */
export interface JournalHead {
  /** Of {@link fingerprintOf}. */
  fingerprint: string
  merge: MergeDescription
  /** The files of all models when the merge began, in their order; null for one whose state tells nothing. */
  inputs: (InputState | null)[]
}

const format = 3

/**
 * Keeps beside the unfinished output files what a later run needs to go on: one line of JSON for the merge, then one for
 * each step that reached the disk. A line is written after the bytes that it vouches for are safe, so a journal may know
 * too little, and never too much; a last line that was cut off is not read.
 */
export class MergeJournal {
  /** Tensors that are computed but not known to be on the disk, for each output. */
  private readonly pending = new Map<number, NativeMergedTensor[]>()

  private constructor(
    private readonly path: string,
    private readonly descriptor: number,
  ) {}

  /** Begins a journal at `path`, which must not exist. */
  static create(path: string, head: JournalHead): MergeJournal {
    const journal = new MergeJournal(
      path,
      told(path, () => openSync(path, 'wx')),
    )
    journal.append({ format, ...head })
    return journal
  }

  /** Goes on with the journal at `path`, behind its last whole line: what follows a line that was cut off is never read. */
  static reopen(path: string): MergeJournal {
    return told(path, () => {
      truncateSync(path, wholeLength(readFileSync(path)))
      return new MergeJournal(path, openSync(path, 'a'))
    })
  }

  addTensor(merged: NativeMergedTensor): void {
    this.pending.set(merged.output, [...(this.pending.get(merged.output) ?? []), merged])
  }

  addWritten(written: NativeWritten): void {
    const pending = this.pending.get(written.output) ?? []
    const safe = pending.filter(({ outputEnd }) => outputEnd <= written.bytes)
    this.pending.set(
      written.output,
      pending.filter(({ outputEnd }) => outputEnd > written.bytes),
    )
    this.append({ written, merged: safe })
  }

  private append(line: unknown): void {
    told(this.path, () => {
      const bytes = Buffer.from(`${JSON.stringify(line)}\n`)
      for (let done = 0; done < bytes.length; ) done += writeSync(this.descriptor, bytes, done)
    })
  }

  close(): void {
    closeSync(this.descriptor)
  }
}

/** Does a step at `path`; its failure is an output error. */
function told<T>(path: string, step: () => T): T {
  try {
    return step()
  } catch (cause) {
    throw outputFailure(path, cause as NodeJS.ErrnoException)
  }
}

/** Bytes of the lines that can be read, up to the first that cannot. */
function wholeLength(content: Buffer): number {
  const lines = wholeLines(content.toString('utf8')).length
  let end = 0
  for (let line = 0; line < lines; line++) end = content.indexOf(0x0a, end) + 1
  return end
}

/** What the journal at `path` vouches for; no head for one of another version. Undefined where it vouches for nothing. */
export function readJournal(path: string): { head: JournalHead | undefined; record: JournalRecord } | undefined {
  const [first, ...lines] = wholeLines(told(path, () => readFileSync(path, 'utf8')))
  if (lines.length === 0) return undefined
  if (first.format !== format) return { head: undefined, record: { written: [], merged: [] } }
  const record: JournalRecord = { written: [], merged: [] }
  for (const { written, merged } of lines) {
    record.written[written.output] = written.bytes
    record.merged.push(...merged)
  }
  return { head: first, record }
}

// biome-ignore lint/suspicious/noExplicitAny: the lines are our own, and guarded by the format in the first
function wholeLines(text: string): any[] {
  const parsed: unknown[] = []
  for (const line of text.split('\n').slice(0, -1)) {
    try {
      parsed.push(JSON.parse(line))
    } catch {
      break // cut off by a power failure: nothing after it is to be trusted
    }
  }
  return parsed
}

/** Everything that decides the bytes of the output but the content of tensors: not threads, memory, or where files lie. */
export function fingerprintOf(plan: NativeMergePlan, inputs: { headerHash: string; bytes: number }[]): string {
  const { outputs, programs, tensors } = plan
  const content = {
    inputs,
    outputs: outputs.map(({ metadata }) => metadata),
    programs,
    tensors: tensors.map(({ done: _, ...tensor }) => tensor),
  }
  return createHash('sha256').update(JSON.stringify(content)).digest('hex')
}
