import { join } from 'node:path'
import { type ReadOptions, readRecords } from '../../asking/recordFile.js'
import { BranchMergeError } from '../../errors.js'
import { LineAppender, readLines } from '../../files/appendLines.js'
import { claimDirectory } from '../../files/claimDirectory.js'
import { makeDirectory, sync, syncAbove } from '../../files/durableFiles.js'
import { firstOf, listIfPresent } from '../../files/outputDirectory.js'
import { partialSuffix, removeAbandoned } from '../../files/owners.js'
import { readSmallFile } from '../../files/readSmallFile.js'
import { writeWhole } from '../../files/writeWhole.js'
import { isMapping } from '../../validate.js'
import type { AnswerRecord, EvaluationRecord, FailedRecord, GradeRecord } from './records.js'

export const recordName = 'evaluation.json'
export const answersName = 'answers.jsonl'
export const gradesName = 'grades.jsonl'
/** What `compare` writes. */
export const reportName = 'report'

const claimName = 'evaluation'
const maxRecordBytes = 64 * 2 ** 20

/** What is known of a stored answer without reading it again. */
export interface StoredAnswer {
  model: string
  prompt: number | null
  completion: number | null
}

/** Which version graded an answer, and for which asking. */
export interface StoredGrade {
  version: string
  asking: string
}

/** Lines that are no records of ours: a disk that lost power leaves such. */
export interface Damage {
  file: string
  lines: number
}

/** The directory of an evaluation, open for writing by this process alone. */
export class EvaluationStore {
  /** By key: answers that came. */
  readonly answered = new Map<string, StoredAnswer>()
  /** By key: by what the answer was graded last. */
  readonly graded = new Map<string, StoredGrade>()
  readonly damage: Damage[] = []
  private readonly kinds = new Map<string, StoredGrade>()

  private constructor(
    readonly directory: string,
    /** What was evaluated here before. */
    readonly before: EvaluationRecord | undefined,
    private readonly release: () => Promise<void>,
    private readonly answers: LineAppender,
    private readonly grades: LineAppender,
  ) {}

  /**
   * Opens a new directory, or with `resume` one that has an evaluation.
   *
   * @throws ERR_OUTPUT_EXISTS when it has one and `resume` is false, or when it holds something else; ERR_EVALUATION when
   *   another process writes to it or its files cannot be read; ERR_OUTPUT_WRITE
   */
  static async open(directory: string, resume: boolean, signal?: AbortSignal | undefined): Promise<EvaluationStore> {
    const names = (await listIfPresent(directory))?.filter((name) => !name.endsWith(partialSuffix))
    if (!resume) await refuseAnswers(directory)
    const foreign = (names ?? []).filter((name) => ![recordName, answersName, gradesName, reportName].includes(name))
    if (foreign.length > 0 && !names?.includes(recordName)) {
      throw new BranchMergeError(
        'ERR_OUTPUT_EXISTS',
        `Expected a new or empty directory for out but ${directory} holds ${firstOf(foreign)}. Choose another.`,
      )
    }
    if (!names) await syncAbove(directory, await makeDirectory(directory))
    return await EvaluationStore.claim(directory, signal, resume)
  }

  /**
   * Opens a directory that has an evaluation; nothing where there is none.
   *
   * @throws ERR_EVALUATION when another process writes to it or its files cannot be read; ERR_OUTPUT_WRITE
   */
  static async openExisting(directory: string, signal?: AbortSignal | undefined): Promise<EvaluationStore | undefined> {
    return (await readEvaluationRecord(directory)) && (await EvaluationStore.claim(directory, signal))
  }

  private static async claim(
    directory: string,
    signal: AbortSignal | undefined,
    resume = true,
  ): Promise<EvaluationStore> {
    const release = await claimDirectory(directory, claimName, 'ERR_EVALUATION')
    const appenders: LineAppender[] = []
    try {
      // Of a process that died while it graded again.
      await removeAbandoned(directory, `${gradesName}.`)
      // Another process may have been there in between.
      if (!resume) await refuseAnswers(directory)
      const before = resume ? await readEvaluationRecord(directory) : undefined
      for (const name of [answersName, gradesName]) appenders.push(await LineAppender.open(join(directory, name)))
      const [answers, grades] = appenders as [LineAppender, LineAppender]
      const store = new EvaluationStore(directory, before, release, answers, grades)
      await store.readIndex(signal)
      await sync(directory)
      return store
    } catch (error) {
      for (const appender of appenders) await appender.close().catch(() => {})
      await release()
      throw error
    }
  }

  private async readIndex(signal: AbortSignal | undefined): Promise<void> {
    const damaged = { answers: 0, grades: 0 }
    for await (const record of readAnswers(this.directory, { signal, onDamage: () => damaged.answers++ })) {
      if (record.error) continue
      this.answered.set(record.key, storedAnswer(record))
    }
    for await (const grade of readGrades(this.directory, { signal, onDamage: () => damaged.grades++ })) {
      this.graded.set(grade.key, this.storedGrade(grade))
    }
    if (damaged.answers > 0) this.damage.push({ file: answersName, lines: damaged.answers })
    if (damaged.grades > 0) this.damage.push({ file: gradesName, lines: damaged.grades })
  }

  /** Resolves when the end of this process cannot lose it. */
  async addAnswer(record: AnswerRecord | FailedRecord): Promise<void> {
    await this.answers.append(JSON.stringify(record))
    if (!record.error) this.answered.set(record.key, storedAnswer(record))
  }

  async addGrade(record: GradeRecord): Promise<void> {
    await this.grades.append(JSON.stringify(record))
    this.graded.set(record.key, this.storedGrade(record))
  }

  /** One object for all that are alike. */
  private storedGrade({ version, asking }: GradeRecord): StoredGrade {
    const name = JSON.stringify([version, asking])
    const known = this.kinds.get(name) ?? { version, asking }
    this.kinds.set(name, known)
    return known
  }

  readGrades(signal: AbortSignal): AsyncGenerator<GradeRecord> {
    return readGrades(this.directory, { signal })
  }

  async write(record: EvaluationRecord): Promise<void> {
    await writeWhole(join(this.directory, recordName), `${JSON.stringify(record, null, 2)}\n`)
  }

  async close(): Promise<void> {
    try {
      await this.answers.close()
    } finally {
      try {
        await this.grades.close()
      } finally {
        await this.release()
      }
    }
  }
}

/** An evaluation that ended before the first answer, as without a server, has nothing to lose and is begun anew. */
async function refuseAnswers(directory: string): Promise<void> {
  for await (const _ of readLines(join(directory, answersName))) {
    throw new BranchMergeError(
      'ERR_OUTPUT_EXISTS',
      `${directory} has an evaluation already. Go on with it, or extend it, with --resume, or choose another directory.`,
    )
  }
}

const storedAnswer = ({ model, tokens: { prompt, completion } }: AnswerRecord): StoredAnswer => ({
  model,
  prompt,
  completion,
})

/** The answers and failures of a directory, in the order in which they came. */
export async function* readAnswers(
  directory: string,
  options: ReadOptions = {},
): AsyncGenerator<AnswerRecord | FailedRecord> {
  yield* readRecords<AnswerRecord | FailedRecord>(join(directory, answersName), options)
}

/** The grades of a directory, in the order in which they came. */
export async function* readGrades(directory: string, options: ReadOptions = {}): AsyncGenerator<GradeRecord> {
  yield* readRecords<GradeRecord>(join(directory, gradesName), options)
}

/**
 * What evaluation.json of a directory says; undefined where there is none.
 *
 * @throws ERR_EVALUATION when it is no record of this version
 */
export async function readEvaluationRecord(directory: string): Promise<EvaluationRecord | undefined> {
  const path = join(directory, recordName)
  const bytes = await readSmallFile(path, maxRecordBytes, 'ERR_EVALUATION')
  if (!bytes) return undefined
  const record = parseRecord(bytes)
  if (isMapping(record) && record.format === 'branchmerge evaluation' && record.version === 1) return record
  throw new BranchMergeError(
    'ERR_EVALUATION',
    `Expected the record of an evaluation in ${path}, of version 1: it is damaged, or another version of branchmerge wrote it`,
  )
}

function parseRecord(bytes: Buffer): EvaluationRecord | undefined {
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch {
    return undefined
  }
}
