import { BadRow } from '../../data/badRow.js'
import { type Message, readConversation } from '../../data/conversation.js'
import { textsIn, unusableCharacters } from '../../data/parseJson.js'
import { splitCompletion } from '../../grading/completion.js'
import type { Answer, Candidate } from '../candidate.js'
import { cellOf } from '../cell.js'
import { shownCell } from '../condition.js'
import type { Rejection } from '../step.js'
import type { ResolvedMap } from './resolveSelection.js'

/** Why a row cannot be used as the recipe maps it. */
class Unmapped extends Error {
  constructor(
    readonly reason: string,
    detail: string,
  ) {
    super(detail)
  }
}

type Columns = Readonly<Record<string, unknown>>
/** Where a row stands. */
export type Place = Pick<Candidate, 'source' | 'row' | 'file' | 'fileRow' | 'line'>

/**
 * The candidate that a row holds, or why it holds none. `kept` are the columns that later steps and the result need.
 */
export function mapRow(columns: Columns, place: Place, map: ResolvedMap, kept: Columns): Candidate | Rejection {
  try {
    const exchange = map.messages === undefined ? fromColumns(columns, map) : fromMessages(columns, map.messages)
    const { question, system = optionalText(columns, map.system, 'system') } = exchange
    const answers = answersOf(columns, exchange, map)
    for (const text of [question, system, ...answers.flatMap(({ reasoning, text }) => [reasoning, text])]) {
      if (text !== undefined && unusableCharacters.test(text)) throw unusable('the text')
    }
    for (const [name, cell] of Object.entries(kept)) checkKept(name, cell)
    const reference = optionalText(columns, map.reference, 'reference')
    const choices = choicesOf(columns, map.choices)
    const tests = map.tests === undefined ? undefined : cellOf(columns, map.tests)
    return { ...place, columns: kept, system, question, reference, choices, tests, answers }
  } catch (error) {
    if (error instanceof Unmapped) return { reason: error.reason, detail: error.message }
    throw error
  }
}

const unusable = (what: string): Unmapped =>
  new Unmapped('unusable-text', `${what} holds a character that is none: a half of a surrogate pair, U+FDD0 or U+FDD1`)

/** What neither JSON nor a column of texts can hold. */
function checkKept(name: string, cell: unknown): void {
  if (ArrayBuffer.isView(cell) || (typeof cell === 'number' && !Number.isFinite(cell))) {
    throw wrongType(name, name, 'a text, a finite number, true, false, a list or an object', cell)
  }
  if (typeof cell === 'string' || typeof cell === 'object') {
    for (const text of textsIn(cell)) if (unusableCharacters.test(text)) throw unusable(name)
  }
}

const missing = (field: string, column: string): Unmapped =>
  new Unmapped('missing-field', `${field}: the column ${column} has no value`)

const wrongType = (field: string, column: string, expected: string, value: unknown): Unmapped =>
  new Unmapped('wrong-type', `${field}: expected ${expected} in the column ${column} but it is ${shownCell(value)}`)

interface Exchange {
  question: string
  system: string | undefined
  /** In their order; undefined where a list has no text. */
  texts: (string | undefined)[]
  reasonings: (string | undefined)[]
}

function fromColumns(columns: Columns, map: ResolvedMap): Exchange {
  const [questionColumn, answersColumn] = [map.question as string, map.answers as string]
  const question = requiredText(columns, questionColumn, 'question')
  const texts = textsOf(columns, answersColumn, 'answers')
  if (!texts) throw missing('answers', answersColumn)
  if (texts.every((text) => text === undefined)) {
    throw new Unmapped(
      'no-answers',
      `answers: the column ${answersColumn} has ${texts.length === 0 ? 'no entry' : 'no text'}`,
    )
  }
  const reasonings = map.reasoning === undefined ? undefined : textsOf(columns, map.reasoning, 'reasoning')
  if (reasonings && reasonings.length !== texts.length) {
    throw new Unmapped(
      'wrong-length',
      `reasoning: the column ${map.reasoning} has ${reasonings.length} entries for ${texts.length} answers`,
    )
  }
  return { question, system: undefined, texts, reasonings: reasonings ?? [] }
}

const reader = {
  name: '',
  paths: [],
  format: 'messages',
  tags: {},
  where: [],
  choose: [],
  reasoning: 'asIs',
  take: undefined,
  weight: 1,
  defaultSystem: undefined,
} as const

/** A question and its answer as training data has them. */
function fromMessages(columns: Columns, column: string): Exchange {
  const list = cellOf(columns, column)
  if (list === undefined) throw missing('messages', column)
  let messages: Message[]
  try {
    const row = { messages: list }
    messages = readConversation(row, { ...reader, where: [], choose: [], paths: [], columns: {} })?.messages ?? []
  } catch (error) {
    if (!(error instanceof BadRow)) throw error
    throw new Unmapped('wrong-type', `messages: ${error.message}`)
  }
  const system = messages[0]?.role === 'system' ? messages[0].content : undefined
  const turns = system === undefined ? messages : messages.slice(1)
  const [question, answer] = turns
  if (turns.length !== 2 || !question || !answer || answer.tool_calls !== undefined || answer.role !== 'assistant') {
    throw new Unmapped('not-one-exchange', `messages: expected one question and one answer in the column ${column}`)
  }
  return { question: question.content, system, texts: [answer.content], reasonings: [] }
}

function answersOf(columns: Columns, { texts, reasonings }: Exchange, map: ResolvedMap): Answer[] {
  const finishes = perAnswer(columns, map.finish, 'finish', texts.length)
  const labels = map.labels.map(([name, column]) => ({ name, of: perAnswer(columns, column, name, texts.length) }))
  return texts.flatMap((text, index): Answer[] => {
    if (text === undefined) return []
    const finish = finishes(index)
    if (finish !== undefined && typeof finish !== 'string') {
      throw wrongType('finish', map.finish as string, 'texts', finish)
    }
    return [
      {
        index,
        ...splitAnswer(text, reasonings[index], finish),
        finish,
        labels: Object.fromEntries(labels.map(({ name, of }) => [name, of(index)])),
        verdict: undefined,
      },
    ]
  })
}

/** What a column says of each answer: a list has an entry for each, any other value is said of all. */
function perAnswer(
  columns: Columns,
  column: string | undefined,
  field: string,
  count: number,
): (index: number) => unknown {
  const value = column === undefined ? undefined : cellOf(columns, column)
  if (!Array.isArray(value)) return () => value
  if (value.length !== count) {
    throw new Unmapped(
      'wrong-length',
      `${field}: the column ${column} has ${value.length} entries for ${count} answers`,
    )
  }
  return (index) => value[index] ?? undefined
}

const [beginOfThought, endOfThought] = ['<|begin_of_thought|>', '<|end_of_thought|>']
const [beginOfSolution, endOfSolution] = ['<|begin_of_solution|>', '<|end_of_solution|>']

/** Reasoning and answer apart, whatever tags they have: R1's, those of OpenThoughts, or none where columns keep them apart. */
export function splitAnswer(
  text: string,
  reasoning: string | undefined,
  finish: string | undefined,
): Pick<Answer, 'reasoning' | 'text' | 'closed'> {
  if (reasoning !== undefined) return { reasoning: reasoning.trim(), text: text.trim(), closed: true }
  const begin = text.indexOf(beginOfThought)
  if (begin >= 0) return splitOpenThoughts(text, begin + beginOfThought.length)
  const split = splitCompletion({
    text,
    reasoning: null,
    thinkOpened: false,
    finish: finish === 'length' ? 'length' : 'stop',
  })
  const hasReasoning = text.includes('<think>') || text.includes('</think>')
  return {
    reasoning: hasReasoning ? split.reasoning.trim() : undefined,
    text: split.answer.trim(),
    closed: split.closed,
  }
}

function splitOpenThoughts(text: string, begin: number): Pick<Answer, 'reasoning' | 'text' | 'closed'> {
  const end = text.lastIndexOf(endOfThought)
  if (end < begin) return { reasoning: text.slice(begin).trim(), text: '', closed: false }
  const rest = text.slice(end + endOfThought.length)
  const solution = rest.indexOf(beginOfSolution)
  const answer = (solution < 0 ? rest : rest.slice(solution + beginOfSolution.length)).trimEnd()
  const isEnded = answer.endsWith(endOfSolution)
  return {
    reasoning: text.slice(begin, end).trim(),
    text: (isEnded ? answer.slice(0, -endOfSolution.length) : answer).trim(),
    closed: true,
  }
}

function requiredText(columns: Columns, column: string, field: string): string {
  const value = cellOf(columns, column)
  if (typeof value === 'string' && value.trim() !== '') return value
  if (value === undefined || typeof value === 'string') throw missing(field, column)
  throw wrongType(field, column, 'a text', value)
}

/** A text that is not blank, or a number as a text. */
function optionalText(columns: Columns, column: string | undefined, field: string): string | undefined {
  const value = column === undefined ? undefined : cellOf(columns, column)
  if (value === undefined || (typeof value === 'string' && value.trim() === '')) return undefined
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  if (typeof value !== 'string') throw wrongType(field, column as string, 'a text', value)
  return value
}

/** A text as a list of one; undefined where there is nothing. */
function textsOf(columns: Columns, column: string, field: string): (string | undefined)[] | undefined {
  const value = cellOf(columns, column)
  if (value === undefined) return undefined
  const list = Array.isArray(value) ? value : [value]
  return list.map((item) => {
    if (item === undefined || item === null || (typeof item === 'string' && item.trim() === '')) return undefined
    if (typeof item !== 'string') throw wrongType(field, column, 'texts', value)
    return item
  })
}

function choicesOf(columns: Columns, column: string | undefined): string[] | undefined {
  const value = column === undefined ? undefined : cellOf(columns, column)
  if (value === undefined) return undefined
  const isList = Array.isArray(value) && value.every((item) => typeof item === 'string')
  if (!isList) throw wrongType('choices', column as string, 'a list of texts', value)
  return value.length > 0 ? value : undefined
}
