import { JsonNumber, JsonProblem, parseJson, writeJson } from '../../data/parseJson.js'
import { isMapping } from '../../validate.js'
import type { FunctionTest, StdinTest } from './gradeProgram.js'

/** Tests of a program that reads stdin and prints, or of a function. */
export type ProgramTests =
  | { kind: 'stdin'; tests: StdinTest[] }
  | { kind: 'function'; name: string; tests: FunctionTest[] }

/**
 * The tests of a row as APPS, TACO and OpenThoughts have them: an object, or its JSON, with `inputs` and `outputs` of equal length, and
 * `fn_name` where a function is called. An input of a function is the list of its arguments, or a text with one JSON value a line. On
 * stdin and stdout a list of texts is their lines. What can be no test is told in words.
 */
export function readTests(value: unknown): ProgramTests | { problem: string } {
  if (value === undefined || value === null || value === '') return { problem: 'there are no tests' }
  try {
    const fields = fieldsOf(typeof value === 'string' ? parseJson(value) : value)
    return fields ? testsOf(fields) : { problem: 'the tests are no object with inputs and outputs' }
  } catch (error) {
    if (error instanceof JsonProblem) return { problem: `the tests cannot be read: ${error.message}` }
    throw error
  }
}

const fieldsOf = (value: unknown): ReadonlyMap<string, unknown> | undefined =>
  value instanceof Map ? value : isMapping(value) ? new Map(Object.entries(value)) : undefined

function testsOf(fields: ReadonlyMap<string, unknown>): ProgramTests | { problem: string } {
  const [inputs, outputs, name] = [fields.get('inputs'), fields.get('outputs'), fields.get('fn_name')]
  if (!Array.isArray(inputs) || !Array.isArray(outputs))
    return { problem: 'the tests have no lists inputs and outputs' }
  if (inputs.length !== outputs.length) {
    return { problem: `there are ${inputs.length} inputs and ${outputs.length} outputs` }
  }
  if (inputs.length === 0) return { problem: 'there are no tests' }
  if (name === undefined || name === null || name === '') return stdinTests(inputs, outputs)
  if (typeof name !== 'string' || !/^[\p{L}_][\p{L}\p{N}_]*$/u.test(name)) {
    return { problem: 'fn_name is not the name of a function' }
  }
  const tests = inputs.map((input, i): FunctionTest | undefined => {
    const args = argumentsOf(input)
    return args && { args, output: writeJson(outputs[i] ?? null) }
  })
  const wrong = tests.indexOf(undefined)
  if (wrong >= 0) return { problem: `inputs[${wrong}] is no list of arguments` }
  return { kind: 'function', name, tests: tests as FunctionTest[] }
}

function stdinTests(inputs: readonly unknown[], outputs: readonly unknown[]): ProgramTests | { problem: string } {
  const tests: StdinTest[] = []
  for (const [i, each] of inputs.entries()) {
    const [input, output] = [linesOf(each), linesOf(outputs[i])]
    if (input === undefined) return { problem: `inputs[${i}] is neither a text nor a list of lines` }
    if (output === undefined) return { problem: `outputs[${i}] is neither a text nor a list of lines` }
    tests.push({ input, output })
  }
  return { kind: 'stdin', tests }
}

/** JSON texts. */
function argumentsOf(input: unknown): string[] | undefined {
  if (Array.isArray(input)) return input.map((arg) => writeJson(arg ?? null))
  return typeof input === 'string' ? input.split('\n').filter((line) => line.trim() !== '') : undefined
}

function linesOf(value: unknown): string | undefined {
  if (!Array.isArray(value)) return lineOf(value)
  const lines = value.map(lineOf)
  return lines.includes(undefined) ? undefined : lines.join('\n')
}

function lineOf(value: unknown): string | undefined {
  if (value instanceof JsonNumber) return value.text
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : undefined
}
