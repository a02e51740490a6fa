/** A text that json.loads of Python would not read. */
export class PythonJsonProblem extends Error {
  override readonly name = 'PythonJsonProblem'
}

/** A whole number by its digits, however many; `-0` is `0`. */
export class PythonInteger {
  constructor(readonly digits: string) {}
}

/** What json.loads gives: floats are numbers, whole numbers PythonIntegers, and of a repeated key the last value stays. */
export type PythonValue =
  | null
  | boolean
  | number
  | string
  | PythonInteger
  | readonly PythonValue[]
  | ReadonlyMap<string, PythonValue>

/** Python itself refuses to write or read deeper ones. */
const maxDepth = 1000

const space = /[ \t\n\r]*/y
const number = /(-?(?:0|[1-9]\d*))((?:\.\d+)?(?:[eE][+-]?\d+)?)/y
const words: readonly [string, PythonValue][] = [
  ['null', null],
  ['true', true],
  ['false', false],
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
]

/**
 * Reads JSON as json.loads of Python does, with nothing of a number lost.
 *
 * @throws PythonJsonProblem
 */
export function parsePythonJson(text: string): PythonValue {
  return new Parser(text).document()
}

class Parser {
  private position = 0
  private depth = 0

  constructor(private readonly text: string) {}

  document(): PythonValue {
    const value = this.value()
    this.skipSpace()
    if (this.position < this.text.length) throw this.problem()
    return value
  }

  private value(): PythonValue {
    this.skipSpace()
    const character = this.text[this.position]
    if (character === '"') return this.string()
    if (character === '[') return this.array()
    if (character === '{') return this.object()
    for (const [word, value] of words) {
      if (!this.text.startsWith(word, this.position)) continue
      this.position += word.length
      return value
    }
    return this.number()
  }

  private number(): PythonValue {
    number.lastIndex = this.position
    const [text, whole = '', rest] = number.exec(this.text) ?? []
    if (text === undefined) throw this.problem()
    this.position = number.lastIndex
    if (rest !== '') return Number(text)
    return new PythonInteger(whole === '-0' ? '0' : whole)
  }

  private string(): string {
    const begin = this.position
    let end = begin + 1
    let escaped = false
    for (; ; end++) {
      end = nextOf(this.text, end)
      if (end < 0) throw new PythonJsonProblem('it ends inside of a text')
      if (this.text[end] === '"') break
      escaped = true
      end++
    }
    this.position = end + 1
    if (!escaped && !hasControl(this.text, begin, end)) return this.text.slice(begin + 1, end)
    try {
      return JSON.parse(this.text.slice(begin, end + 1))
    } catch {
      throw new PythonJsonProblem(`the text at character ${begin + 1} has an escape sequence that JSON has not`)
    }
  }

  private array(): PythonValue {
    const list: PythonValue[] = []
    if (this.enters(']')) return list
    do list.push(this.value())
    while (this.continues(']'))
    return list
  }

  private object(): PythonValue {
    const map = new Map<string, PythonValue>()
    if (this.enters('}')) return map
    do {
      this.skipSpace()
      if (this.text[this.position] !== '"') throw this.problem()
      const key = this.string()
      this.skipSpace()
      if (this.text[this.position] !== ':') throw this.problem()
      this.position++
      map.set(key, this.value())
    } while (this.continues('}'))
    return map
  }

  /** Passes the opening bracket, and the closing one where nothing stands between. */
  private enters(end: string): boolean {
    if (++this.depth > maxDepth) throw new PythonJsonProblem(`it has more than ${maxDepth} levels`)
    this.position++
    this.skipSpace()
    if (this.text[this.position] !== end) return false
    this.position++
    this.depth--
    return true
  }

  /** Passes a comma, or the closing bracket. */
  private continues(end: string): boolean {
    this.skipSpace()
    const character = this.text[this.position]
    if (character !== ',' && character !== end) throw this.problem()
    this.position++
    if (character === end) this.depth--
    return character === ','
  }

  private skipSpace(): void {
    space.lastIndex = this.position
    space.test(this.text)
    this.position = space.lastIndex
  }

  private problem(): PythonJsonProblem {
    const found = this.text[this.position]
    const what =
      found === undefined ? 'it ends too early' : `${JSON.stringify(found)} at character ${this.position + 1}`
    return new PythonJsonProblem(what)
  }
}

/** Where the next quote or backslash stands; -1 where there is none. */
function nextOf(text: string, from: number): number {
  for (let i = from; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x22 || code === 0x5c) return i
  }
  return -1
}

function hasControl(text: string, begin: number, end: number): boolean {
  for (let i = begin; i < end; i++) if (text.charCodeAt(i) < 0x20) return true
  return false
}

/** As `a == b` of Python: True is 1 and 1.0, numbers are compared exactly, NaN equals nothing, the order of keys does not matter. */
export function equalInPython(a: PythonValue, b: PythonValue): boolean {
  if (isNumeric(a) && isNumeric(b)) return equalNumbers(a, b)
  if (typeof a === 'string' || a === null) return a === b
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, i) => equalInPython(item, b[i]))
  }
  if (!(a instanceof Map) || !(b instanceof Map) || a.size !== b.size) return false
  for (const [key, value] of a) if (!b.has(key) || !equalInPython(value, b.get(key) as PythonValue)) return false
  return true
}

type Numeric = boolean | number | PythonInteger

const isNumeric = (value: PythonValue): value is Numeric =>
  typeof value === 'boolean' || typeof value === 'number' || value instanceof PythonInteger

function equalNumbers(a: Numeric, b: Numeric): boolean {
  if (typeof a === 'number' && typeof b === 'number') return a === b
  const [these, those] = [digitsOf(a), digitsOf(b)]
  return these !== undefined && these === those
}

/** The digits of a whole number; undefined for other ones. */
function digitsOf(value: Numeric): string | undefined {
  if (typeof value === 'boolean') return value ? '1' : '0'
  if (value instanceof PythonInteger) return value.digits
  return Number.isInteger(value) ? BigInt(value).toString() : undefined
}
