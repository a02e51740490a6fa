import { BranchMergeError } from '../../errors.js'
import type { ProgramLimits, ProgramRunner, RunOutcome } from '../../sandbox/program.js'
import { equalInPython, PythonInteger, type PythonValue, parsePythonJson } from './pythonJson.js'

/** What a right solution returns for each input, and the longest that it took, in seconds. */
export interface ExpectedCalls {
  values: readonly PythonValue[]
  seconds: number
}

export interface Call {
  code: string
  prelude?: string | undefined
  entry: string
  inputs: readonly (readonly string[])[]
}

const memoryBytes = 4 * 2 ** 30
const outputBytes = 64 * 2 ** 20

/** The calls of a right solution may take that long on a slow machine. */
const referenceSeconds = 60

/**
 * Runs a right solution, whose values are what other ones have to return.
 *
 * @throws ERR_BENCHMARK where it fails
 */
export async function expectCalls(call: Call, runner: ProgramRunner, signal?: AbortSignal): Promise<ExpectedCalls> {
  const values: PythonValue[] = []
  let seconds = 0
  const goOn = ({ status, value, detail, ...outcome }: RunOutcome, i: number): boolean => {
    if (status !== 'finished' || value === undefined) {
      const what = `Expected a value of the right solution of ${call.entry} for input ${i + 1} but it ended with`
      throw new BranchMergeError('ERR_BENCHMARK', `${what} ${status}${detail ? `: ${detail.slice(0, 200)}` : ''}`)
    }
    values.push(parsePythonJson(value))
    seconds = Math.max(seconds, outcome.seconds)
    return true
  }
  await runCalls(call, runner, { seconds: referenceSeconds, memoryBytes, outputBytes }, goOn, signal)
  return { values, seconds }
}

/** Why the first call that fails does; undefined where none does. */
export async function gradeCalls(
  call: Call,
  isRight: (found: PythonValue, test: number) => boolean,
  seconds: number,
  runner: ProgramRunner,
  signal?: AbortSignal,
): Promise<string | undefined> {
  let failure: string | undefined
  const goOn = ({ status, value, detail }: RunOutcome, i: number): boolean => {
    const what = `input ${i + 1} of ${call.inputs.length}`
    if (status !== 'finished' || value === undefined) failure = `${what}: ${(detail ?? status).slice(0, 200)}`
    else if (!isRight(readValue(value), i)) failure = `${what}: another value`
    return failure === undefined
  }
  await runCalls(call, runner, { seconds, memoryBytes, outputBytes }, goOn, signal)
  return failure
}

/** What a program says that it returned; what is no JSON equals nothing. */
function readValue(value: string): PythonValue {
  try {
    return parsePythonJson(value)
  } catch {
    return Number.NaN
  }
}

/** What the callback throws is thrown after the runs, so that it does not go through the runner. */
async function runCalls(
  { code, prelude, entry, inputs }: Call,
  runner: ProgramRunner,
  limits: ProgramLimits,
  judge: (outcome: RunOutcome, test: number) => boolean,
  signal: AbortSignal | undefined,
): Promise<void> {
  const thrown: unknown[] = []
  const goOn = (outcome: RunOutcome, i: number): boolean => {
    try {
      return judge(outcome, i)
    } catch (error) {
      thrown.push(error)
      return false
    }
  }
  await runner.run(
    { code, prelude, entry },
    inputs.map((args) => ({ args })),
    limits,
    { signal, goOn },
  )
  if (thrown.length > 0) throw thrown[0]
}

/**
 * As EvalPlus compares: equal, or close by a tolerance, which floats always have (1e-6), and relatively 1e-7. Lists must be as long.
 */
export function equalOrClose(expected: PythonValue, found: PythonValue, tolerance: number): boolean {
  if (equalInPython(expected, found)) return true
  const atol = tolerance === 0 && isFloats(expected) ? 1e-6 : tolerance
  return atol !== 0 && isClose(expected, found, atol)
}

const isFloats = (value: PythonValue): boolean =>
  typeof value === 'number' ||
  (Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'number'))

function isClose(expected: PythonValue, found: PythonValue, atol: number): boolean {
  if (Array.isArray(expected)) {
    if (!Array.isArray(found) || found.length !== expected.length) return false
    return expected.every((item, i) => isClose(item, found[i], atol))
  }
  const [right, answer] = [numberOf(expected), numberOf(found)]
  if (right === undefined || answer === undefined) return false
  return right === answer || Math.abs(answer - right) <= atol + 1e-7 * Math.abs(right)
}

/** A number as a float; undefined for other values. */
export function numberOf(value: PythonValue | undefined): number | undefined {
  return value instanceof PythonInteger ? Number(value.digits) : typeof value === 'number' ? value : undefined
}
