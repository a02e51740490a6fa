import { type BenchmarkSpec, openBenchmark } from '../../evaluate/benchmarks/openBenchmark.js'
import { readBenchmarkRows } from '../../evaluate/benchmarks/rows.js'
import type { Outcome, Step, StepContext, StepKind } from '../step.js'
import { type BenchmarkQuestion, BenchmarkText } from './benchmarkText.js'

/** What rows must have nothing of. */
export interface ContaminationOptions {
  benchmarks: ContaminationBenchmark[]
  /** Words in a row that a question and a benchmark may not have in common, 1 to 50. Default: 8. */
  words?: number
}

/** A benchmark as an evaluation names it, or any file of which a column holds the questions. */
export interface ContaminationBenchmark extends Pick<BenchmarkSpec, 'name' | 'kind' | 'path' | 'options'> {
  column?: string | undefined
}

const defaultWords = 8

/** Takes out rows whose question has a run of words, or all words, of a benchmark's. */
export const contamination: StepKind<ContaminationOptions> = {
  columns: () => [],
  check({ benchmarks }, problems, path) {
    for (const [i, { column, kind, options }] of benchmarks.entries()) {
      if (column === undefined || (kind === undefined && options === undefined)) continue
      const message = 'Expected either column, or kind and options, which say how a known benchmark is read'
      problems.add([...path, 'benchmarks', i], message)
    }
  },
  describe: ({ benchmarks, words = defaultWords }) =>
    `no ${words} words in a row of ${benchmarks.map(({ name }) => name).join(', ')}`,
  files: ({ benchmarks }) => benchmarks.map(({ path }) => path),
  open: openContamination,
}

async function openContamination(
  { benchmarks, words = defaultWords }: ContaminationOptions,
  context: StepContext,
): Promise<Step> {
  const questions: BenchmarkQuestion[] = []
  const files: string[] = []
  /** Whose questions are not to be shown. */
  const confidential = new Set<string>()
  for (const each of benchmarks) {
    const read = await readQuestions({ ...each, path: context.resolvePath(each.path) }, context.signal)
    questions.push(...read.questions)
    files.push(...read.files)
    if (read.confidential) confidential.add(each.name)
  }
  const text = new BenchmarkText(questions, words)
  return {
    files,
    apply: (portion) =>
      portion.map((row): Outcome => {
        const found = text.find(row.question)
        if (!found) return { kept: row }
        const { benchmark, question, words: shared } = found
        const what = shared === undefined ? 'the whole question' : JSON.stringify(shared)
        const shown = confidential.has(benchmark) ? '' : `: ${what}`
        return { rejected: { reason: 'contaminated', detail: `${benchmark}, question ${question}${shown}` } }
      }),
  }
}

async function readQuestions(
  { name, path, kind, options, column }: ContaminationBenchmark,
  signal: AbortSignal,
): Promise<{ questions: BenchmarkQuestion[]; files: string[]; confidential: boolean }> {
  if (column !== undefined) {
    const { rows, paths } = await readBenchmarkRows(path, signal)
    const questions = rows.map((row, i) => ({ benchmark: name, id: String(i), text: row.text(column) }))
    return { questions, files: paths, confidential: false }
  }
  const benchmark = await openBenchmark({ name, path, kind, options }, { signal })
  return {
    questions: benchmark.questions.map(({ id, text }) => ({ benchmark: name, id, text })),
    files: benchmark.files.map((file) => file.path),
    confidential: benchmark.confidential,
  }
}
