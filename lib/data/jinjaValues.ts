import { JinjaError } from './jinja/syntax.js'
import { Float, integer, type Value } from './jinja/values.js'
import { JsonNumber } from './parseJson.js'

/** What `parseJson` read, as Python's `json.loads` would have it. */
export function fromJson(value: unknown): Value {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return value
  if (typeof value === 'number') return Number.isInteger(value) ? value : new Float(value)
  if (value instanceof JsonNumber) {
    return /^-?\d+$/.test(value.text) ? integer(BigInt(value.text)) : new Float(Number(value.text))
  }
  if (Array.isArray(value)) return value.map(fromJson)
  if (typeof value !== 'object') throw new JinjaError(`a ${typeof value} is no JSON`)
  const entries = value instanceof Map ? [...value] : Object.entries(value)
  return new Map(entries.map(([key, item]) => [key, fromJson(item)]))
}
