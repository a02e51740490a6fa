import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { Problems, pathText } from '../../lib/recipe/problems.js'
import { compileSchema } from '../../lib/recipe/schemaProblems.js'
import { type Condition, checkCondition, columnsIn, compileCondition, type Test } from '../../lib/select/condition.js'

const holds = (condition: Condition, columns: Record<string, unknown>) => !compileCondition(condition)(columns)
const isSo = (test: Test, value: unknown) => holds({ column: test }, value === undefined ? {} : { column: value })

const schema = JSON.parse(readFileSync(new URL('../../recipes/selection.schema.json', import.meta.url), 'utf8'))
const validate = compileSchema({ $defs: schema.$defs, $ref: '#/$defs/condition' })

/** Each kind of test with a value that it takes and one that it does not. */
const kinds: [Test, taken: unknown, refused: unknown][] = [
  ['proof', 'proof', 'Proof'],
  [4, 4n, 5n],
  [4, 4, '4'],
  [true, true, 'true'],
  [null, undefined, ''],
  [null, null, 0],
  [['a', 'b', null], 'b', 'c'],
  [{ in: [1, 2] }, 2n, 3],
  [{ not: 'proof' }, undefined, 'proof'],
  [{ not: ['proof', 'MCQ'] }, 'other', 'MCQ'],
  [{ min: 2, max: 4 }, 4n, 5],
  [{ above: 2, below: 4 }, 3, 4n],
  [{ min: 1 }, 9007199254740993n, undefined],
  [{ max: 1 }, 0.5, '0'],
  [{ matches: '^find', flags: 'i' }, 'Find x', 'To find x'],
  [{ matches: '\\d' }, 'x1', 1],
  [{ any: true }, [false, true], [false, null]],
  [{ any: true }, [true], true],
  [{ any: null }, [null], []],
  [{ all: 'stop' }, ['stop', 'stop'], ['stop', 'length']],
  [{ all: 'stop' }, ['stop'], []],
  [{ length: 2 }, ['a', 'b'], ['a']],
  [{ length: { max: 3 } }, 'abc', 'abcd'],
  [{ missing: true }, undefined, ''],
  [{ missing: false }, false, null],
  [{ min: 2, not: 3 }, 4, 3],
]

test.each(kinds)('%j holds of one value and not of another', (kind, taken, refused) => {
  expect(validate({ column: kind })).toBe(true)
  expect([isSo(kind, taken), isSo(kind, refused)]).toEqual([true, false])
})

test('a list that is null has no element that is so, and not all of them', () => {
  expect([isSo({ any: true }, null), isSo({ all: true }, undefined), isSo({ not: { any: true } }, null)]).toEqual([
    false,
    false,
    true,
  ])
})

test('all columns of a condition must hold; one of $or, and not what $not says', () => {
  const condition: Condition = {
    type: 'math',
    $or: [{ verified: { any: true } }, { judged: { any: true } }],
    $not: { source: ['forum', 'blog'], type: 'math' },
  }
  expect(validate(condition)).toBe(true)
  expect(holds(condition, { type: 'math', verified: [true] })).toBe(true)
  expect(holds(condition, { type: 'math', judged: [false, true], source: 'olympiad' })).toBe(true)
  expect(holds(condition, { type: 'math', verified: null, judged: [false] })).toBe(false)
  expect(holds(condition, { type: 'proof', verified: [true] })).toBe(false)
  expect(holds(condition, { type: 'math', verified: [true], source: 'blog' })).toBe(false)
  expect(columnsIn(condition)).toEqual(['type', 'verified', 'judged', 'source', 'type'])
})

test('names lead along dots through objects and lists, after columns of just that name', () => {
  const row = { 'a.b': 1, a: { b: 2, c: [{ d: 3 }] }, prototype: {} }
  expect(holds({ 'a.b': 1, 'a.c.0.d': 3 }, row)).toBe(true)
  expect(holds({ 'a.c.1.d': null, 'a.constructor': null, toString: null }, row)).toBe(true)
})

test('a failure names the key and what was found', () => {
  const check = compileCondition({ $or: [{ a: 1 }, { b: { any: true } }], kind: 'x' })
  expect(check({ a: 2n, b: [null, false] })).toEqual({ key: '$or', found: 'a is 2, b is [missing, false]' })
  expect(check({ a: 1, kind: 'y'.repeat(100) })).toEqual({ key: 'kind', found: `kind is "${'y'.repeat(80)}…"` })
})

test('what no value could fit is refused with its place', () => {
  const problems = new Problems('The condition', (path) => ({ text: pathText(path), order: 0 }))
  const condition: Condition = {
    a: { matches: '(' },
    b: { flags: 'i' },
    $or: [{ c: { min: 3, below: 3 } }],
    $not: { d: { any: { above: 2, max: 1 } } },
    e: { min: 3, max: 3 },
  }
  checkCondition(condition, problems, ['where'])
  expect(() => problems.throwIfAny()).toThrow(
    /4 problems:\n.*where\.a\.matches: Expected a regular expression.*\n.*where\.b\.flags.*\n.*where\["\$or"\]\[0\]\.c: Expected a range.*\n.*d\.any/,
  )
})

test.each([
  [{ a: {} }],
  [{ a: [] }],
  [{ a: [[1]] }],
  [{ a: { inn: [1] } }],
  [{ a: { min: '1' } }],
  [{ a: { matches: 'x', flags: 'g' } }],
  [{ $or: [] }],
  [{ $or: { a: 1 } }],
  [{ $not: [] }],
  [{}],
])('the schema refuses %j', (condition) => {
  expect(validate(condition)).toBe(false)
})
