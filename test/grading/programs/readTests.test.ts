import { expect, test } from 'vitest'
import { readTests } from '../../../lib/grading/programs/readTests.js'

test('tests of stdin, from JSON and from objects', () => {
  const json = '{"inputs": ["1\\n2\\n", ["3", "4"]], "outputs": ["3\\n", [7]]}'
  const tests = [
    { input: '1\n2\n', output: '3\n' },
    { input: '3\n4', output: '7' },
  ]
  expect(readTests(json)).toEqual({ kind: 'stdin', tests })
  expect(readTests(JSON.parse(json))).toEqual({ kind: 'stdin', tests })
  expect(readTests(new Map(Object.entries({ ...JSON.parse(json), fn_name: null })))).toEqual({ kind: 'stdin', tests })
})

test('tests of a function keep every number as it is written', () => {
  const json =
    '{"fn_name": "f", "inputs": [[1.0, [12345678901234567890]], "\\"a\\"\\n2"], "outputs": [[1e400], {"b": 1, "1": null}]}'
  expect(readTests(json)).toEqual({
    kind: 'function',
    name: 'f',
    tests: [
      { args: ['1.0', '[12345678901234567890]'], output: '[1e400]' },
      { args: ['"a"', '2'], output: expect.stringMatching(/^\{"b": ?1, ?"1": ?null\}$/) },
    ],
  })
})

test.each([
  [undefined, 'there are no tests'],
  ['', 'there are no tests'],
  ['{"inputs": [', 'the tests cannot be read'],
  ['[1]', 'no object'],
  ['{"inputs": ["1"]}', 'no lists'],
  ['{"inputs": ["1"], "outputs": []}', '1 inputs and 0 outputs'],
  ['{"inputs": [], "outputs": []}', 'there are no tests'],
  ['{"inputs": [{}], "outputs": ["1"]}', 'inputs[0] is neither'],
  ['{"inputs": ["1"], "outputs": [null]}', 'outputs[0] is neither'],
  ['{"fn_name": "f g", "inputs": [[1]], "outputs": [1]}', 'fn_name is not'],
  ['{"fn_name": "f", "inputs": [1], "outputs": [1]}', 'inputs[0] is no list'],
])('what is no test is told: %s', (value, problem) => {
  expect(readTests(value)).toEqual({ problem: expect.stringContaining(problem) })
})

test('no text, however damaged, makes it throw', () => {
  const json = '{"fn_name": "f", "inputs": [[1, "a\\n"], [2]], "outputs": [[1.5], [null]]}'
  for (let i = 0; i < json.length; i++) {
    for (const damaged of [
      json.slice(0, i),
      json.slice(0, i) + json.slice(i + 1),
      `${json.slice(0, i)}"${json.slice(i)}`,
    ]) {
      expect(readTests(damaged)).toBeTypeOf('object')
    }
  }
})
