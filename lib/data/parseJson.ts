/** A JSON text cannot be used, and why. */
export class JsonProblem extends Error {
  override readonly name = 'JsonProblem'

  constructor(
    message: string,
    /** The key that an object has twice, where that is the problem. */
    readonly repeatedKey?: string,
  ) {
    super(message)
  }
}

/** A number that JavaScript would write differently: 1.0, 1e400, 1234567890123456789. */
export class JsonNumber {
  constructor(readonly text: string) {}

  valueOf(): number {
    return Number(this.text)
  }
}

/**
 * What a JSON text holds, with nothing of its form lost. Numbers that JavaScript would write otherwise are {@link JsonNumber}s:
 * whole ones that are floats or beyond 2^53. An object with keys that JavaScript would put first, `"1"`, is a Map.
 *
 * @throws JsonProblem where it is no JSON, or a key stands twice in one object
 */
export function parseJson(text: string): unknown {
  return new Parser(text).document()
}

/** Deeper ones are no data, and would use up the stack. */
const maxDepth = 512

const space = /[ \t\n\r]*/y
const number = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y
const words: Record<string, [string, unknown]> = { t: ['true', true], f: ['false', false], n: ['null', null] }

class Parser {
  private position = 0
  private depth = 0

  constructor(private readonly text: string) {}

  document(): unknown {
    this.skipSpace()
    const value = this.value()
    this.skipSpace()
    if (this.position < this.text.length) throw this.problem()
    return value
  }

  private value(): unknown {
    const character = this.text[this.position] ?? ''
    if (character === '"') return this.string()
    if (character === '{') return this.object()
    if (character === '[') return this.array()
    const [word, value] = words[character] ?? []
    if (word === undefined) return this.number()
    if (!this.text.startsWith(word, this.position)) throw this.problem()
    this.position += word.length
    return value
  }

  private string(): string {
    const begin = this.position
    let end = begin
    do end = this.text.indexOf('"', end + 1)
    while (end > 0 && this.isEscaped(end))
    if (end < 0) throw new JsonProblem('it is no JSON: it ends inside of a text')
    this.position = end + 1
    try {
      return JSON.parse(this.text.slice(begin, end + 1))
    } catch {
      throw new JsonProblem(
        `it is no JSON: the text at character ${begin + 1} has an escape sequence or a character that JSON has not`,
      )
    }
  }

  private isEscaped(quote: number): boolean {
    let begin = quote
    while (this.text[begin - 1] === '\\') begin--
    return (quote - begin) % 2 === 1
  }

  private number(): number | JsonNumber {
    number.lastIndex = this.position
    const [text, fraction, exponent] = number.exec(this.text) ?? []
    if (text === undefined) throw this.problem()
    this.position = number.lastIndex
    const value = Number(text)
    const isFloat = fraction !== undefined || exponent !== undefined
    const isPlain = isFloat
      ? Number.isFinite(value) && !Number.isInteger(value)
      : Number.isSafeInteger(value) && text !== '-0'
    return isPlain ? value : new JsonNumber(text)
  }

  private array(): unknown[] {
    const list: unknown[] = []
    this.enter()
    if (this.skip(']')) return list
    do {
      this.skipSpace()
      list.push(this.value())
      this.skipSpace()
    } while (this.skip(','))
    this.leave(']')
    return list
  }

  private object(): Record<string, unknown> | Map<string, unknown> {
    const map = new Map<string, unknown>()
    let isOrdered = true
    this.enter()
    if (this.skip('}')) return {}
    do {
      this.skipSpace()
      if (this.text[this.position] !== '"') throw this.problem()
      const key = this.string()
      if (map.has(key)) throw new JsonProblem(`the key ${JSON.stringify(key)} stands twice in one object`, key)
      this.skipSpace()
      if (!this.skip(':')) throw this.problem()
      this.skipSpace()
      map.set(key, this.value())
      if (key === '__proto__' || /^\d+$/.test(key)) isOrdered = false
      this.skipSpace()
    } while (this.skip(','))
    this.leave('}')
    return isOrdered ? Object.fromEntries(map) : map
  }

  private enter(): void {
    if (++this.depth > maxDepth) throw new JsonProblem(`it has more than ${maxDepth} levels`)
    this.position++
    this.skipSpace()
    const next = this.text[this.position]
    if (next === ']' || next === '}') this.depth--
  }

  private leave(end: string): void {
    if (!this.skip(end)) throw this.problem()
    this.depth--
  }

  private skip(character: string): boolean {
    if (this.text[this.position] !== character) return false
    this.position++
    return true
  }

  private skipSpace(): void {
    const code = this.text.charCodeAt(this.position)
    if (code > 0x20) return
    space.lastIndex = this.position
    space.test(this.text)
    this.position = space.lastIndex
  }

  private problem(): JsonProblem {
    const place = this.position
    const found = this.text[place]
    const what = found === undefined ? 'it ends too early' : `${JSON.stringify(found)} at character ${place + 1}`
    return new JsonProblem(`it is no JSON: ${what}`)
  }
}

/** A half of a surrogate pair has no UTF-8; the others mark trained text while a template is rendered. */
export const unusableCharacters = /[\p{Cs}\ufdd0\ufdd1]/u

/**
 * The JSON text of what `parseJson` or a Parquet file gave: the numbers keep their form.
 *
 * @throws JsonProblem where it holds what JSON has not, or characters that cannot be used
 */
export function writeJson(value: unknown): string {
  if (value === null || value === undefined) return 'null'
  if (typeof value === 'string') {
    if (unusableCharacters.test(value)) throw new JsonProblem('it holds half of a surrogate pair, U+FDD0 or U+FDD1')
    return JSON.stringify(value)
  }
  if (typeof value === 'boolean' || typeof value === 'bigint') return String(value)
  if (typeof value === 'number' && Number.isFinite(value)) return String(value)
  if (value instanceof JsonNumber) return value.text
  if (Array.isArray(value)) return `[${value.map(writeJson).join(', ')}]`
  const isObject =
    typeof value === 'object' && (value instanceof Map || Object.getPrototypeOf(value) === Object.prototype)
  if (!isObject) throw new JsonProblem(`it holds ${String(value).slice(0, 40)}, which JSON has not`)
  const entries = value instanceof Map ? [...value] : Object.entries(value)
  return `{${entries.map(([key, item]) => `${writeJson(key)}: ${writeJson(item)}`).join(', ')}}`
}

/** Every text in what `parseJson` gave, keys as well. */
export function* textsIn(value: unknown): Generator<string> {
  if (typeof value === 'string') yield value
  else if (Array.isArray(value)) for (const item of value) yield* textsIn(item)
  else if (typeof value === 'object' && value !== null && !(value instanceof JsonNumber)) {
    for (const [key, item] of value instanceof Map ? value : Object.entries(value)) {
      yield key
      yield* textsIn(item)
    }
  }
}
