import { JinjaError } from './syntax.js'
import { Float, floatText, isInteger, orderTexts, typeName, Undefined, type Value } from './values.js'

export interface JsonOptions {
  ensureAscii: boolean
  indent: string | undefined
  separators: [item: string, key: string]
  sortKeys: boolean
}

/** Python's `json.dumps`. */
export function toJson(value: Value, options: JsonOptions): string {
  return new JsonWriter(options).write(value, '\n')
}

class JsonWriter {
  constructor(private readonly options: JsonOptions) {}

  write(value: Value, newline: string): string {
    if (typeof value === 'string') return this.quote(value)
    if (Array.isArray(value)) {
      return this.enclose('[', ']', value, newline, (item, inner) => this.write(item, inner))
    }
    if (value instanceof Map) return this.object(value, newline)
    const scalar = scalarText(value)
    if (scalar === undefined) throw new JinjaError(`Object of type ${typeName(value)} is not JSON serializable`)
    return scalar
  }

  private object(value: Map<Value, Value>, newline: string): string {
    const entries = [...value].map(([key, item]) => [keyText(key), item] as const)
    if (this.options.sortKeys) entries.sort(([a], [b]) => orderTexts(a, b))
    return this.enclose(
      '{',
      '}',
      entries,
      newline,
      ([key, item], inner) => this.quote(key) + this.options.separators[1] + this.write(item, inner),
    )
  }

  private enclose<T>(
    open: string,
    close: string,
    parts: readonly T[],
    newline: string,
    write: (part: T, newline: string) => string,
  ): string {
    const { indent, separators } = this.options
    if (parts.length === 0) return open + close
    if (indent === undefined) return open + parts.map((part) => write(part, newline)).join(separators[0]) + close
    const inner = newline + indent
    return open + inner + parts.map((part) => write(part, inner)).join(separators[0] + inner) + newline + close
  }

  private quote(value: string): string {
    const json = JSON.stringify(value)
    if (!this.options.ensureAscii) return json
    return json.replace(/[\x7f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
  }
}

function scalarText(value: Value): string | undefined {
  if (value === null) return 'null'
  if (typeof value === 'boolean') return value ? 'true' : 'false'
  if (isInteger(value)) return String(value)
  if (!(value instanceof Float)) return undefined
  if (Number.isNaN(value.value)) return 'NaN'
  return Number.isFinite(value.value) ? floatText(value.value) : value.value > 0 ? 'Infinity' : '-Infinity'
}

function keyText(key: Value): string {
  const text = typeof key === 'string' ? key : scalarText(key)
  if (text !== undefined) return text
  if (key instanceof Undefined) key.fail()
  throw new JinjaError(`keys must be str, int, float, bool or None, not ${typeName(key)}`)
}
