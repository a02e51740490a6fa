import { createHash } from 'node:crypto'
import { gradeInteger } from '../../grading/integer.js'
import { gradePaperInteger } from '../../grading/paperInteger.js'
import type { Question } from '../../questions/question.js'
import { checkIds, type QuestionRow } from '../../questions/questionRow.js'
import type { Profile } from './benchmark.js'
import { readBenchmarkRows } from './rows.js'
import type { BenchmarkReader, BenchmarkSource, ReadBenchmark } from './source.js'

/** Problems of one year: two papers of fifteen. */
const published = 30

export const aime: BenchmarkReader = {
  kind: 'aime',
  names: /^aime/i,
  // Other collections of problems have the same columns: only the name tells.
  hasColumns: () => false,
  profiles: ['strict', 'paper'],
  options: [],
  read: readAime,
}

async function readAime({ path, profile, signal }: BenchmarkSource): Promise<ReadBenchmark> {
  const { paths, rows } = await readBenchmarkRows(path, signal)
  const questions = rows.map((row) => readQuestion(row, profile))
  checkIds(questions, rows)
  const sampling = { temperature: 0.6, topP: 0.95, maxTokens: 32768 }
  return {
    version: `aime/${profile}@1`,
    paths,
    questions,
    trials: 16,
    sampling: profile === 'paper' ? { ...sampling, stop: ['<|im_end|>', endOfSentence] } : sampling,
    needsPrograms: false,
    confidential: false,
    notes: rows.length === published ? [] : [`It has ${rows.length} problems; one year has ${published}`],
  }
}

const instruction = 'Please reason step by step, and put your final answer within \\boxed{}.'
const endOfSentence = '<｜end▁of▁sentence｜>'

function readQuestion(row: QuestionRow, profile: Profile): Question {
  const problem = row.text('problem', 'Problem', 'question').trim()
  const gold = row.integer('answer', 'Answer')
  if (gold < 0n || gold > 999n) throw row.problem(`expected an answer from 0 to 999 but received ${gold}`)
  const hasId = row.value('id', 'ID', 'problem_idx', 'unique_id') !== undefined
  const id = hasId ? row.textOrNumber('id', 'ID', 'problem_idx', 'unique_id') : digest(problem)
  const strict = { messages: [{ role: 'user' as const, content: `${problem}\n\n${instruction}` }] }
  const paper = { text: `<｜begin▁of▁sentence｜>${instruction}<｜User｜>${problem}<｜Assistant｜>` }
  return {
    id,
    text: problem,
    labels: yearOf(row),
    prompt: () => (profile === 'paper' ? paper : strict),
    reference: String(gold),
    grade: async (completion) =>
      profile === 'paper'
        ? gradePaperInteger(completion, String(gold))
        : gradeInteger(completion, gold, { range: [0n, 999n], strict: true }),
  }
}

const digest = (problem: string): string => createHash('sha256').update(problem).digest('hex').slice(0, 16)

function yearOf(row: QuestionRow): Record<string, string> {
  const given = row.has('year') ? row.textOrNumber('year') : ''
  const sources = [given, row.value('url'), row.value('id', 'ID')].filter((source) => typeof source === 'string')
  const year = sources.map((source) => /(?:19|20)\d\d/.exec(source)?.[0]).find((found) => found !== undefined)
  return year === undefined ? {} : { year }
}
