import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { readRecords } from '../asking/recordFile.js'
import { BranchMergeError } from '../errors.js'
import { LineAppender } from '../files/appendLines.js'
import { claimDirectory } from '../files/claimDirectory.js'
import { makeDirectory, sync, syncAbove } from '../files/durableFiles.js'
import { firstOf, listIfPresent } from '../files/outputDirectory.js'
import { partialSuffix } from '../files/owners.js'
import { readSmallFile } from '../files/readSmallFile.js'
import { writeWhole } from '../files/writeWhole.js'
import type { OutputPaths } from './outputPaths.js'
import type { CheckRecord, TaughtAnswer, TaughtFailure, TeachingState } from './records.js'

const stateName = 'teaching.json'
const answersName = 'answers.jsonl'
const checksName = 'checks.jsonl'
const claimName = 'teaching'
const maxStateBytes = 16 * 2 ** 20

/** What is known of a stored answer without reading it again. */
export interface KnownAnswer {
  question: string
  attempt: number
  prompt: number | null
  completion: number | null
}

/** What is known of a check. */
export type KnownCheck = Pick<CheckRecord, 'decision' | 'checks'>

/** Lines that are no records of ours. */
export interface Damage {
  file: string
  lines: number
}

/** Where a teaching keeps every answer: a directory beside the trajectories, open for writing by this process alone. */
export class TeachingStore {
  /** By key: answers that came. */
  readonly answered = new Map<string, KnownAnswer>()
  /** By key: what became of the answer. */
  readonly checked = new Map<string, KnownCheck>()
  readonly damage: Damage[] = []
  /** Requests that failed, each time that they did. */
  failures = 0
  private readonly kinds = new Map<string, KnownCheck>()

  private constructor(
    readonly directory: string,
    private readonly release: () => Promise<void>,
    private readonly answers: LineAppender,
    private readonly checks: LineAppender,
  ) {}

  /**
   * Opens the answers of a new teaching, or with `resume` of one that has begun.
   *
   * @throws ERR_OUTPUT_EXISTS when there is one and `resume` is false, or when something else is in the way; ERR_TEACHING when
   *   another process writes there; ERR_OUTPUT_WRITE
   */
  static async open(paths: OutputPaths, resume: boolean, signal?: AbortSignal | undefined): Promise<TeachingStore> {
    const { directory, trajectories } = paths
    const names = (await listIfPresent(directory))?.filter((name) => !name.endsWith(partialSuffix))
    const foreign = (names ?? []).filter((name) => ![stateName, answersName, checksName].includes(name))
    if (foreign.length > 0) {
      throw new BranchMergeError(
        'ERR_OUTPUT_EXISTS',
        `Expected the answers of a teaching in ${directory}, or nothing, but it holds ${firstOf(foreign)}. Choose another out.`,
      )
    }
    if (!names && (await exists(trajectories))) {
      throw new BranchMergeError(
        'ERR_OUTPUT_EXISTS',
        `Expected no file at ${trajectories}, as it has no answers beside it, in ${directory}. Choose another out.`,
      )
    }
    if (!names) await syncAbove(directory, await makeDirectory(directory))
    const release = await claimDirectory(directory, claimName, 'ERR_TEACHING')
    const appenders: LineAppender[] = []
    try {
      for (const name of [answersName, checksName]) appenders.push(await LineAppender.open(join(directory, name)))
      const [answers, checks] = appenders as [LineAppender, LineAppender]
      const store = new TeachingStore(directory, release, answers, checks)
      await store.readIndex(signal)
      if (!resume && store.answered.size > 0) {
        throw new BranchMergeError(
          'ERR_OUTPUT_EXISTS',
          `${directory} has answers of a teaching already. Go on with it, or extend it, with --resume, or choose another out.`,
        )
      }
      await sync(directory)
      return store
    } catch (error) {
      for (const appender of appenders) await appender.close().catch(() => {}) // the first failure tells more
      await release()
      throw error
    }
  }

  private async readIndex(signal: AbortSignal | undefined): Promise<void> {
    const damaged = { answers: 0, checks: 0 }
    for await (const record of this.readAnswers(signal, () => damaged.answers++)) {
      if (record.error) this.failures++
      else this.answered.set(record.key, knownAnswer(record))
    }
    const options = { signal, onDamage: () => damaged.checks++ }
    for await (const check of readRecords<CheckRecord>(this.checksPath, options)) {
      this.checked.set(check.key, this.knownCheck(check))
    }
    if (damaged.answers > 0) this.damage.push({ file: answersName, lines: damaged.answers })
    if (damaged.checks > 0) this.damage.push({ file: checksName, lines: damaged.checks })
  }

  /** Answers and failures in the order in which they came. */
  readAnswers(
    signal?: AbortSignal | undefined,
    onDamage?: (() => void) | undefined,
  ): AsyncGenerator<TaughtAnswer | TaughtFailure> {
    return readRecords(this.answersPath, { signal, onDamage })
  }

  get answersPath(): string {
    return join(this.directory, answersName)
  }

  get checksPath(): string {
    return join(this.directory, checksName)
  }

  /** Resolves when the end of this process cannot lose it. */
  async addAnswer(record: TaughtAnswer | TaughtFailure): Promise<void> {
    await this.answers.append(JSON.stringify(record))
    if (record.error) this.failures++
    else this.answered.set(record.key, knownAnswer(record))
  }

  async addCheck(record: CheckRecord): Promise<void> {
    await this.checks.append(JSON.stringify(record))
    this.checked.set(record.key, this.knownCheck(record))
  }

  /** One object for all that are alike. */
  private knownCheck({ decision, checks }: CheckRecord): KnownCheck {
    const name = `${decision} ${checks}`
    const known = this.kinds.get(name) ?? { decision, checks }
    this.kinds.set(name, known)
    return known
  }

  /** Who was asked last; undefined in a new teaching. @throws ERR_TEACHING */
  async readState(): Promise<TeachingState | undefined> {
    const path = join(this.directory, stateName)
    const bytes = await readSmallFile(path, maxStateBytes, 'ERR_TEACHING')
    return bytes && parseState(path, bytes.toString('utf8'))
  }

  async writeState(state: TeachingState): Promise<void> {
    await writeWhole(join(this.directory, stateName), `${JSON.stringify(state, null, 2)}\n`)
  }

  async close(): Promise<void> {
    try {
      await this.answers.close()
    } finally {
      try {
        await this.checks.close()
      } finally {
        await this.release()
      }
    }
  }
}

const knownAnswer = ({ question, attempt, tokens: { prompt, completion } }: TaughtAnswer): KnownAnswer => ({
  question,
  attempt,
  prompt,
  completion,
})

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

function parseState(path: string, text: string): TeachingState {
  try {
    const state = JSON.parse(text) as TeachingState
    if (state.format === 'branchmerge teaching' && state.version === 1) return state
  } catch {
    // told below
  }
  throw new BranchMergeError(
    'ERR_TEACHING',
    `Expected the record of a teaching in ${path}, of version 1: it is damaged, or another version of branchmerge wrote it`,
  )
}
