import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promptBound } from '../asking/promptBound.js'
import { batchLimits, batchLine } from '../engines/batch/batchLine.js'
import { BranchMergeError } from '../errors.js'
import { sync } from '../files/durableFiles.js'
import { examineOutput, outputFailure } from '../files/outputDirectory.js'
import { removeAbandoned } from '../files/owners.js'
import { WholeLines } from '../files/wholeLines.js'
import { batchTeacher } from './batchTeacher.js'
import { customIdOf } from './customId.js'
import type { TeachingRun } from './runTeaching.js'
import { teacherName } from './schedule.js'

/** What was written for a batch API. */
export interface BatchWritten {
  /** Paths, to be sent in any order. */
  files: { path: string; requests: number; bytes: number; sha256: string }[]
  requests: number
  /** Answers that are missing and were not written, because they may pass a limit. */
  held: number
  /** Bounds of all that was written: prompts have no more tokens than bytes, answers no more than they may. */
  highest: { prompt: number; completion: number; cost: number | null }
}

/**
 * Writes a request for each answer that is missing, into files that a batch API takes. All of them are there or none.
 *
 * @throws ERR_OUTPUT_EXISTS where the directory holds anything; ERR_OUTPUT_WRITE, ERR_DISK_FULL; the signal's reason
 */
export async function writeBatch(
  run: TeachingRun,
  directory: string,
  limits: { requests: number; bytes: number } = batchLimits,
): Promise<BatchWritten> {
  const { teaching, running, budget } = run
  const teacher = batchTeacher(teaching.teacher)
  await examineOutput(directory, undefined)
  const schedule = await run.begin(teacher)
  const { sampling } = teaching
  const { tokens = Infinity, cost = Infinity, requests: mostRequests = Infinity } = teaching.limits
  const spent = { ...budget.spent }
  await mkdir(directory, { recursive: true }).catch((error) => {
    throw outputFailure(directory, error)
  })
  await removeAbandoned(directory)
  const writer = new BatchFiles(directory, limits)
  const written = { requests: 0, held: 0, prompt: 0, completion: 0 }
  try {
    for (let task = schedule.take(); task; task = schedule.take()) {
      running.signal.throwIfAborted()
      const [prompt, completion] = [written.prompt + promptBound(task.prompt), written.completion + sampling.maxTokens]
      const fits =
        spent.requests + written.requests + 1 <= mostRequests &&
        spent.prompt + spent.completion + prompt + completion <= tokens &&
        (spent.cost ?? 0) + (budget.costOf(teacherName, prompt, completion) ?? 0) <= cost
      if (!fits) {
        written.held++
        continue
      }
      Object.assign(written, { prompt, completion, requests: written.requests + 1 })
      const { model } = teacher.identity
      const request = { customId: customIdOf(task), model, prompt: task.prompt, sampling, seed: task.requestSeed }
      await writer.add(batchLine(request))
    }
    const { requests, held, prompt, completion } = written
    const highest = { prompt, completion, cost: budget.costOf(teacherName, prompt, completion) }
    return { files: await writer.publish(), requests, held, highest }
  } finally {
    await writer.close()
  }
}

/** Files of lines, each within the limits. */
class BatchFiles {
  private readonly files: WholeLines[] = []
  private size = { lines: 0, bytes: 0 }

  constructor(
    private readonly directory: string,
    private readonly limits: { requests: number; bytes: number },
  ) {}

  async add(line: string): Promise<void> {
    const bytes = Buffer.byteLength(line) + 1
    if (bytes > this.limits.bytes) {
      throw new BranchMergeError(
        'ERR_DATA',
        `Expected requests of at most ${this.limits.bytes} bytes, which a batch API takes, but one has ${bytes}`,
      )
    }
    const { lines, bytes: filled } = this.size
    if (this.files.length === 0 || lines >= this.limits.requests || filled + bytes > this.limits.bytes) {
      const number = String(this.files.length + 1).padStart(4, '0')
      this.files.push(await WholeLines.create(join(this.directory, `requests-${number}.jsonl`)))
      this.size = { lines: 0, bytes: 0 }
    }
    this.size.lines++
    this.size.bytes += bytes
    await (this.files.at(-1) as WholeLines).add(line)
  }

  async publish(): Promise<BatchWritten['files']> {
    const hashes: string[] = []
    for (const file of this.files) hashes.push(await file.complete())
    for (const file of this.files) await file.publish()
    await sync(this.directory)
    return this.files.map(({ path, rows, bytes }, i) => ({ path, requests: rows, bytes, sha256: hashes[i] as string }))
  }

  async close(): Promise<void> {
    for (const file of this.files) await file.discard()
  }
}
