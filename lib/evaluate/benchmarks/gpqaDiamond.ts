import { createHash } from 'node:crypto'
import type { Message } from '../../engines/generation.js'
import { gradeChoice } from '../../grading/choice.js'
import type { Completion } from '../../grading/completion.js'
import { gradePaperChoice } from '../../grading/paperChoice.js'
import type { Verdict } from '../../grading/verdict.js'
import type { Question } from '../../questions/question.js'
import { checkIds, type QuestionRow } from '../../questions/questionRow.js'
import { permutation } from '../../questions/shuffle.js'
import { checkBoolean } from '../../validate.js'
import type { Profile } from './benchmark.js'
import { readCsvRows } from './csv.js'
import { readBenchmarkRows } from './rows.js'
import type { BenchmarkReader, BenchmarkSource, ReadBenchmark } from './source.js'

/** Columns of the options; the first has the right one. Verdicts name options so: letters mean another one in each trial. */
const optionColumns = ['Correct Answer', 'Incorrect Answer 1', 'Incorrect Answer 2', 'Incorrect Answer 3']
const letters = 'ABCD'
/** Questions of the diamond set. */
const published = 198

export const gpqaDiamond: BenchmarkReader = {
  kind: 'gpqa-diamond',
  names: /^gpqa/i,
  hasColumns: (columns) => columns.has('Question') && optionColumns.every((name) => columns.has(name)),
  profiles: ['strict', 'paper'],
  options: ['boxed'],
  read: readGpqa,
}

async function readGpqa({ path, profile, options, signal }: BenchmarkSource): Promise<ReadBenchmark> {
  const boxed = options['boxed'] === undefined ? false : checkBoolean(options['boxed'], 'boxed')
  const { paths, rows } = /\.csv$/i.test(path) ? await readCsvRows(path) : await readBenchmarkRows(path, signal)
  const questions = rows.map((row) => readQuestion(row, profile, boxed))
  checkIds(questions, rows)
  return {
    version: `gpqa-diamond/${profile}@1${profile === 'strict' && boxed ? '+boxed' : ''}`,
    paths,
    questions,
    trials: 4,
    sampling: { temperature: 0.6, topP: 0.95, maxTokens: 32768 },
    needsPrograms: false,
    confidential: true,
    notes: rows.length === published ? [] : [`It has ${rows.length} questions; the published set has ${published}`],
  }
}

function readQuestion(row: QuestionRow, profile: Profile, boxed: boolean): Question {
  const question = row.text('Question')
  const texts = optionColumns.map((name) => row.textOrNumber(name))
  const id = row.has('Record ID')
    ? row.text('Record ID')
    : createHash('sha256').update(question).digest('hex').slice(0, 16)
  const render = profile === 'paper' ? paperPrompt : boxed ? boxedPrompt : lastLinePrompt
  const orderOf = (trial: number, seed: number) => permutation(texts.length, id, seed, trial)
  return {
    id,
    text: question,
    labels: labelsOf(row),
    prompt: (trial, seed) => ({
      messages: render(
        question,
        orderOf(trial, seed).map((from) => texts[from] as string),
      ),
    }),
    reference: texts[0] as string,
    grade: async (completion, { trial, seed }) => gradeOrder(completion, texts, orderOf(trial, seed), profile),
  }
}

function gradeOrder(
  completion: Completion,
  texts: readonly string[],
  order: readonly number[],
  profile: Profile,
): Verdict {
  const names = order.map((from) => optionColumns[from] as string)
  const right = order.indexOf(0)
  if (profile === 'paper') return gradePaperChoice(completion, right, names)
  return gradeChoice(completion, { letters, texts: order.map((from) => texts[from] as string), names, right })
}

function labelsOf(row: QuestionRow): Record<string, string> {
  const columns: [label: string, column: string][] = [
    ['domain', 'High-level domain'],
    ['subdomain', 'Subdomain'],
  ]
  return Object.fromEntries(columns.flatMap(([label, name]) => (row.has(name) ? [[label, row.text(name)]] : [])))
}

const optionLines = (texts: readonly string[]): string[] => texts.map((text, i) => `${letters[i]}) ${text}`)

/** The text of OpenAI's simple-evals, which leaves white space of the file where it is. */
const lastLinePrompt = (question: string, texts: readonly string[]): Message[] => [
  {
    role: 'user',
    content:
      'Answer the following multiple choice question. The last line of your response should be of the following format: ' +
      "'Answer: $LETTER' (without quotes) where LETTER is one of ABCD. Think step by step before answering.\n\n" +
      `${question}\n\n${optionLines(texts).join('\n')}`,
  },
]

const boxedPrompt = (question: string, texts: readonly string[]): Message[] => [
  {
    role: 'user',
    content:
      'Return your final response within \\boxed{} and only include the letter choice (A, B, C, or D) as your final response. ' +
      `${question}\n\n${optionLines(texts).join('\n')}`,
  },
]

/** The authors' code writes the braces twice, in a text in which that is no escape. */
const paperPrompt = (question: string, texts: readonly string[]): Message[] => [
  { role: 'system', content: 'You are a helpful and harmless assistant. You should think step-by-step.' },
  {
    role: 'user',
    content:
      'Return your final response within \\boxed{{}} and only include the letter choice (A, B, C, or D) as your final response. ' +
      `${question}\n${texts.map((text, i) => `${letters[i]}) ${text}`).join(', ')}`,
  },
]
