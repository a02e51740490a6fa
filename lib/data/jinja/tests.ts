import { bind, required } from './arguments.js'
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

export const plain =
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

const tests = new Map<string, Test>()
/** Names are separated by spaces. */
export const defineTest = (names: string, test: Test) => {
  for (const name of names.split(' ')) tests.set(name, test)
}

defineTest(
  'defined',
  plain((value) => !(value instanceof Undefined)),
)
defineTest(
  'undefined',
  plain((value) => value instanceof Undefined),
)
defineTest(
  'none',
  plain((value) => value === null),
)
defineTest(
  'boolean',
  plain((value) => typeof value === 'boolean'),
)
defineTest(
  'true',
  plain((value) => value === true),
)
defineTest(
  'false',
  plain((value) => value === false),
)
defineTest('integer', plain(isInteger))
defineTest(
  'float',
  plain((value) => value instanceof Float),
)
defineTest('number', plain(isNumeric))
defineTest(
  'string',
  plain((value) => typeof value === 'string'),
)
defineTest(
  'mapping',
  plain((value) => value instanceof Map),
)
defineTest('sequence', plain(isSequence))
defineTest(
  'iterable',
  plain((value) => isSequence(value) || value instanceof Iterator),
)
defineTest(
  'callable',
  plain((value) => value instanceof Callable),
)
defineTest(
  'escaped',
  plain(() => false),
)
defineTest(
  'lower',
  plain((value) => isLower(text(value))),
)
defineTest(
  'upper',
  plain((value) => isUpper(text(value))),
)
defineTest(
  'odd',
  plain((value) => !divisible(value, 2)),
)
defineTest(
  'even',
  plain((value) => divisible(value, 2)),
)
defineTest('divisibleby', (value, call) =>
  divisible(value, index(required('divisibleby', bind('divisibleby', call, ['num'])[0]))),
)
defineTest('eq == equalto', compared(equal))
defineTest(
  'ne !=',
  compared((a, b) => !equal(a, b)),
)
defineTest(
  'lt < lessthan',
  compared((a, b) => order(a, b) < 0),
)
defineTest(
  'le <=',
  compared((a, b) => order(a, b, '<=') <= 0),
)
defineTest(
  'gt > greaterthan',
  compared((a, b) => order(a, b, '>') > 0),
)
defineTest(
  'ge >=',
  compared((a, b) => order(a, b, '>=') >= 0),
)
defineTest(
  'in',
  compared((a, b) => contains(b, a)),
)
defineTest(
  'sameas',
  compared((a, b) => a === b),
)
defineTest(
  'test',
  plain((value) => tests.has(text(value))),
)

/** @throws JinjaError where there is none of this name */
export function testOf(name: string): Test {
  const found = tests.get(name)
  if (found) return found
  throw new JinjaError(`No test named '${name}'`)
}
