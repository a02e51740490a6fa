import { bind, required } from './arguments.js'
import { filterOf } from './filters.js'
import { isLower, isUpper } from './methods.js'
import { JinjaError } from './syntax.js'
import {
  asNumber,
  type Call,
  Callable,
  contains,
  equal,
  Float,
  Iterator,
  index,
  isInteger,
  isNumeric,
  order,
  text,
  Undefined,
  type Value,
} from './values.js'

export type Test = (input: Value, call: Call) => boolean

const plain =
  (test: (value: Value) => boolean): Test =>
  (value, call) => {
    bind('a test', call, [])
    return test(value)
  }

const compared =
  (test: (a: Value, b: Value) => boolean): Test =>
  (value, call) =>
    test(value, required('a test', bind('a test', call, ['other'])[0]))

const divisible = (value: Value, by: number): boolean => {
  if (value instanceof Undefined) value.fail()
  if (!isNumeric(value)) throw new JinjaError('a number was expected')
  if (by === 0) throw new JinjaError('division by zero')
  const number = asNumber(value)
  return typeof number === 'bigint' ? number % BigInt(by) === 0n : number % by === 0
}

const isSequence = (value: Value): boolean =>
  typeof value === 'string' || Array.isArray(value) || value instanceof Map || value instanceof Undefined

function exists(find: (name: string) => unknown, name: string): boolean {
  try {
    return find(name) !== undefined
  } catch {
    return false
  }
}

const tests = new Map<string, Test>()
const define = (names: string, test: Test) => {
  for (const name of names.split(' ')) tests.set(name, test)
}

define(
  'defined',
  plain((value) => !(value instanceof Undefined)),
)
define(
  'undefined',
  plain((value) => value instanceof Undefined),
)
define(
  'none',
  plain((value) => value === null),
)
define(
  'boolean',
  plain((value) => typeof value === 'boolean'),
)
define(
  'true',
  plain((value) => value === true),
)
define(
  'false',
  plain((value) => value === false),
)
define('integer', plain(isInteger))
define(
  'float',
  plain((value) => value instanceof Float),
)
define('number', plain(isNumeric))
define(
  'string',
  plain((value) => typeof value === 'string'),
)
define(
  'mapping',
  plain((value) => value instanceof Map),
)
define('sequence', plain(isSequence))
define(
  'iterable',
  plain((value) => isSequence(value) || value instanceof Iterator),
)
define(
  'callable',
  plain((value) => value instanceof Callable),
)
define(
  'escaped',
  plain(() => false),
)
define(
  'lower',
  plain((value) => isLower(text(value))),
)
define(
  'upper',
  plain((value) => isUpper(text(value))),
)
define(
  'odd',
  plain((value) => !divisible(value, 2)),
)
define(
  'even',
  plain((value) => divisible(value, 2)),
)
define('divisibleby', (value, call) =>
  divisible(value, index(required('divisibleby', bind('divisibleby', call, ['num'])[0]))),
)
define('eq == equalto', compared(equal))
define(
  'ne !=',
  compared((a, b) => !equal(a, b)),
)
define(
  'lt < lessthan',
  compared((a, b) => order(a, b) < 0),
)
define(
  'le <=',
  compared((a, b) => order(a, b, '<=') <= 0),
)
define(
  'gt > greaterthan',
  compared((a, b) => order(a, b, '>') > 0),
)
define(
  'ge >=',
  compared((a, b) => order(a, b, '>=') >= 0),
)
define(
  'in',
  compared((a, b) => contains(b, a)),
)
define(
  'sameas',
  compared((a, b) => a === b),
)
define(
  'filter',
  plain((value) => exists(filterOf, text(value))),
)
define(
  'test',
  plain((value) => exists(testOf, text(value))),
)

/** @throws JinjaError where there is none of this name */
export function testOf(name: string): Test {
  const found = tests.get(name)
  if (found) return found
  throw new JinjaError(`No test named '${name}'`)
}
