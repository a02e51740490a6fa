import type { Completion } from '../../grading/completion.js'
import { withoutAnswer } from '../../grading/completion.js'
import { type Check, InstructionProblem, PatternTooSlow } from '../../grading/instructions/instruction.js'
import { looseVariants, readInstruction } from '../../grading/instructions/instructions.js'
import type { Verdict } from '../../grading/verdict.js'
import type { Question } from '../../questions/question.js'
import { checkIds, entriesOf, type QuestionRow, shown } from '../../questions/questionRow.js'
import { readBenchmarkRows } from './rows.js'
import type { BenchmarkReader, BenchmarkSource, ReadBenchmark } from './source.js'

const published = 541

export const ifeval: BenchmarkReader = {
  kind: 'ifeval',
  names: /^if-?eval/i,
  hasColumns: (columns) => ['prompt', 'instruction_id_list', 'kwargs'].every((name) => columns.has(name)),
  profiles: ['strict'],
  options: [],
  read: readIfeval,
}

async function readIfeval({ path, signal }: BenchmarkSource): Promise<ReadBenchmark> {
  const { paths, rows } = await readBenchmarkRows(path, signal)
  const questions = rows.map(readQuestion)
  checkIds(questions, rows)
  return {
    version: 'ifeval/strict@1',
    paths,
    questions,
    trials: 1,
    sampling: {},
    needsPrograms: false,
    confidential: false,
    notes: rows.length === published ? [] : [`It has ${rows.length} prompts; the published set has ${published}`],
  }
}

interface Instruction {
  id: string
  check: Check
}

function readQuestion(row: QuestionRow): Question {
  const instructions = readInstructions(row)
  const prompt = row.text('prompt')
  return {
    id: row.textOrNumber('key'),
    text: prompt,
    labels: { instructions: String(instructions.length) },
    prompt: () => ({ messages: [{ role: 'user', content: prompt }] }),
    reference: instructions.map(({ id }) => id).join(', '),
    grade: async (completion) => gradeInstructions(completion, instructions),
  }
}

function readInstructions(row: QuestionRow): Instruction[] {
  const [ids, kwargs] = [row.value('instruction_id_list'), row.value('kwargs')]
  if (!Array.isArray(ids) || ids.length === 0) {
    throw row.problem(`expected a list for instruction_id_list but ${shown(ids)}`)
  }
  if (!Array.isArray(kwargs) || kwargs.length !== ids.length) {
    throw row.problem(`expected a list of ${ids.length}, as instruction_id_list has, for kwargs but ${shown(kwargs)}`)
  }
  return ids.map((id, index) => {
    try {
      return { id: String(id), check: readInstruction(String(id), new Map(entriesOf(kwargs[index]) ?? [])) }
    } catch (error) {
      if (error instanceof InstructionProblem) throw row.problem(`instruction ${index}, ${id}: ${error.message}`)
      throw error
    }
  })
}

/** What is followed strictly decides; the four numbers of IFEval are its metrics. */
function gradeInstructions(completion: Completion, instructions: readonly Instruction[]): Verdict {
  const response = responseOf(completion)
  const variants = looseVariants(response)
  try {
    const strict = instructions.map(({ check }) => check(response))
    const loose = instructions.map(({ check }, i) => strict[i] === true || variants.some(check))
    const failed = instructions.flatMap(({ id }, i) =>
      strict[i] ? [] : [`${id}${loose[i] ? ' (followed loosely)' : ''}`],
    )
    const metrics = metricsOf(strict, loose)
    if (failed.length === 0) return { status: 'correct', extracted: null, rule: 'all instructions followed', metrics }
    const detail = `not followed: ${failed.join(', ')}`
    if (completion.truncated || response === '') return { ...withoutAnswer(completion, detail), metrics }
    return {
      status: 'wrong',
      extracted: null,
      rule: `${failed.length} of ${instructions.length} not followed`,
      detail,
      metrics,
    }
  } catch (error) {
    if (!(error instanceof PatternTooSlow)) throw error
    const metrics = metricsOf(
      instructions.map(() => false),
      instructions.map(() => false),
    )
    return { status: 'unsupported', extracted: null, rule: 'instructions', detail: error.message, metrics }
  }
}

/** White space between the reasoning and the response is part of neither. */
function responseOf({ answer, full, closed }: Completion): string {
  if (!closed) return ''
  return answer === full ? answer : answer.trimStart()
}

function metricsOf(strict: readonly boolean[], loose: readonly boolean[]): NonNullable<Verdict['metrics']> {
  const prompt = (followed: readonly boolean[]) => ({ passed: followed.every(Boolean) ? 1 : 0, total: 1 })
  const each = (followed: readonly boolean[]) => ({ passed: followed.filter(Boolean).length, total: followed.length })
  return {
    'prompt-strict': prompt(strict),
    'prompt-loose': prompt(loose),
    'instruction-strict': each(strict),
    'instruction-loose': each(loose),
  }
}
