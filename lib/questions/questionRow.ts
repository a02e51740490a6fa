import { basename } from 'node:path'
import { JsonNumber } from '../data/parseJson.js'
import type { RawRow } from '../data/rawRow.js'
import { readRows } from '../data/readRows.js'
import { listSourceFiles } from '../data/sourceFiles.js'
import { BranchMergeError, type ErrorCode } from '../errors.js'
import { printable } from '../text/format.js'
import { isMapping } from '../validate.js'

/** A row of a file of questions, whose fields are taken out one by one. */
export class QuestionRow {
  constructor(
    readonly fields: Readonly<Record<string, unknown>>,
    /** File and row, for messages. */
    readonly place: string,
    /** Of what is wrong with it. */
    private readonly code: ErrorCode,
  ) {}

  /** The first of some names under which the row has a value that is not null. */
  value(...names: readonly string[]): unknown {
    for (const name of names) if (this.has(name)) return this.fields[name]
    return undefined
  }

  has(name: string): boolean {
    return Object.hasOwn(this.fields, name) && this.fields[name] !== null && this.fields[name] !== undefined
  }

  /** A text that is not blank. */
  text(...names: readonly string[]): string {
    const value = this.value(...names)
    if (typeof value === 'string' && value.trim() !== '') return value
    throw this.problem(`expected a text for ${names.join(' or ')} but ${shown(value)}`)
  }

  /** A text, or a number as it is written. */
  textOrNumber(...names: readonly string[]): string {
    const value = numberText(this.value(...names))
    return value ?? this.text(...names)
  }

  integer(...names: readonly string[]): bigint {
    const value = this.value(...names)
    const text = (numberText(value) ?? (typeof value === 'string' ? value.trim() : '')).replace(/\.0$/, '')
    if (/^[+-]?\d{1,1000}$/.test(text)) return BigInt(text.replace(/^\+/, ''))
    throw this.problem(`expected an integer for ${names.join(' or ')} but ${shown(value)}`)
  }

  problem(what: string): BranchMergeError {
    return new BranchMergeError(this.code, `${this.place}: ${what}`)
  }
}

/** A number as the file has it; undefined for what is none. */
function numberText(value: unknown): string | undefined {
  if (value instanceof JsonNumber) return value.text
  return typeof value === 'number' || typeof value === 'bigint' ? String(value) : undefined
}

/** What a message says of a field that is wrong. */
export function shown(value: unknown): string {
  if (value === undefined || value === null) return 'there is none'
  const text = numberText(value) ?? (typeof value === 'string' ? JSON.stringify(value) : kindOf(value))
  return `received ${printable(text.length > 80 ? `${text.slice(0, 77)}...` : text)}`
}

const kindOf = (value: unknown): string =>
  Array.isArray(value) ? `a list of ${value.length}` : isMapping(value) ? 'an object' : `a ${typeof value}`

/** The entries of an object of a row, whatever read it; nulls of Parquet's structures are left out. */
export function entriesOf(value: unknown): [name: string, value: unknown][] | undefined {
  if (value instanceof Map) return [...value].filter(([, item]) => item !== null && item !== undefined)
  if (!isMapping(value) || value instanceof JsonNumber) return undefined
  return Object.entries(value).filter(([, item]) => item !== null && item !== undefined)
}

/** Files and rows that a path names. */
export interface QuestionRows {
  paths: string[]
  rows: QuestionRow[]
}

/**
 * All rows of JSON Lines, JSON and Parquet files.
 *
 * @param given - files, folders or patterns
 * @param code - of the error where a file or a row cannot be read, or there is no row
 */
export async function readQuestionRows(
  given: string | readonly string[],
  code: ErrorCode,
  signal?: AbortSignal | undefined,
): Promise<QuestionRows> {
  const rows: QuestionRow[] = []
  const places = [given].flat()
  try {
    const files = await listSourceFiles(places)
    for (const file of files) {
      for await (const portion of readRows(file, undefined)) {
        signal?.throwIfAborted()
        for (const row of portion) rows.push(questionRow(file.path, row, code))
      }
    }
    if (rows.length === 0)
      throw new BranchMergeError(code, `Expected questions in ${places.join(', ')} but it is empty`)
    return { paths: files.map((file) => file.path), rows }
  } catch (error) {
    throw withCode(error, code)
  }
}

function questionRow(path: string, { row, line, value, problem }: RawRow, code: ErrorCode): QuestionRow {
  const place = `${path}, ${line === undefined ? `row ${row}` : `line ${line}`}`
  if (problem !== undefined) throw new BranchMergeError(code, `${place}: ${problem}`)
  if (isMapping(value)) return new QuestionRow(value, place, code)
  throw new BranchMergeError(code, `${place}: expected an object but the row is ${kindOf(value)}`)
}

/** What reads data for training speaks of data; here it is another kind of file. */
export function withCode(error: unknown, code: ErrorCode): unknown {
  const isData = error instanceof BranchMergeError && error.code === 'ERR_DATA' && code !== 'ERR_DATA'
  return isData ? new BranchMergeError(code, error.message, { cause: error }) : error
}

/** Refuses ids that two rows have. */
export function checkIds(questions: readonly { id: string }[], rows: readonly QuestionRow[]): void {
  const places = new Map<string, string>()
  for (const [index, { id }] of questions.entries()) {
    const row = rows[index] as QuestionRow
    const before = places.get(id)
    if (before !== undefined) {
      throw row.problem(`expected an id of its own but ${basename(before)} has ${JSON.stringify(id)}, too`)
    }
    places.set(id, row.place)
  }
}
