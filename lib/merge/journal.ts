import { createHash } from 'node:crypto'
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'
import type { NativeMergedTensor, NativeMergePlan, NativeWritten } from '../native.js'

/** What an interrupted merge left: how far each output file is safe, and what the tensors within told. */
export interface JournalRecord {
  /** Bytes from the start of each output file. */
  written: number[]
  merged: NativeMergedTensor[]
}

/** An input file as it was when the merge began: a changed one makes the finished tensors worthless. */
export interface JournalInput {
  headerHash: string
  bytes: number
  /** Nanoseconds of its last change. */
  modified: string
}

const format = 2

/**
 * Keeps beside the unfinished output files what a later run needs to go on: one line of JSON for the merge, then one for
 * each step that reached the disk. A line is written after the bytes that it vouches for are safe, so a journal may know
 * too little, and never too much; a last line that was cut off is not read.
 */
export class MergeJournal {
  /** Tensors that are computed but not known to be on the disk, for each output. */
  private readonly pending = new Map<number, NativeMergedTensor[]>()

  private constructor(private readonly descriptor: number) {}

  /** Begins a journal at `path`, which must not exist. */
  static create(path: string, fingerprint: string): MergeJournal {
    const journal = new MergeJournal(openSync(path, 'wx'))
    journal.append({ format, fingerprint })
    return journal
  }

  /** Goes on with the journal at `path`. */
  static reopen(path: string): MergeJournal {
    return new MergeJournal(openSync(path, 'a'))
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
    writeSync(this.descriptor, `${JSON.stringify(line)}\n`)
  }

  close(): void {
    closeSync(this.descriptor)
  }
}

/** What the journal at `path` vouches for, or nothing when it is not that of the merge with this fingerprint. */
export function readJournal(path: string, fingerprint: string, outputs: number): JournalRecord | undefined {
  const [first, ...lines] = wholeLines(readFileSync(path, 'utf8'))
  if (first?.format !== format || first.fingerprint !== fingerprint) return undefined
  const record: JournalRecord = { written: new Array(outputs).fill(0), merged: [] }
  for (const { written, merged } of lines) {
    record.written[written.output] = written.bytes
    record.merged.push(...merged)
  }
  return record
}

// biome-ignore lint/suspicious/noExplicitAny: the lines are our own, and guarded by the fingerprint of the first
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

/** Everything that decides the bytes of the output: not threads, memory, or where files lie. */
export function fingerprintOf(plan: NativeMergePlan, inputs: JournalInput[]): string {
  const { outputs, programs, tensors } = plan
  const content = {
    inputs,
    outputs: outputs.map(({ metadata }) => metadata),
    programs,
    tensors: tensors.map(({ done: _, ...tensor }) => tensor),
  }
  return createHash('sha256').update(JSON.stringify(content)).digest('hex')
}
