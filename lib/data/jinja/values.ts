import { JinjaError } from './syntax.js'

/**
 * A value while a template is rendered: what Python has, in JavaScript's nearest. An int is a number as long as that is exact,
 * else a bigint; a float is a {@link Float}, because 1.0 is not written as 1; a dict is a Map, because an object would put keys that
 * look like numbers first.
 */
export type Value =
  | string
  | number
  | bigint
  | boolean
  | null
  | Float
  | Undefined
  | Value[]
  | Map<Value, Value>
  | Iterator
  | Namespace
  | Callable

export class Float {
  constructor(readonly value: number) {}
}

/** What a name stands for that nothing was given to. It can be tested and written, as nothing, and not be used otherwise. */
export class Undefined {
  constructor(readonly what: string) {}

  fail(): never {
    throw new JinjaError(this.what)
  }
}

/** Python's tuples, and ranges: lists but for how they are written and compared. */
export class Tuple extends Array<Value> {
  static override get [Symbol.species]() {
    return Array
  }
}

/** A value that may be missing; None is there. */
export const found = (value: Value | undefined, what: string): Value =>
  value === undefined ? new Undefined(what) : value

export function tuple(items: Iterable<Value>): Tuple {
  const made = new Tuple()
  for (const item of items) made.push(item)
  return made
}

/** What filters like map and select give: it is true, has no length, and is gone once it was looped over. */
export class Iterator {
  constructor(private items: Value[]) {}

  take(): Value[] {
    const { items } = this
    this.items = []
    return items
  }
}

export class Namespace {
  constructor(readonly values: Map<string, Value>) {}
}

export interface Call {
  args: Value[]
  named: Map<string, Value>
}

export class Callable {
  constructor(
    readonly name: string,
    readonly call: (call: Call) => Value,
    /** What `loop` has besides. */
    readonly attributes?: (name: string) => Value | undefined,
  ) {}
}

export const isString = (value: Value): value is string => typeof value === 'string'
export const isInteger = (value: Value): value is number | bigint =>
  typeof value === 'number' || typeof value === 'bigint'
export const isNumeric = (value: Value): value is number | bigint | boolean | Float =>
  isInteger(value) || typeof value === 'boolean' || value instanceof Float

/** As Python names the type of a value. */
export function typeName(value: Value): string {
  if (typeof value === 'string') return 'str'
  if (typeof value === 'boolean') return 'bool'
  if (isInteger(value)) return 'int'
  if (value === null) return 'NoneType'
  if (value instanceof Float) return 'float'
  if (value instanceof Undefined) return 'Undefined'
  if (value instanceof Tuple) return 'tuple'
  if (Array.isArray(value)) return 'list'
  if (value instanceof Map) return 'dict'
  return value instanceof Iterator ? 'generator' : value instanceof Namespace ? 'Namespace' : 'function'
}

export function isTrue(value: Value): boolean {
  if (typeof value === 'boolean') return value
  if (typeof value === 'string') return value !== ''
  if (value === null || value instanceof Undefined) return false
  if (Array.isArray(value)) return value.length > 0
  if (value instanceof Map) return value.size > 0
  if (typeof value === 'number') return value !== 0
  if (typeof value === 'bigint') return value !== 0n
  return value instanceof Float ? value.value !== 0 : true
}

/** Python's `str()`, which is how values are written. */
export function text(value: Value): string {
  return typeof value === 'string' ? value : value instanceof Undefined ? '' : repr(value)
}

export function repr(value: Value): string {
  if (typeof value === 'string') return quoted(value)
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (value === null) return 'None'
  if (isInteger(value)) return String(value)
  if (value instanceof Float) return floatText(value.value)
  if (value instanceof Undefined) return 'Undefined'
  if (value instanceof Tuple) return `(${value.map(repr).join(', ')}${value.length === 1 ? ',' : ''})`
  if (Array.isArray(value)) return `[${value.map(repr).join(', ')}]`
  if (value instanceof Map) return `{${[...value].map(([key, item]) => `${repr(key)}: ${repr(item)}`).join(', ')}}`
  throw new JinjaError(`a ${typeName(value)} is not written: its text would differ from run to run`)
}

/** The shortest digits that are read as the same number, with an exponent where Python has one. */
export function floatText(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'nan' : value > 0 ? 'inf' : '-inf'
  const [mantissa = '', exponentText = ''] = value.toExponential().split('e')
  const exponent = Number(exponentText)
  const sign = Object.is(value, -0) || value < 0 ? '-' : ''
  const digits = mantissa.replace(/[-.]/g, '')
  if (exponent < -4 || exponent >= 16) {
    const fraction = digits.length > 1 ? `.${digits.slice(1)}` : ''
    const magnitude = String(Math.abs(exponent)).padStart(2, '0')
    return `${sign}${digits[0]}${fraction}e${exponent < 0 ? '-' : '+'}${magnitude}`
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0')
  return `${sign}${whole}.${digits.slice(exponent + 1) || '0'}`
}

const notPrintable = /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/u

function quoted(value: string): string {
  const quote = value.includes("'") && !value.includes('"') ? '"' : "'"
  let out = ''
  for (const character of value) {
    const code = character.codePointAt(0) as number
    if (character === quote || character === '\\') out += `\\${character}`
    else if (character === '\n') out += '\\n'
    else if (character === '\r') out += '\\r'
    else if (character === '\t') out += '\\t'
    else if (!notPrintable.test(character)) out += character
    else if (code < 0x100) out += `\\x${code.toString(16).padStart(2, '0')}`
    else if (code < 0x10000) out += `\\u${code.toString(16).padStart(4, '0')}`
    else out += `\\U${code.toString(16).padStart(8, '0')}`
  }
  return `${quote}${out}${quote}`
}

/** What a loop goes over. */
export function items(value: Value): Value[] {
  if (Array.isArray(value)) return value
  if (value instanceof Map) return [...value.keys()]
  if (typeof value === 'string') return [...value]
  if (value instanceof Iterator) return value.take()
  if (value instanceof Undefined) return []
  throw new JinjaError(`'${typeName(value)}' object is not iterable`)
}

/** Characters as Python counts them, not halves of surrogate pairs. */
export function characters(value: string): string[] | string {
  return hasSurrogates(value) ? [...value] : value
}

const hasSurrogates = (value: string): boolean => /[\ud800-\udfff]/.test(value)

export function length(value: Value): number {
  if (typeof value === 'string') return characters(value).length
  if (Array.isArray(value)) return value.length
  if (value instanceof Map) return value.size
  if (value instanceof Undefined) return 0
  throw new JinjaError(`object of type '${typeName(value)}' has no len()`)
}

export function equal(a: Value, b: Value): boolean {
  if (a === b) return true
  if (isNumeric(a) && isNumeric(b)) return sameNumber(asNumber(a), asNumber(b))
  if (a instanceof Undefined) return b instanceof Undefined
  if (Array.isArray(a) && Array.isArray(b)) {
    const isSameKind = a instanceof Tuple === b instanceof Tuple
    return isSameKind && a.length === b.length && a.every((item, i) => equal(item, b[i] as Value))
  }
  if (a instanceof Map && b instanceof Map) {
    return a.size === b.size && [...a].every(([key, item]) => b.has(key) && equal(item, b.get(key) as Value))
  }
  return false
}

/** Negative, zero or positive, as a stands to b. */
export function order(a: Value, b: Value, operator = '<'): number {
  if (typeof a === 'string' && typeof b === 'string') return orderTexts(a, b)
  if (isNumeric(a) && isNumeric(b)) {
    const [x, y] = [asNumber(a), asNumber(b)]
    return x < y ? -1 : x > y ? 1 : sameNumber(x, y) ? 0 : Number.NaN
  }
  if (Array.isArray(a) && Array.isArray(b) && a instanceof Tuple === b instanceof Tuple) {
    const different = a.findIndex((item, i) => i >= b.length || !equal(item, b[i] as Value))
    if (different < 0) return a.length - b.length
    return different >= b.length ? 1 : order(a[different] as Value, b[different] as Value, operator)
  }
  const undefinedOne = [a, b].find((value) => value instanceof Undefined)
  if (undefinedOne instanceof Undefined) undefinedOne.fail()
  throw new JinjaError(`'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`)
}

/** By code points; JavaScript compares UTF-16, where U+FFFF comes after U+10000. */
export function orderTexts(a: string, b: string): number {
  if (a === b) return 0
  const shortest = Math.min(a.length, b.length)
  let i = 0
  while (i < shortest && a.charCodeAt(i) === b.charCodeAt(i)) i++
  const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)]
  if (i === shortest) return a.length - b.length
  const rank = (code: number) => (code >= 0xd800 && code <= 0xdfff ? code + 0x10000 : code)
  return rank(x) - rank(y)
}

export function asNumber(value: number | bigint | boolean | Float): number | bigint {
  return value instanceof Float ? value.value : typeof value === 'boolean' ? Number(value) : value
}

/** Also an int and a bigint, which === tells apart. */
const sameNumber = (x: number | bigint, y: number | bigint): boolean => x <= y && x >= y

export function contains(container: Value, item: Value): boolean {
  if (typeof container === 'string') {
    if (typeof item === 'string') return container.includes(item)
    if (item instanceof Undefined) item.fail()
    throw new JinjaError(`'in <string>' requires string as left operand, not ${typeName(item)}`)
  }
  if (container instanceof Map) return container.has(key(item))
  if (isInteger(container) || container === null || container instanceof Float || typeof container === 'boolean') {
    throw new JinjaError(`argument of type '${typeName(container)}' is not iterable`)
  }
  return items(container).some((other) => equal(other, item))
}

/** What a dict finds its entries by: equal numbers are one key. */
export function key(value: Value): Value {
  if (typeof value === 'string' || value === null) return value
  if (isNumeric(value)) {
    const number = asNumber(value)
    if (typeof number === 'bigint') return number
    return Number.isSafeInteger(number) ? number : typeof value === 'number' ? number : value
  }
  if (Array.isArray(value) && !(value instanceof Tuple)) throw new JinjaError("unhashable type: 'list'")
  if (value instanceof Map) throw new JinjaError("unhashable type: 'dict'")
  return value
}

/** An int from a result that may be beyond what a number holds exactly. */
export function integer(value: bigint): number | bigint {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value
}

/** A number that is used as a position or a count. */
export function index(value: Value): number {
  if (typeof value === 'number') return value
  if (typeof value === 'boolean') return Number(value)
  if (value instanceof Undefined) value.fail()
  throw new JinjaError(`'${typeName(value)}' object cannot be interpreted as an integer`)
}

/** Python's slice of a list or a string. */
export function slice(value: Value, startValue: Value, stopValue: Value, stepValue: Value): Value {
  if (value instanceof Undefined) value.fail()
  const whole = typeof value === 'string' ? characters(value) : value
  if (typeof whole !== 'string' && !Array.isArray(whole)) {
    throw new JinjaError(`'${typeName(value)}' object is not subscriptable`)
  }
  const step = stepValue === null ? 1 : index(stepValue)
  if (step === 0) throw new JinjaError('slice step cannot be zero')
  const size = whole.length
  const bound = (given: Value, otherwise: number) => {
    if (given === null) return otherwise
    const place = index(given)
    const [low, high] = step > 0 ? [0, size] : [-1, size - 1]
    return Math.max(low, Math.min(high, place < 0 ? place + size : place))
  }
  const [start, stop] =
    step > 0 ? [bound(startValue, 0), bound(stopValue, size)] : [bound(startValue, size - 1), bound(stopValue, -1)]
  if (step === 1) {
    const part = whole.slice(start, Math.max(start, stop))
    if (typeof part === 'string') return part
    return typeof value === 'string' ? (part as string[]).join('') : sameKind(value, part)
  }
  const picked: Value[] = []
  for (let i = start; step > 0 ? i < stop : i > stop; i += step) picked.push(whole[i] as Value)
  return typeof value === 'string' ? picked.join('') : sameKind(value, picked)
}

const sameKind = (like: Value, list: Value[]): Value => (like instanceof Tuple ? tuple(list) : list)
