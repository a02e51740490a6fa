import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type ColumnSource, parquetWriteBuffer } from 'hyparquet-writer'
import { expect } from 'vitest'
import type { Benchmark } from '../../../lib/evaluate/benchmarks/benchmark.js'
import { type BenchmarkSpec, openBenchmark } from '../../../lib/evaluate/benchmarks/openBenchmark.js'
import { type Completion, splitCompletion } from '../../../lib/grading/completion.js'
import type { Verdict } from '../../../lib/grading/verdict.js'
import type { GradeContext, Question } from '../../../lib/questions/question.js'
import { temporaryDirectory } from '../../support/temporary.js'

/** A file of a directory that goes with the test. */
export function written(name: string, content: string | Uint8Array): string {
  const path = join(temporaryDirectory(), name)
  writeFileSync(path, content)
  return path
}

export const jsonLines = (rows: readonly unknown[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('')

export const parquet = (columnData: ColumnSource[]): Uint8Array => new Uint8Array(parquetWriteBuffer({ columnData }))

/** A benchmark of rows in JSON Lines. */
export const opened = (rows: readonly unknown[], spec: Omit<BenchmarkSpec, 'path'>): Promise<Benchmark> =>
  openBenchmark({ ...spec, path: written('questions.jsonl', jsonLines(rows)) })

/** What the model wrote without reasoning; with a limit that it reached where `finish` is `length`. */
export const said = (text: string, finish = 'stop'): Completion =>
  splitCompletion({ text, reasoning: null, thinkOpened: false, finish })

export function question(benchmark: Benchmark, index = 0): Question {
  const found = benchmark.questions[index]
  expect(found).toBeDefined()
  return found as Question
}

export const graded = (
  question: Question,
  answer: string | Completion,
  context: Partial<GradeContext> = {},
): Promise<Verdict> =>
  question.grade(typeof answer === 'string' ? said(answer) : answer, { trial: 0, seed: 0, ...context })

/** Texts of the messages of a prompt, by role. */
export const promptOf = (question: Question, trial = 0, seed = 0): [role: string, content: string][] =>
  (question.prompt(trial, seed).messages ?? []).map(({ role, content }) => [role, content])
