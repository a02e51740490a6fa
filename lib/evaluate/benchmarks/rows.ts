import { BranchMergeError } from '../../errors.js'
import { type QuestionRows, readQuestionRows } from '../../questions/questionRow.js'

export const benchmarkErrorCode = 'ERR_BENCHMARK'

export const benchmarkError = (message: string, cause?: unknown): BranchMergeError =>
  new BranchMergeError(benchmarkErrorCode, message, { cause })

/** @throws ERR_BENCHMARK where a file or a row cannot be read, or there is no row */
export const readBenchmarkRows = (path: string, signal?: AbortSignal | undefined): Promise<QuestionRows> =>
  readQuestionRows(path, benchmarkErrorCode, signal)
