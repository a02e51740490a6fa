import type { Path, Problems } from '../recipe/problems.js'
import { isMapping } from '../validate.js'
import { cellOf } from './cell.js'

/** A value as a recipe writes it. Integers also equal the 64-bit integers of Parquet. */
export type Cell = string | number | boolean | null

/** What a value must be: equal to one, one of several, or all that an object says. */
export type Test = Cell | Cell[] | TestObject

export interface TestObject {
  /** One of these. */
  in?: Cell[]
  /** Not what this says. */
  not?: Test
  /** A number of at least this. */
  min?: number
  /** A number of at most this. */
  max?: number
  /** A number greater than this. */
  above?: number
  /** A number less than this. */
  below?: number
  /** A text in which this regular expression of JavaScript matches somewhere. */
  matches?: string
  /** Of `matches`: letters out of i, m, s, u and v. */
  flags?: string
  /** A list with an element that is so. */
  any?: Test
  /** A list with an element at least, whose elements are all so. */
  all?: Test
  /** Of a list in elements, of a text in UTF-16 code units. */
  length?: Test
  /** Whether there is no value, or null. */
  missing?: boolean
}

/**
 * What must hold of a row: each column is as its test says. The keys `$or` (a list of conditions, one of which must hold) and
 * `$not` (one that must not) are no columns.
 */
export interface Condition {
  [column: string]: Test | Condition | Condition[]
}

/** Why a condition does not hold: the key in it that does not, and what was found there. Undefined where it holds. */
export type Check = (columns: Readonly<Record<string, unknown>>) => { key: string; found: string } | undefined

type Predicate = (value: unknown) => boolean

/** @throws ERR_RECIPE for what `checkCondition` refuses */
export function compileCondition(condition: Condition): Check {
  const checks = Object.entries(condition).map(([key, test]): Check => {
    if (key === '$or') {
      const branches = (test as Condition[]).map(compileCondition)
      return (columns) => {
        const failed = branches.map((branch) => branch(columns))
        if (failed.includes(undefined)) return undefined
        return { key, found: [...new Set(failed.map((failure) => failure?.found))].join(', ') }
      }
    }
    if (key === '$not') {
      const inner = compileCondition(test as Condition)
      return (columns) => (inner(columns) ? undefined : { key, found: 'what must not hold does' })
    }
    const holds = compileTest(test as Test)
    return (columns) => {
      const value = cellOf(columns, key)
      return holds(value) ? undefined : { key, found: `${key} is ${shownCell(value)}` }
    }
  })
  return (columns) => {
    for (const check of checks) {
      const failure = check(columns)
      if (failure) return failure
    }
    return undefined
  }
}

function compileTest(test: Test): Predicate {
  if (Array.isArray(test)) return isOneOf(test)
  if (typeof test !== 'object' || test === null) return isOneOf([test])
  const parts = Object.entries(test).flatMap(([key, value]) => {
    const part = compilePart(key as keyof TestObject, value, test.flags)
    return part ? [part] : []
  })
  return (value) => parts.every((part) => part(value))
}

function compilePart(key: keyof TestObject, given: unknown, flags: string | undefined): Predicate | undefined {
  switch (key) {
    case 'in':
      return isOneOf(given as Cell[])
    case 'not':
      return negated(compileTest(given as Test))
    case 'min':
      return (value) => isNumber(value) && value >= (given as number)
    case 'max':
      return (value) => isNumber(value) && value <= (given as number)
    case 'above':
      return (value) => isNumber(value) && value > (given as number)
    case 'below':
      return (value) => isNumber(value) && value < (given as number)
    case 'matches': {
      const pattern = new RegExp(given as string, flags)
      return (value) => typeof value === 'string' && pattern.test(value)
    }
    case 'any': {
      const holds = compileTest(given as Test)
      return (value) => Array.isArray(value) && value.some((item) => holds(item ?? undefined))
    }
    case 'all': {
      const holds = compileTest(given as Test)
      return (value) => Array.isArray(value) && value.length > 0 && value.every((item) => holds(item ?? undefined))
    }
    case 'length': {
      const holds = compileTest(given as Test)
      return (value) => (Array.isArray(value) || typeof value === 'string') && holds(value.length)
    }
    case 'missing':
      return (value) => (value === undefined || value === null) === given
    case 'flags':
      return undefined
  }
}

const negated =
  (holds: Predicate): Predicate =>
  (value) =>
    !holds(value)

const isNumber = (value: unknown): value is number | bigint => typeof value === 'number' || typeof value === 'bigint'

function isOneOf(cells: readonly Cell[]): Predicate {
  const wanted = new Set(cells)
  return (value) => {
    const isSmall = typeof value === 'bigint' && Number.isSafeInteger(Number(value))
    return wanted.has((isSmall ? Number(value) : (value ?? null)) as Cell)
  }
}

/** A value of a row in few words. */
export function shownCell(value: unknown): string {
  if (value === undefined || value === null) return 'missing'
  if (Array.isArray(value)) {
    const items = value.slice(0, 8).map((item) => (Array.isArray(item) ? 'a list' : shownCell(item)))
    return `[${items.join(', ')}${value.length > 8 ? ', …' : ''}]`
  }
  if (isMapping(value) && !(value instanceof Date)) return 'an object'
  const text = typeof value === 'string' ? JSON.stringify(value.slice(0, 80)) : String(value)
  return typeof value === 'string' && value.length > 80 ? `${text.slice(0, -1)}…"` : text
}

/** Columns that a condition looks at. */
export function columnsIn(condition: Condition): string[] {
  return Object.entries(condition).flatMap(([key, test]) => {
    if (key === '$or') return (test as Condition[]).flatMap(columnsIn)
    return key === '$not' ? columnsIn(test as Condition) : [key]
  })
}

/** Adds what is wrong with a condition that has passed its schema: regular expressions, ranges without a value. */
export function checkCondition(condition: Condition, problems: Problems, path: Path): void {
  for (const [key, test] of Object.entries(condition)) {
    if (key === '$or') {
      for (const [i, branch] of (test as Condition[]).entries()) checkCondition(branch, problems, [...path, key, i])
    } else if (key === '$not') checkCondition(test as Condition, problems, [...path, key])
    else checkTest(test as Test, problems, [...path, key])
  }
}

function checkTest(test: Test | undefined, problems: Problems, path: Path): void {
  if (!isMapping(test)) return
  const { matches, flags, min, max, above, below } = test as TestObject
  if (matches !== undefined) {
    try {
      new RegExp(matches, flags)
    } catch (error) {
      problems.add([...path, 'matches'], `Expected a regular expression but ${(error as Error).message}`)
    }
  } else if (flags !== undefined) problems.add([...path, 'flags'], 'Expected flags only beside matches', { key: true })
  const [least, most] = [Math.max(min ?? -Infinity, above ?? -Infinity), Math.min(max ?? Infinity, below ?? Infinity)]
  const isEmpty = least > most || (least === most && (least === above || most === below))
  if (isEmpty) problems.add(path, `Expected a range with a number in it but none is from ${least} to ${most}`)
  for (const key of ['not', 'any', 'all', 'length'] as const)
    checkTest((test as TestObject)[key], problems, [...path, key])
}
