import { isMapping } from '../validate.js'
import { BadRow } from './badRow.js'
import type { CellValue, MessageTags, ResolvedSource, SourceFormat } from './options.js'
import { JsonNumber, JsonProblem, parseJson, unusableCharacters, writeJson } from './parseJson.js'

export interface Message {
  role: 'system' | 'user' | 'assistant' | 'tool'
  content: string
  /** Calls in OpenAI's form, a JSON list with its numbers as they were read; only templates that know them take such a message. */
  tool_calls?: string
  tool_call_id?: string
  name?: string
  /** The row says that this answer is not trained: `weight: 0` or `train: false`. */
  untrained?: true
}

/** Who said what: a system text or none, then prompts and answers in turn, the last an answer. */
export interface Conversation {
  messages: Message[]
  /** A JSON list. */
  tools: string | undefined
}

/** The form of rows once it is known. */
export type KnownFormat = Exclude<SourceFormat, 'auto'>
export type RowReader = Omit<ResolvedSource, 'format'> & { format: KnownFormat; defaultSystem: string | undefined }

type Row = Record<string, unknown>

/**
 * The conversation that a row holds, or undefined where `where` or `choose` leaves the row out.
 *
 * @throws BadRow
 */
export function readConversation(value: unknown, reader: RowReader): Conversation | undefined {
  if (!isMapping(value)) throw new BadRow('expected an object')
  const isWanted = reader.where.every(([column, values]) => values.some((wanted) => isEqual(value[column], wanted)))
  if (!isWanted) return undefined
  const found = readMessages(value, reader)
  if (!found) return undefined
  const messages = withSystem(joinCalls(found), value, reader)
  for (const message of messages) rewriteReasoning(message, reader.reasoning)
  checkMessages(messages)
  return { messages, tools: toolsOf(value, reader) }
}

/** Columns of a row that the reader looks at, for formats that store columns apart. */
export function columnsOf({ format, columns, where, choose }: RowReader): string[] {
  const usual = usualColumns[format].map((key) => columns[key] ?? key)
  const functions = format === 'messages' ? ['functions'] : []
  return [...new Set([...usual, ...functions, ...where.map(([column]) => column), ...choose.map(([column]) => column)])]
}

type ColumnKey = keyof ResolvedSource['columns']

const usualColumns: Record<KnownFormat, ColumnKey[]> = {
  messages: ['messages', 'system', 'tools'],
  sharegpt: ['conversations', 'system', 'tools'],
  alpaca: ['instruction', 'input', 'output', 'history', 'system', 'tools'],
  columns: ['prompt', 'response', 'reasoning', 'system', 'tools'],
}

/** The format of rows with these columns; undefined where it cannot be told. */
export function detectFormat(columns: readonly string[], { columns: named }: ResolvedSource): KnownFormat | undefined {
  const has = (key: ColumnKey) => columns.includes(named[key] ?? key)
  if (has('messages')) return 'messages'
  if (has('conversations')) return 'sharegpt'
  if (has('instruction') && has('output')) return 'alpaca'
  return has('prompt') && has('response') ? 'columns' : undefined
}

function readMessages(row: Row, reader: RowReader): Message[] | undefined {
  if (reader.format === 'messages') return tagged(row[reader.columns.messages ?? 'messages'], reader.tags, 'messages')
  if (reader.format === 'sharegpt') {
    return tagged(row[reader.columns.conversations ?? 'conversations'], reader.tags, 'conversations')
  }
  return reader.format === 'alpaca' ? alpaca(row, reader) : promptAndResponse(row, reader)
}

const roleKeys = { messages: ['role', 'content'], conversations: ['from', 'value'] } as const

const usualRoles: Record<string, Message['role']> = {
  system: 'system',
  developer: 'system',
  user: 'user',
  human: 'user',
  assistant: 'assistant',
  gpt: 'assistant',
  function_call: 'assistant',
  tool: 'tool',
  function: 'tool',
  observation: 'tool',
}

function tagged(list: unknown, tags: MessageTags, column: keyof typeof roleKeys): Message[] {
  if (!Array.isArray(list)) throw new BadRow(`expected a list of messages in ${column}`)
  const roles = { ...usualRoles, ...namedRoles(tags) }
  return list.map((entry, i) => {
    const fields = fieldsOf(entry)
    if (!fields) throw new BadRow(`expected an object as message ${i}`)
    const [role, content] = keysOf(fields, column)
    const name = fields[tags.role ?? role]
    const known = typeof name === 'string' && Object.hasOwn(roles, name) ? roles[name] : undefined
    if (!known) throw new BadRow(`message ${i} has the unknown role ${JSON.stringify(name) ?? 'undefined'}`)
    const isCall = name === 'function_call' || name === tags.function
    const contentKey = tags.content ?? content
    return isCall ? callMessage(fields, contentKey) : message(known, fields, contentKey)
  })
}

/** The usual keys of the column, or those of the other one where an entry has them: many write role under conversations. */
function keysOf(entry: Row, column: keyof typeof roleKeys): readonly [role: string, content: string] {
  const other = column === 'messages' ? roleKeys.conversations : roleKeys.messages
  return roleKeys[column][0] in entry || !(other[0] in entry) ? roleKeys[column] : other
}

function namedRoles(tags: MessageTags): Record<string, Message['role']> {
  const named = [
    [tags.system, 'system'],
    [tags.user, 'user'],
    [tags.assistant, 'assistant'],
    [tags.function, 'assistant'],
    [tags.observation, 'tool'],
  ] as const
  return Object.fromEntries(named.flatMap(([tag, role]) => (tag === undefined ? [] : [[tag, role]])))
}

function message(role: Message['role'], entry: Row, contentKey: string): Message {
  const calls = callsOf(entry)
  const content = textOf(entry[contentKey], calls !== undefined)
  const reasoning = entry.reasoning_content
  const text = typeof reasoning === 'string' && reasoning !== '' ? withReasoning(reasoning, content) : content
  return {
    role,
    content: text,
    ...(calls && { tool_calls: calls }),
    ...(typeof entry.tool_call_id === 'string' && { tool_call_id: entry.tool_call_id }),
    ...(typeof entry.name === 'string' && { name: entry.name }),
    ...(role === 'assistant' && !isTrained(entry) && { untrained: true }),
  }
}

/** OpenAI's `weight` and Axolotl's `train` of an answer. */
function isTrained({ weight, train }: Row): boolean {
  const [weighs, trains] = [flagOf(weight, 'weight'), flagOf(train, 'train')]
  return weighs && trains
}

function flagOf(value: unknown, key: string): boolean {
  if (value === undefined || value === null) return true
  const number =
    typeof value === 'boolean' || typeof value === 'bigint' || value instanceof JsonNumber ? Number(value) : value
  if (number === 0 || number === 1) return number === 1
  throw new BadRow(`expected 0, 1, true or false as ${key} of a message`)
}

/** `function_call` is what OpenAI had before `tool_calls`. */
function callsOf({ tool_calls, function_call }: Row): string | undefined {
  // Columns of text hold them as JSON.
  const calls =
    typeof tool_calls === 'string' && tool_calls.trim() !== '' ? parseCalls(tool_calls, 'tool_calls') : tool_calls
  if (Array.isArray(calls)) {
    if (calls.length > 0) return jsonOf(calls, 'tool_calls')
  } else if (calls !== undefined && calls !== null && calls !== '') throw new BadRow('expected a list as tool_calls')
  if (function_call === undefined || function_call === null) return undefined
  const call = fieldsOf(function_call)
  if (typeof call?.name !== 'string') throw new BadRow('expected an object with a name as function_call')
  return jsonOf([{ type: 'function', function: function_call }], 'function_call')
}

/** Reasoning that stands before the call, as LLaMA-Factory takes it off. */
const thoughtBefore = /^\s*(?:<think>.*?<\/think>\s*)?/s

/** An answer whose text is a call, or a list of calls, as ShareGPT's `function_call` is. */
function callMessage(entry: Row, contentKey: string): Message {
  const content = entry[contentKey]
  const thought = typeof content === 'string' ? (thoughtBefore.exec(content)?.[0] ?? '') : ''
  const found =
    typeof content === 'string' ? parseCalls(content.slice(thought.length), 'the text of a function_call') : content
  const calls = Array.isArray(found) ? found : [found]
  for (const call of calls) {
    const fields = fieldsOf(call)
    if (typeof fields?.name === 'string' && 'arguments' in fields) continue
    throw new BadRow('expected an object with name and arguments, or a list of such, as the text of a function_call')
  }
  const functions = calls.map((call) => ({ type: 'function', function: call }))
  return {
    role: 'assistant',
    content: thought.trimStart(),
    tool_calls: jsonOf(functions, 'a function_call'),
    ...(!isTrained(entry) && { untrained: true }),
  }
}

function parseCalls(text: string, what: string): unknown {
  try {
    return parseJson(text)
  } catch {
    throw new BadRow(`${what} is no JSON`)
  }
}

/** Calls that follow an answer without a text of their own belong to it: several at once are one message for templates. */
function joinCalls(messages: readonly Message[]): Message[] {
  const joined: Message[] = []
  for (const message of messages) {
    const last = joined.at(-1)
    const belongs = last?.role === 'assistant' && message.tool_calls !== undefined && message.content === ''
    if (!last || !belongs || last.untrained !== message.untrained) joined.push(message)
    else {
      const calls = [last.tool_calls, message.tool_calls].map((list) => list?.slice(1, -1)).filter((list) => list)
      joined[joined.length - 1] = { ...last, tool_calls: `[${calls.join(', ')}]` }
    }
  }
  return joined
}

/** An object, or one whose keys are in a Map for their order. */
const fieldsOf = (value: unknown): Row | undefined =>
  value instanceof Map ? Object.fromEntries(value) : isMapping(value) ? value : undefined

function jsonOf(value: unknown, name: string): string {
  try {
    return writeJson(value)
  } catch (error) {
    if (error instanceof JsonProblem) throw new BadRow(`${name} cannot be used: ${error.message}`)
    throw error
  }
}

/** A text, or OpenAI's list of parts when all of them are text. */
function textOf(content: unknown, mayBeMissing: boolean): string {
  if (typeof content === 'string') return content
  if (mayBeMissing && (content === null || content === undefined)) return ''
  const isText = (part: unknown) => isMapping(part) && part.type === 'text' && typeof part.text === 'string'
  if (Array.isArray(content) && content.every(isText)) return content.map(({ text }) => text).join('')
  throw new BadRow('expected a text as content of every message')
}

/** The form in which reasoning stands in an answer. */
export const withReasoning = (reasoning: string, answer: string): string =>
  `<think>\n${trimNewlines(reasoning)}\n</think>\n\n${answer}`

const trimNewlines = (text: string): string => text.replace(/^\n+|\n+$/g, '')

function alpaca(row: Row, { columns }: RowReader): Message[] {
  const cell = (key: 'instruction' | 'input' | 'output') => optionalText(row[columns[key] ?? key], columns[key] ?? key)
  const history = row[columns.history ?? 'history'] ?? []
  const isPair = (pair: unknown) => Array.isArray(pair) && pair.length === 2 && pair.every((x) => typeof x === 'string')
  if (!Array.isArray(history) || !history.every(isPair)) throw new BadRow('expected pairs of texts in history')
  const turns = history.flatMap(([prompt, answer]) => [user(prompt), assistant(answer)])
  const prompt = [cell('instruction'), cell('input')].filter((part) => part !== '').join('\n')
  return [...turns, user(prompt), assistant(cell('output'))]
}

const user = (content: string): Message => ({ role: 'user', content })
const assistant = (content: string): Message => ({ role: 'assistant', content })

function promptAndResponse(row: Row, { columns, choose }: RowReader): Message[] | undefined {
  const prompt = optionalText(row[columns.prompt ?? 'prompt'], 'prompt')
  const cell = row[columns.response ?? 'response']
  const response = Array.isArray(cell) ? chosen(cell, row, choose) : cell
  if (response === undefined && Array.isArray(cell)) return undefined
  const answer = optionalText(response, columns.response ?? 'response')
  const reasoning = optionalText(row[columns.reasoning ?? 'reasoning'], columns.reasoning ?? 'reasoning')
  return [user(prompt), assistant(reasoning === '' ? answer : withReasoning(reasoning, answer))]
}

/** The first entry that all lists of `choose` allow; a list that is missing allows none. */
function chosen(entries: unknown[], row: Row, choose: RowReader['choose']): unknown {
  return entries.find((_, i) =>
    choose.every(([column, values]) => {
      const list = row[column]
      return Array.isArray(list) && values.some((wanted) => isEqual(list[i], wanted))
    }),
  )
}

function optionalText(value: unknown, column: string): string {
  if (value === undefined || value === null) return ''
  if (typeof value === 'string') return value
  throw new BadRow(`expected a text in ${column}`)
}

/** Parquet has integers as BigInt, and leaves null cells out. */
function isEqual(cell: unknown, wanted: CellValue): boolean {
  const value = typeof cell === 'bigint' || cell instanceof JsonNumber ? Number(cell) : (cell ?? null)
  return value === wanted
}

function withSystem(messages: Message[], row: Row, { columns, defaultSystem }: RowReader): Message[] {
  const own = messages.filter(({ role, content }) => role !== 'system' || content !== '')
  if (own[0]?.role === 'system') return own
  const text = optionalText(row[columns.system ?? 'system'], columns.system ?? 'system') || defaultSystem
  return text ? [{ role: 'system', content: text }, ...own] : own
}

/** The tools of a row; `functions` is what OpenAI had before `tools`. */
function toolsOf(row: Row, { columns, format }: RowReader): string | undefined {
  const tools = listOf(row[columns.tools ?? 'tools'])
  if (tools) return jsonOf(format === 'sharegpt' ? tools.map(inOpenAiForm) : tools, 'tools')
  const functions = listOf(row.functions)
  return functions && jsonOf(functions.map(asFunction), 'functions')
}

function listOf(value: unknown): unknown[] | undefined {
  if (value === undefined || value === null || value === '') return undefined
  const tools = typeof value === 'string' ? parseTools(value) : value
  if (!Array.isArray(tools)) throw new BadRow('expected a list in tools')
  return tools.length > 0 ? tools : undefined
}

const asFunction = (definition: unknown) => ({ type: 'function', function: definition })

/** ShareGPT's tools are functions alone; LLaMA-Factory renders them as OpenAI has them. */
function inOpenAiForm(tool: unknown): unknown {
  const fields = fieldsOf(tool)
  return fields && typeof fields.name === 'string' && !('type' in fields) ? asFunction(tool) : tool
}

function parseTools(text: string): unknown {
  try {
    return parseJson(text)
  } catch {
    throw new BadRow('expected JSON in tools')
  }
}

const openThoughts =
  /^\s*<\|begin_of_thought\|>\s*(.*?)\s*<\|end_of_thought\|>\s*<\|begin_of_solution\|>\s*(.*?)\s*(?:<\|end_of_solution\|>\s*)?$/s

function rewriteReasoning(message: Message, reasoning: RowReader['reasoning']): void {
  if (message.role !== 'assistant' || reasoning === 'asIs') return
  const isTagged = message.content.includes('<|begin_of_thought|>')
  if (isTagged && reasoning === undefined) {
    throw new BadRow('the answer has <|begin_of_thought|>: set reasoning of the source to openthoughts or asIs')
  }
  if (reasoning === undefined) return
  const [, thought, solution] = openThoughts.exec(message.content) ?? []
  if (thought === undefined || solution === undefined) throw new BadRow('the answer lacks the tags of OpenThoughts')
  message.content = withReasoning(thought, solution)
}

function checkMessages(messages: readonly Message[]): void {
  const turns = messages[0]?.role === 'system' ? messages.slice(1) : messages
  if (turns.length === 0) throw new BadRow('there is no message')
  for (const [i, { role, content, tool_calls }] of turns.entries()) {
    const before = turns[i - 1]?.role
    const fits = role === 'assistant' ? before === 'user' || before === 'tool' : fitsAfter(role, before)
    if (!fits) throw new BadRow(`expected prompts and answers in turn, but ${role} follows ${before ?? 'nothing'}`)
    if (content.trim() === '' && !tool_calls && role !== 'tool') throw new BadRow(`the text of ${role} is empty`)
  }
  if (turns.at(-1)?.role !== 'assistant') throw new BadRow('the last message is no answer')
  if (turns.every(({ role, untrained }) => role !== 'assistant' || untrained)) {
    throw new BadRow('none of its answers is trained: all have weight 0 or train false')
  }
  if (messages.some(({ content }) => unusableCharacters.test(content))) {
    throw new BadRow('the text holds a character that is none: a half of a surrogate pair, U+FDD0 or U+FDD1')
  }
}

/** Several tools may answer one message. */
function fitsAfter(role: Message['role'], before: Message['role'] | undefined): boolean {
  if (role === 'system') return false
  return before === undefined || before === 'assistant' || (role === 'tool' && before === 'tool')
}
