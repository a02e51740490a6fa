import { gradeMath } from '../../grading/gradeMath.js'
import type { Question } from '../../questions/question.js'
import { checkIds, type QuestionRow } from '../../questions/questionRow.js'
import { readBenchmarkRows } from './rows.js'
import type { BenchmarkReader, BenchmarkSource, ReadBenchmark } from './source.js'

const published = 500

export const math500: BenchmarkReader = {
  kind: 'math-500',
  names: /^math[-_ ]?500/i,
  hasColumns: (columns) => ['problem', 'answer', 'subject', 'level', 'unique_id'].every((name) => columns.has(name)),
  profiles: ['strict'],
  options: [],
  read: readMath500,
}

async function readMath500({ path, signal }: BenchmarkSource): Promise<ReadBenchmark> {
  const { paths, rows } = await readBenchmarkRows(path, signal)
  const questions = rows.map(readQuestion)
  checkIds(questions, rows)
  return {
    version: 'math-500/strict@1',
    paths,
    questions,
    trials: 1,
    sampling: { temperature: 0.6, topP: 0.95, maxTokens: 32768 },
    needsPrograms: false,
    confidential: false,
    notes: rows.length === published ? [] : [`It has ${rows.length} problems; the published set has ${published}`],
  }
}

const instruction = 'Please reason step by step, and put your final answer within \\boxed{}.'

function readQuestion(row: QuestionRow): Question {
  const problem = row.text('problem').trim()
  const gold = row.textOrNumber('answer')
  const labels = ['subject', 'level'].flatMap((name) => (row.has(name) ? [[name, row.textOrNumber(name)]] : []))
  return {
    id: row.textOrNumber('unique_id'),
    text: problem,
    labels: Object.fromEntries(labels),
    prompt: () => ({ messages: [{ role: 'user', content: `${problem}\n\n${instruction}` }] }),
    reference: gold,
    grade: async (completion) => gradeMath(completion, gold, 'strict'),
  }
}
