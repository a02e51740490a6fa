import { JinjaError } from './syntax.js'
import { asNumber, Float, floatText, isNumeric, repr, text, typeName, type Value } from './values.js'

const directive = /%(?:\((\w*)\))?([-+ #0]*)(\d+)?(?:\.(\d+))?([a-zA-Z%])/g

/**
 * Python's `%` of a text.
 *
 * @param values - for directives without a name
 * @param mapping - for those with one
 */
export function format(template: string, values: readonly Value[], mapping: Value): string {
  let used = 0
  let isNamed = false
  const next = (name: string | undefined): Value => {
    if (name === undefined) {
      if (used >= values.length) throw new JinjaError('not enough arguments for format string')
      return values[used++] as Value
    }
    isNamed = true
    if (!(mapping instanceof Map)) throw new JinjaError('format requires a mapping')
    if (!mapping.has(name)) throw new JinjaError(`there is no ${name} to be formatted`)
    return mapping.get(name) as Value
  }
  const out = template.replace(directive, (_, name, flags: string, width, precision, type: string) => {
    if (type === '%') return '%'
    const body = directiveText(type, flags, precision === undefined ? undefined : Number(precision), next(name))
    return pad(body, Number(width ?? 0), flags, type !== 's' && type !== 'r')
  })
  if (!isNamed && used < values.length && !(mapping instanceof Map)) {
    throw new JinjaError('not all arguments converted during string formatting')
  }
  return out
}

function directiveText(type: string, flags: string, precision: number | undefined, value: Value): string {
  if (type === 's' || type === 'r') {
    const whole = type === 's' ? text(value) : repr(value)
    return precision === undefined ? whole : [...whole].slice(0, precision).join('')
  }
  if (!isNumeric(value)) throw new JinjaError(`%${type} format: a real number is required, not ${typeName(value)}`)
  const number = asNumber(value)
  const sign = number < 0 ? '-' : flags.includes('+') ? '+' : flags.includes(' ') ? ' ' : ''
  return sign + magnitudeText(type, precision, number)
}

function magnitudeText(type: string, precision: number | undefined, number: number | bigint): string {
  if (type === 'd' || type === 'i') {
    const whole = typeof number === 'bigint' ? number : BigInt(Math.trunc(number))
    return String(whole < 0n ? -whole : whole)
  }
  const size = Math.abs(Number(number))
  if (type === 'f' || type === 'F') return fixed(size, precision ?? 6)
  if (type === 'x' && Number.isInteger(size)) return size.toString(16)
  throw new JinjaError(`the format %${type} is not supported`)
}

/** Rounded exactly, half to even on the exact value, where JavaScript has digits enough. */
export function fixed(value: number, digits: number): string {
  if (digits > 100) throw new JinjaError('a number cannot have more than 100 digits behind its point')
  return Math.abs(value) < 1e21 ? value.toFixed(digits) : BigInt(value) + (digits > 0 ? `.${'0'.repeat(digits)}` : '')
}

function pad(body: string, width: number, flags: string, isNumber: boolean): string {
  const missing = width - [...body].length
  if (missing <= 0) return body
  if (flags.includes('-')) return body + ' '.repeat(missing)
  if (!flags.includes('0') || !isNumber) return ' '.repeat(missing) + body
  const sign = /^[-+ ]/.exec(body)?.[0] ?? ''
  return sign + '0'.repeat(missing) + body.slice(sign.length)
}

const field = /\{\{|\}\}|\{([^{}!:]*)(?:!([rs]))?(?::([^{}]*))?\}|[{}]/g

/** Python's `str.format`. */
export function formatFields(template: string, args: readonly Value[], named: ReadonlyMap<string, Value>): string {
  let automatic = 0
  return template.replace(field, (all, name: string | undefined, conversion: string | undefined, spec = '') => {
    if (all === '{{') return '{'
    if (all === '}}') return '}'
    if (name === undefined) throw new JinjaError("Single '{' or '}' encountered in format string")
    const wanted = name === '' ? String(automatic++) : name
    const value = /^\d+$/.test(wanted) ? args[Number(wanted)] : named.get(wanted)
    if (value === undefined) throw new JinjaError(`there is nothing to format for {${wanted}}`)
    return specified(conversion === 'r' ? repr(value) : conversion === 's' ? text(value) : value, spec)
  })
}

function specified(value: Value, spec: string): string {
  if (spec === '') return text(value)
  const match = /^(?:(.)?([<>^]))?([+ ])?(0)?(\d+)?(,)?(?:\.(\d+))?([dfs%])?$/u.exec(spec)
  if (!match) throw new JinjaError(`the format {:${spec}} is not supported`)
  const [, fill = ' ', align, sign = '', zero, width = '0', comma, precision, type] = match
  const isNumber = isNumeric(value) && typeof value !== 'boolean'
  let body = isNumber
    ? numberText(value, type, precision === undefined ? undefined : Number(precision), comma !== undefined)
    : [...text(value)].slice(0, precision === undefined ? undefined : Number(precision)).join('')
  if (!isNumber && type !== undefined && type !== 's') {
    throw new JinjaError(`Unknown format code '${type}' for object of type '${typeName(value)}'`)
  }
  if (isNumber && sign !== '' && !body.startsWith('-')) body = sign + body
  const missing = Number(width) - [...body].length
  if (missing <= 0) return body
  if (zero && !align) return pad(body, Number(width), '0', isNumber)
  const side = align ?? (isNumber ? '>' : '<')
  const left = side === '<' ? 0 : side === '>' ? missing : Math.floor(missing / 2)
  return fill.repeat(left) + body + fill.repeat(missing - left)
}

function numberText(
  value: number | bigint | boolean | Float,
  type: string | undefined,
  precision: number | undefined,
  comma: boolean,
): string {
  const number = asNumber(value)
  const isFixed = type === 'f' || type === '%' || precision !== undefined
  if (isFixed && type === undefined) throw new JinjaError('a precision needs the format f or %')
  if (type === 'd' && value instanceof Float) {
    throw new JinjaError("Unknown format code 'd' for object of type 'float'")
  }
  const percent = type === '%' ? '%' : ''
  const plain = isFixed
    ? fixed(Number(number) * (percent ? 100 : 1), precision ?? 6)
    : value instanceof Float
      ? floatText(value.value)
      : String(number)
  return (comma ? plain.replace(/^-?\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ',')) : plain) + percent
}
