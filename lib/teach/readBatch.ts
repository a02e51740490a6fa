import { stat } from 'node:fs/promises'
import { type BatchAnswer, type BatchResult, readBatchLine } from '../engines/batch/batchLine.js'
import { BranchMergeError } from '../errors.js'
import { readLines } from '../files/appendLines.js'
import { readFailure } from '../files/readSmallFile.js'
import { batchTeacher } from './batchTeacher.js'
import { CustomIds } from './customId.js'
import type { TaughtAnswer, TaughtFailure } from './records.js'
import type { Taught, TeachingRun } from './runTeaching.js'
import type { TeachingTask } from './schedule.js'

/** Lines that are written together. */
const linesAtOnce = 256

/** What became of the lines that a batch API wrote. */
export interface BatchRead {
  lines: number
  /** Answers that are new. */
  answers: number
  /** Answers that were stored before, or stood twice. */
  known: number
  /** Requests that failed, by what the server said: they are written again by the next files of requests. */
  failures: Readonly<Record<string, number>>
}

/**
 * Stores and checks the answers of files that a batch API wrote, and writes the trajectories. Nothing is stored unless every
 * line is one of this teaching.
 *
 * @throws ERR_DATA naming file and line where one is not; ERR_FILE_READ; what checking and writing throw
 */
export async function readBatch(
  run: TeachingRun,
  files: readonly string[],
): Promise<{ taught: Taught; batch: BatchRead }> {
  const { teaching, questions, running } = run
  const { store, signal } = running
  const schedule = await run.begin(batchTeacher(teaching.teacher))
  await refuseMissing(files)
  const ids = new CustomIds(questions.questions, teaching.quota.attempts, schedule)
  for (const file of files) for await (const _ of resultsOf(file, ids, signal)) signal.throwIfAborted()
  let [lines, answers, known] = [0, 0, 0]
  const failures: Record<string, number> = {}
  let failure: string | undefined
  const coming = new Set<string>()
  const writing: Promise<void>[] = []
  for (const file of files) {
    for await (const { outcome, question, attempt } of resultsOf(file, ids, signal)) {
      lines++
      const key = schedule.key(question, attempt)
      if (store.answered.has(key) || coming.has(key)) {
        known++
        continue
      }
      const task = schedule.task(question, attempt)
      if ('answer' in outcome) {
        answers++
        coming.add(key)
        writing.push(run.take(answerOf(task, outcome.answer, teaching.sampling.maxTokens), task))
      } else {
        failure = outcome.failure
        failures[failure] = (failures[failure] ?? 0) + 1
        writing.push(run.take(failureOf(task, outcome.failure), task))
      }
      if (writing.length < linesAtOnce) continue
      await Promise.all(writing.splice(0))
      coming.clear()
      await run.ready()
    }
  }
  await Promise.all(writing)
  await run.finish()
  const manifest = await run.write()
  const failed = Object.values(failures).reduce((sum, count) => sum + count, 0)
  return { taught: { manifest, failed, failure, stopped: false }, batch: { lines, answers, known, failures } }
}

async function refuseMissing(files: readonly string[]): Promise<void> {
  for (const file of files) {
    await stat(file).catch((cause) => {
      throw readFailure(file, cause)
    })
  }
}

async function* resultsOf(
  file: string,
  ids: CustomIds,
  signal: AbortSignal,
): AsyncGenerator<BatchResult & Pick<TeachingTask, 'question' | 'attempt'>> {
  let number = 0
  for await (const { text } of readLines(file, signal, true)) {
    number++
    if (text.trim() === '') continue
    const place = `${file}, line ${number}`
    let result: BatchResult
    try {
      result = readBatchLine(text)
    } catch (cause) {
      throw new BranchMergeError('ERR_DATA', `${place}: ${(cause as Error).message}`, { cause })
    }
    const found = ids.find(result.customId)
    if (!found) {
      throw new BranchMergeError(
        'ERR_DATA',
        `${place}: expected the custom_id of an answer of this teaching but received ${JSON.stringify(result.customId.slice(0, 80))}. ` +
          'Questions, teacher, sampling and seed have to be those with which the requests were written. Nothing was read.',
      )
    }
    yield { ...result, ...found }
  }
}

function answerOf(task: TeachingTask, answer: BatchAnswer, maxTokens: number): TaughtAnswer {
  const { key, prompt, requestSeed, question, attempt } = task
  const { text, reasoning, finish, usage, created } = answer
  const { promptTokens, completionTokens, exact } = usage
  return {
    v: 1,
    key,
    question: question.id,
    attempt,
    prompt,
    requestSeed,
    text,
    reasoning,
    thinkOpened: false,
    finish,
    tokens: { prompt: promptTokens, completion: completionTokens, exact },
    // When it was asked for, a batch API does not say.
    times: { asked: (created ?? new Date()).toISOString(), first: null, last: 0 },
    attempts: 1,
    maxTokens,
    server: 'batch',
  }
}

const failureOf = ({ key, question, attempt }: TeachingTask, message: string): TaughtFailure => ({
  v: 1,
  key,
  question: question.id,
  attempt,
  error: { code: 'ERR_ENGINE', message },
  times: { asked: new Date().toISOString() },
})
