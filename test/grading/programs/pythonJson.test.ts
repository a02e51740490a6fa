import { expect, test } from 'vitest'
import {
  equalInPython,
  PythonInteger,
  PythonJsonProblem,
  type PythonValue,
  parsePythonJson,
} from '../../../lib/grading/programs/pythonJson.js'
import { growth, proportional } from '../../support/growth.js'

// a == b in Python 3, after json.loads of both.
const cases: [a: string, b: string, equal: boolean][] = [
  ['1', '1', true],
  ['1', '1.0', true],
  ['1', 'true', true],
  ['0', 'false', true],
  ['0.0', 'false', true],
  ['2', 'true', false],
  ['-0', '0', true],
  ['-0.0', '0', true],
  ['1', '"1"', false],
  ['null', 'false', false],
  ['null', 'null', true],
  ['0', 'null', false],
  ['""', 'false', false],
  ['[]', 'false', false],
  ['[]', '{}', false],
  ['[1, 2]', '[1.0, 2]', true],
  ['[1, 2]', '[2, 1]', false],
  ['[1]', '[1, 1]', false],
  ['9007199254740993', '9007199254740992', false],
  ['9007199254740993', '9007199254740992.0', false],
  ['9007199254740992', '9007199254740992.0', true],
  ['1000000000000000000000', '1e21', true],
  ['1e400', 'Infinity', true],
  ['-Infinity', 'Infinity', false],
  ['NaN', 'NaN', false],
  ['[NaN]', '[NaN]', false],
  ['0.1', '0.10000000000000001', true],
  ['0.1', '0.1000000000000001', false],
  ['0.30000000000000004', '0.3', false],
  ['"a\\u0062"', '"ab"', true],
  ['"\\ud83d\\ude00"', '"😀"', true],
  ['"\\ud83d"', '"\\ud83d"', true],
  ['{"a": 1, "b": 2}', '{"b": 2.0, "a": true}', true],
  ['{"a": 1}', '{"a": 1, "b": 2}', false],
  ['{"a": 1}', '{"b": 1}', false],
  ['{"a": 1, "a": 2}', '{"a": 2}', true],
  ['{"__proto__": 1}', '{}', false],
  ['{"constructor": 1}', '{"constructor": 1}', true],
  [' [ 1 , { "a" : null } ] ', '[1,{"a":null}]', true],
]

test.each(cases)('%s == %s: %s', (a, b, equal) => {
  expect(equalInPython(parsePythonJson(a), parsePythonJson(b))).toBe(equal)
  expect(equalInPython(parsePythonJson(b), parsePythonJson(a))).toBe(equal)
})

test.each([
  '',
  '[',
  '[1',
  '[1,]',
  '[,1]',
  '[1 2]',
  '{',
  '{"a"}',
  '{"a":}',
  '{a:1}',
  '{"a":1,}',
  '"',
  '"\\x"',
  '"a\nb"',
  "'a'",
  '01',
  '1.',
  '.5',
  '+1',
  '1e',
  'nan',
  'True',
  'None',
  '1 1',
  '[1]]',
  `${'['.repeat(1001)}${']'.repeat(1001)}`,
])('%s is none', (text) => {
  expect(() => parsePythonJson(text)).toThrow(PythonJsonProblem)
})

test('what JSON.parse takes is read the same', () => {
  let state = 7
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  const value = (depth: number): unknown => {
    const kind = random(depth > 4 ? 5 : 7)
    if (kind === 0) return null
    if (kind === 1) return random(2) === 0
    if (kind === 2) return random(2 ** 31) - 2 ** 30
    if (kind === 3) return (random(2 ** 31) + 0.5) / 2 ** random(60)
    if (kind === 4) return String.fromCodePoint(...Array.from({ length: random(9) }, () => random(0xd7ff)))
    if (kind === 5) return Array.from({ length: random(5) }, () => value(depth + 1))
    return Object.fromEntries(Array.from({ length: random(5) }, (_, i) => [`k${i}${random(9)}`, value(depth + 1)]))
  }
  const plain = (read: PythonValue): unknown => {
    if (read instanceof PythonInteger) return Number(read.digits)
    if (Array.isArray(read)) return read.map(plain)
    if (read instanceof Map) return Object.fromEntries([...read].map(([key, item]) => [key, plain(item)]))
    return read
  }
  for (let i = 0; i < 3000; i++) {
    const text = JSON.stringify(value(0), undefined, random(2))
    expect(plain(parsePythonJson(text))).toEqual(JSON.parse(text))
    const cut = text.slice(0, random(text.length))
    let valid = true
    try {
      JSON.parse(cut)
    } catch {
      valid = false
    }
    if (valid) expect(plain(parsePythonJson(cut))).toEqual(JSON.parse(cut))
    else expect(() => parsePythonJson(cut)).toThrow(PythonJsonProblem)
  }
})

test.each([
  ['a text', (n: number) => `"${'a\\n'.repeat(n)}"`],
  ['a list', (n: number) => `[${'1, '.repeat(n)}1]`],
  ['a text that does not end', (n: number) => `"${'\\"'.repeat(n)}`],
  ['a long number', (n: number) => '7'.repeat(n)],
])('the time grows with the text: %s', async (_, textOf) => {
  const factor = await growth((n) => {
    try {
      equalInPython(parsePythonJson(textOf(n)), parsePythonJson(textOf(n)))
    } catch {}
  }, 20_000)
  expect(factor).toBeLessThan(proportional)
})
