import { format } from './format.js'
import { type BinaryOperator, JinjaError } from './syntax.js'
import {
  asNumber,
  Float,
  integer,
  isInteger,
  isNumeric,
  Tuple,
  tuple,
  typeName,
  Undefined,
  type Value,
} from './values.js'

/** What an operator makes of two values, as Python has it. */
export function binary(operator: BinaryOperator, a: Value, b: Value): Value {
  if (a instanceof Undefined) a.fail()
  if (b instanceof Undefined) b.fail()
  if (isNumeric(a) && isNumeric(b)) return arithmetic(operator, a, b)
  if (operator === '+') return joined(a, b)
  if (operator === '*') return repeated(a, b)
  if (operator === '%' && typeof a === 'string') return format(a, b instanceof Tuple ? [...b] : [b], b)
  throw unsupported(operator, a, b)
}

const unsupported = (operator: string, a: Value, b: Value): JinjaError =>
  new JinjaError(`unsupported operand type(s) for ${operator}: '${typeName(a)}' and '${typeName(b)}'`)

function joined(a: Value, b: Value): Value {
  if (typeof a === 'string') {
    if (typeof b === 'string') return a + b
    throw new JinjaError(`can only concatenate str (not "${typeName(b)}") to str`)
  }
  if (Array.isArray(a) && Array.isArray(b) && a instanceof Tuple === b instanceof Tuple) {
    return a instanceof Tuple ? tuple([...a, ...b]) : [...a, ...b]
  }
  throw unsupported('+', a, b)
}

/** No template needs more; a mistake would take all memory. */
const maxRepeated = 2 ** 20

function repeated(a: Value, b: Value): Value {
  const [sequence, count] = typeof a === 'number' ? [b, a] : [a, b]
  if (typeof count !== 'number' || (typeof sequence !== 'string' && !Array.isArray(sequence))) {
    throw unsupported('*', a, b)
  }
  const times = Math.max(0, count)
  if (times * sequence.length > maxRepeated) throw new JinjaError('a repeated text or list grows too long')
  if (typeof sequence === 'string') return sequence.repeat(times)
  const list = Array.from({ length: times }, () => [...sequence]).flat()
  return sequence instanceof Tuple ? tuple(list) : list
}

type Numeric = number | bigint | boolean | Float

function arithmetic(operator: BinaryOperator, a: Numeric, b: Numeric): Value {
  const isFloat = a instanceof Float || b instanceof Float || operator === '/'
  const [x, y] = [asNumber(a), asNumber(b)]
  if (['/', '//', '%'].includes(operator) && Number(y) === 0) throw new JinjaError('division by zero')
  if (isFloat) return new Float(floatResult(operator, Number(x), Number(y)))
  if (operator === '**' && Number(y) < 0) return new Float(Number(x) ** Number(y))
  if (operator === '**' && Number(y) > 4096) throw new JinjaError('the result of ** grows too long')
  return integer(integerResult(operator, BigInt(x), BigInt(y)))
}

function floatResult(operator: BinaryOperator, x: number, y: number): number {
  switch (operator) {
    case '+':
      return x + y
    case '-':
      return x - y
    case '*':
      return x * y
    case '/':
      return x / y
    case '//':
      return Math.floor(x / y)
    case '%': {
      const rest = x % y
      return rest !== 0 && rest < 0 !== y < 0 ? rest + y : rest
    }
    case '**':
      return x ** y
  }
}

function integerResult(operator: BinaryOperator, x: bigint, y: bigint): bigint {
  switch (operator) {
    case '+':
      return x + y
    case '-':
      return x - y
    case '*':
      return x * y
    case '**':
      return x ** y
    case '%': {
      const rest = x % y
      return rest !== 0n && rest < 0n !== y < 0n ? rest + y : rest
    }
    default: {
      const quotient = x / y
      return x % y !== 0n && x < 0n !== y < 0n ? quotient - 1n : quotient
    }
  }
}

export function negated(value: Value): Value {
  if (value instanceof Float) return new Float(-value.value)
  if (typeof value === 'boolean') return -Number(value) + 0
  if (isInteger(value)) return value === 0 ? 0 : typeof value === 'bigint' ? integer(-value) : -value
  if (value instanceof Undefined) value.fail()
  throw new JinjaError(`bad operand type for unary -: '${typeName(value)}'`)
}
