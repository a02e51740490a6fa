import { JsonNumber } from '../data/parseJson.js'
import { isMapping } from '../validate.js'

/**
 * The value of a column: of the one with that name, or else along the dots of a path through objects and lists (from 0):
 * `metadata.domain`, `conversations.0.value`. Undefined where there is none; null counts as none.
 */
export function cellOf(columns: Readonly<Record<string, unknown>>, name: string): unknown {
  if (Object.hasOwn(columns, name)) return columns[name] ?? undefined
  let value: unknown = columns
  for (const part of name.split('.')) {
    if (Array.isArray(value)) value = /^\d+$/.test(part) ? value[Number(part)] : undefined
    else if (isMapping(value)) value = Object.hasOwn(value, part) ? value[part] : undefined
    else return undefined
  }
  return value ?? undefined
}

/** The column of the file that holds the value of a name. Names with dots may be those of columns as well. */
export const columnsNamed = (name: string): string[] =>
  name.includes('.') ? [name, name.slice(0, name.indexOf('.'))] : [name]

/**
 * A cell as every kind of file would have it: numbers of JSON as JavaScript's, its ordered objects as plain ones, times of Parquet
 * as texts.
 */
export function plainCell(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof JsonNumber) return plainNumber(value)
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
  if (Array.isArray(value)) return value.map(plainCell)
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [key, plainCell(item)]))
  if (isMapping(value) && Object.getPrototypeOf(value) === Object.prototype) {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, plainCell(item)]))
  }
  return value
}

function plainNumber({ text }: JsonNumber): number | bigint {
  const isWhole = /^-?\d+$/.test(text)
  return isWhole && !Number.isSafeInteger(Number(text)) ? BigInt(text) : Number(text)
}
