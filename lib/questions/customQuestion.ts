import { writeJson } from '../data/parseJson.js'
import type { Message } from '../engines/generation.js'
import { gradeChoice } from '../grading/choice.js'
import type { Completion } from '../grading/completion.js'
import { gradeExact } from '../grading/exact.js'
import { gradeMath } from '../grading/gradeMath.js'
import { gradeInteger } from '../grading/integer.js'
import { type FunctionTest, gradeFunction, gradeStdin, type StdinTest } from '../grading/programs/gradeProgram.js'
import { gradeRegex } from '../grading/regex.js'
import type { Verdict } from '../grading/verdict.js'
import type { ProgramRunner } from '../sandbox/program.js'
import { isMapping, nearestName } from '../validate.js'
import type { GradeContext, Question } from './question.js'
import { entriesOf, type QuestionRow, shown } from './questionRow.js'
import { permutation } from './shuffle.js'

/** Fields of every row. */
const commonFields = ['id', 'question', 'messages', 'system', 'answer', 'grader', 'labels']

/** How a row's answers are graded. */
interface Grading {
  reference: string
  /** What the last message ends with, such as the options. */
  suffix?: ((trial: number, seed: number) => string) | undefined
  grade(completion: Completion, context: GradeContext): Verdict | Promise<Verdict>
}

interface Grader {
  /** Fields that it takes beside those of every row. */
  fields: readonly string[]
  needsPrograms: boolean
  read(row: QuestionRow, id: string): Grading
}

const graders: ReadonlyMap<string, Grader> = new Map([
  ['math', { fields: [], needsPrograms: false, read: readMath }],
  ['integer', { fields: [], needsPrograms: false, read: readInteger }],
  ['choice', { fields: ['choices'], needsPrograms: false, read: readChoice }],
  ['exact', { fields: [], needsPrograms: false, read: readExact }],
  ['regex', { fields: ['pattern', 'flags'], needsPrograms: false, read: readRegex }],
  ['python-stdin', { fields: ['seconds'], needsPrograms: true, read: readStdin }],
  ['python-function', { fields: ['entry', 'seconds'], needsPrograms: true, read: readFunction }],
])

/** Of the graders together: changes when any does. */
export const gradersVersion = 'custom/strict@1'

/** Names of the graders, as rows have them. */
export const graderNames: readonly string[] = [...graders.keys()]

/** Whether grading the answers to a row's question runs programs. */
export const needsPrograms = (row: QuestionRow): boolean => graders.get(row.text('grader'))?.needsPrograms ?? false

/** All of a row that decides how answers are graded. */
export function gradingText(row: QuestionRow): string {
  const own = graders.get(row.text('grader'))?.fields ?? []
  const fields = ['grader', 'answer', ...own].filter((name) => row.has(name))
  return writeJson(new Map(fields.map((name) => [name, row.value(name)])))
}

/** A question of the user's own, with the right answer and how answers are compared with it. */
export function readQuestion(row: QuestionRow): Question {
  const id = row.textOrNumber('id')
  const grader = graders.get(row.text('grader'))
  if (!grader)
    throw row.problem(`expected one of ${graderNames.join(', ')} for grader but ${shown(row.value('grader'))}`)
  const messages = readMessages(row)
  const { reference, suffix, grade } = grader.read(row, id)
  return {
    id,
    text: messages.at(-1)?.content ?? '',
    labels: readLabels(row),
    prompt: (trial, seed) => ({ messages: suffix ? withSuffix(messages, suffix(trial, seed)) : messages }),
    reference,
    grade: async (completion, context) => grade(completion, context),
  }
}

function withSuffix(messages: readonly Message[], suffix: string): Message[] {
  const last = messages.at(-1) as Message
  return [...messages.slice(0, -1), { ...last, content: `${last.content}${suffix}` }]
}

/** What is asked, from `question` or `messages`, and `system`. */
export function readMessages(row: QuestionRow): Message[] {
  if (row.has('question') === row.has('messages')) {
    throw row.problem(`expected either question or messages but there are ${row.has('question') ? 'both' : 'none'}`)
  }
  const system = row.has('system') ? [{ role: 'system' as const, content: row.text('system') }] : []
  if (row.has('question')) return [...system, { role: 'user', content: row.text('question') }]
  const messages = row.value('messages')
  if (!Array.isArray(messages)) throw row.problem(`expected a list for messages but ${shown(messages)}`)
  const all = [...system, ...messages.map((message, index) => readMessage(row, message, index))]
  if (all.at(-1)?.role !== 'user') throw row.problem('expected the last of messages to have the role user')
  const wrong = all.findIndex(({ role }, index) => role === 'system' && index > 0)
  if (wrong > 0) throw row.problem(`expected one system message at the beginning, but message ${wrong} is another`)
  return all
}

function readMessage(row: QuestionRow, message: unknown, index: number): Message {
  const { role, content, ...more } = Object.fromEntries(entriesOf(message) ?? [])
  const name = `messages[${index}]`
  if (role !== 'system' && role !== 'user' && role !== 'assistant') {
    throw row.problem(`expected system, user or assistant for ${name}.role but ${shown(role)}`)
  }
  if (typeof content !== 'string') throw row.problem(`expected a text for ${name}.content but ${shown(content)}`)
  const unknown = Object.keys(more)
  if (unknown.length > 0) throw row.problem(`${name} has ${unknown.join(', ')}: expected role and content alone`)
  return { role, content }
}

export function readLabels(row: QuestionRow): Record<string, string> {
  if (!row.has('labels')) return {}
  const entries = entriesOf(row.value('labels'))
  if (!entries) throw row.problem(`expected an object for labels but ${shown(row.value('labels'))}`)
  const texts = entries.map(([name, value]): [string, string] => {
    if (typeof value === 'string') return [name, value]
    if (typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean')
      return [name, String(value)]
    throw row.problem(`expected a text for labels.${name} but ${shown(value)}`)
  })
  return Object.fromEntries(texts)
}

function readMath(row: QuestionRow): Grading {
  const gold = row.textOrNumber('answer')
  return { reference: gold, grade: (completion) => gradeMath(completion, gold, 'lenient') }
}

function readInteger(row: QuestionRow): Grading {
  const gold = row.integer('answer')
  return { reference: String(gold), grade: (completion) => gradeInteger(completion, gold) }
}

function readExact(row: QuestionRow): Grading {
  const gold = row.textOrNumber('answer')
  return { reference: gold, grade: (completion) => gradeExact(completion, gold) }
}

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
/** Letters of a question that has its options in its text. */
const lettersInQuestion = alphabet.slice(0, 10)

function readChoice(row: QuestionRow, id: string): Grading {
  const answer = row.textOrNumber('answer').trim()
  if (!row.has('choices')) {
    const right = lettersInQuestion.indexOf(answer)
    if (answer.length !== 1 || right < 0) {
      throw row.problem(`expected a letter from A to J for answer, or choices, but ${shown(row.value('answer'))}`)
    }
    const choices = { letters: lettersInQuestion, right }
    return { reference: answer, grade: (completion) => gradeChoice(completion, choices) }
  }
  const texts = readChoices(row)
  const letters = alphabet.slice(0, texts.length)
  const right = texts.includes(answer) ? texts.indexOf(answer) : answer.length === 1 ? letters.indexOf(answer) : -1
  if (right < 0) throw row.problem(`expected one of choices or its letter for answer but ${shown(row.value('answer'))}`)
  const shuffled = (trial: number, seed: number) => permutation(texts.length, id, seed, trial)
  return {
    reference: texts[right] as string,
    suffix: (trial, seed) => {
      const lines = shuffled(trial, seed).map((from, to) => `${letters[to]}) ${texts[from]}`)
      return `\n\n${lines.join('\n')}`
    },
    grade: (completion, { trial, seed }) => {
      const order = shuffled(trial, seed)
      const shownTexts = order.map((from) => texts[from] as string)
      return gradeChoice(completion, { letters, texts: shownTexts, names: shownTexts, right: order.indexOf(right) })
    },
  }
}

function readChoices(row: QuestionRow): string[] {
  const choices = row.value('choices')
  const isList = Array.isArray(choices) && choices.length >= 2 && choices.length <= alphabet.length
  if (!isList) throw row.problem(`expected a list of 2 to 26 texts for choices but ${shown(choices)}`)
  const texts = choices.map((choice, index) => {
    if (typeof choice === 'string' && choice.trim() !== '') return choice.trim()
    throw row.problem(`expected a text for choices[${index}] but ${shown(choice)}`)
  })
  const twice = texts.find((text, index) => texts.indexOf(text) < index)
  if (twice !== undefined) throw row.problem(`choices has ${JSON.stringify(twice)} twice`)
  return texts
}

function readRegex(row: QuestionRow): Grading {
  const flags = row.has('flags') ? row.text('flags') : ''
  if (!/^[imsuv]*$/.test(flags)) throw row.problem(`expected flags out of i, m, s, u and v but ${shown(flags)}`)
  const source = row.has('pattern') ? row.text('pattern') : row.text('answer')
  let pattern: RegExp
  try {
    pattern = new RegExp(source, `${flags}g`)
  } catch (error) {
    throw row.problem(`expected a regular expression but ${(error as Error).message}`)
  }
  const gold = row.has('pattern') ? row.textOrNumber('answer') : undefined
  return { reference: gold ?? `/${source}/${flags}`, grade: (completion) => gradeRegex(completion, pattern, gold) }
}

/** `answer` is a list of `{input, output}`. */
function readStdin(row: QuestionRow): Grading {
  const seconds = readSeconds(row)
  const tests = readTests(row).map((fields, index): StdinTest => {
    const [input, output] = [fields.get('input'), fields.get('output')]
    if (typeof input === 'string' && typeof output === 'string') return { input, output }
    throw row.problem(`expected texts for input and output of answer[${index}]`)
  })
  return {
    reference: testsInWords(tests.length),
    grade: (completion, { programs, signal }) =>
      gradeStdin(completion, tests, runnerOf(row, programs), { seconds, signal }),
  }
}

/** `answer` is a list of `{args, output}`: a list of JSON values, and one. */
function readFunction(row: QuestionRow): Grading {
  const seconds = readSeconds(row)
  const entry = row.text('entry')
  if (!/^[\p{L}_][\p{L}\p{N}_]*(\.[\p{L}_][\p{L}\p{N}_]*)?$/u.test(entry)) {
    throw row.problem(`expected the name of a function, or Class.method, for entry but ${shown(entry)}`)
  }
  const tests = readTests(row).map((fields, index): FunctionTest => {
    const args = fields.get('args')
    if (!Array.isArray(args)) throw row.problem(`expected a list for args of answer[${index}] but ${shown(args)}`)
    if (!fields.has('output')) throw row.problem(`expected output in answer[${index}] but there is none`)
    return { args: args.map((arg) => jsonOf(row, arg)), output: jsonOf(row, fields.get('output')) }
  })
  return {
    reference: testsInWords(tests.length),
    grade: (completion, { programs, signal }) =>
      gradeFunction(completion, tests, [entry], runnerOf(row, programs), { seconds, signal }),
  }
}

function readTests(row: QuestionRow): Map<string, unknown>[] {
  const tests = row.value('answer')
  if (!Array.isArray(tests) || tests.length === 0) {
    throw row.problem(`expected a list of tests for answer but ${shown(tests)}`)
  }
  return tests.map((test, index) => {
    const fields = test instanceof Map ? test : isMapping(test) ? new Map(Object.entries(test)) : undefined
    if (fields) return fields
    throw row.problem(`expected an object for answer[${index}] but ${shown(test)}`)
  })
}

function readSeconds(row: QuestionRow): number | undefined {
  if (!row.has('seconds')) return undefined
  const seconds = Number(row.textOrNumber('seconds'))
  if (seconds > 0 && seconds <= 600) return seconds
  throw row.problem(`expected seconds above 0 and up to 600 but ${shown(row.value('seconds'))}`)
}

function jsonOf(row: QuestionRow, value: unknown): string {
  try {
    return writeJson(value)
  } catch (error) {
    throw row.problem(`expected JSON in answer but ${(error as Error).message}`)
  }
}

function runnerOf(row: QuestionRow, programs: ProgramRunner | undefined): ProgramRunner {
  if (programs) return programs
  throw row.problem('its answers are programs, which only a sandbox runs, but grading has none')
}

const testsInWords = (count: number): string => `passes ${count} ${count === 1 ? 'test' : 'tests'}`

/** Columns that nothing reads are named, so that a misspelt one is seen. */
export function notesOnFields(rows: readonly QuestionRow[]): string[] {
  const unused = new Set<string>()
  for (const row of rows) {
    const fields = (row.has('grader') && graders.get(row.text('grader'))?.fields) || []
    for (const name of Object.keys(row.fields)) {
      if (row.has(name) && !commonFields.includes(name) && !fields.includes(name)) unused.add(name)
    }
  }
  if (unused.size === 0) return []
  const known = [...commonFields, ...[...graders.values()].flatMap(({ fields }) => fields)]
  const names = [...unused].map((name) => {
    const near = nearestName(name, known)
    return near && near !== name ? `${name} (${near} is a field)` : name
  })
  return [`Not used: ${names.join(', ')}`]
}
