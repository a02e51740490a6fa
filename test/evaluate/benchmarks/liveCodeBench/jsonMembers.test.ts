import { expect, test } from 'vitest'
import { jsonMembers } from '../../../../lib/evaluate/benchmarks/liveCodeBench/jsonMembers.js'
import { growth, proportional } from '../../../support/growth.js'

const valuesOf = (text: string): [string, string][] | undefined => {
  const bytes = Buffer.from(text)
  const members = jsonMembers(bytes)
  return members && [...members].map(([key, { begin, end }]) => [key, bytes.toString('utf8', begin, end).trim()])
}

test.each<[string, [string, string][]]>([
  ['{}', []],
  [' { } \r', []],
  ['{"a":1}', [['a', '1']]],
  ['{"a": "x", "b": null}', [['a', '"x"'], ['b', 'null']]], // biome-ignore format: pairs
  ['{"a": "x\\",\\"b\\": 1"}', [['a', '"x\\",\\"b\\": 1"']]],
  ['{"a": "\\\\", "b": 2}', [['a', '"\\\\"'], ['b', '2']]], // biome-ignore format: pairs
  ['{"a": [1, {"b": "}"}], "c": {"d": ["]"]}}', [['a', '[1, {"b": "}"}]'], ['c', '{"d": ["]"]}']]], // biome-ignore format: pairs
  ['{"\\u0061": "ü"}', [['a', '"ü"']]],
  ['{"a": 1, "a": 2}', [['a', '2']]],
])('%s', (text, members) => {
  expect(valuesOf(text)).toEqual(members)
})

test.each([
  '',
  'x',
  '[]',
  '{',
  '{"a"}',
  '{"a":1',
  '{"a":"x}',
  '{"a":1,}',
  '{,}',
  '{a:1}',
  '{"a":1} x',
  '{"a":[1}',
  '{"a" 1}',
])('none: %s', (text) => {
  expect(jsonMembers(Buffer.from(text))).toBeUndefined()
})

test.each([
  ['a long text', (n: number) => `{"a": "${'x'.repeat(n)}"}`],
  ['escaped quotes', (n: number) => `{"a": "${'\\"'.repeat(n)}"}`],
  ['backslashes', (n: number) => `{"a": "${'\\\\'.repeat(n)}"}`],
  ['many members', (n: number) => `{${Array.from({ length: n / 10 }, (_, i) => `"k${i}":[]`).join(',')}}`],
])('the time grows with the text: %s', async (_, textOf) => {
  expect(await growth((n) => jsonMembers(Buffer.from(textOf(n))), 100_000)).toBeLessThan(proportional)
})
