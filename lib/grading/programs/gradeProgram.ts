import { BranchMergeError } from '../../errors.js'
import type { ProgramInput, ProgramLimits, ProgramRunner, RunOutcome } from '../../sandbox/program.js'
import type { Completion } from '../completion.js'
import type { Verdict } from '../verdict.js'
import { compareOutput, compareOutputAsPaper, type OutputComparison, quote } from './compareOutput.js'
import { defines, type Extraction, extractCode, isProgram } from './extractCode.js'
import { lastFencedLines } from './fencedBlocks.js'
import { liveCodeBenchPrelude, paperPrelude } from './preludes.js'
import { equalInPython, PythonJsonProblem, type PythonValue, parsePythonJson } from './pythonJson.js'

/** What a program is given on stdin and has to print. */
export interface StdinTest {
  input: string
  output: string
}

/** JSON texts of the arguments, and of what is to be returned. */
export interface FunctionTest {
  args: readonly string[]
  output: string
}

export interface ProgramGradeOptions {
  /** Seconds of each test, by the clock. Default: 6, as LiveCodeBench has it; 18 for `paper`. */
  seconds?: number | undefined
  /** As the code of the paper's authors: their extraction, their comparisons, their limits. */
  paper?: boolean | undefined
  /** A list of one item that is expected stands for the item, too, as in APPS and TACO. Default: false. */
  unwrap?: boolean | undefined
  signal?: AbortSignal | undefined
}

/** numpy fits; what LiveCodeBench's runner means to allow. */
const memoryBytes = 4 * 2 ** 30

/** As much as any right output may have, with room for an answer that shows more. */
const leastOutputBytes = 16 * 2 ** 20

/** The authors' checker gives all tests of an answer that long together. */
const paperTotalSeconds = 60

/**
 * Grades an answer whose program reads stdin and prints. Stops at the first test that fails.
 *
 * @throws ERR_BENCHMARK where there is no test
 */
export async function gradeStdin(
  completion: Completion,
  tests: readonly StdinTest[],
  runner: ProgramRunner,
  options: ProgramGradeOptions = {},
): Promise<Verdict> {
  const { paper = false, signal } = options
  const taken = paper
    ? extractAsPaper(completion.full)
    : await extractCode(completion.answer, runner, isProgram, signal)
  if (taken.problem !== undefined) return withoutProgram(completion, taken)
  const compare = paper ? compareOutputAsPaper : compareOutput
  const judge = ({ stdout }: RunOutcome, test: number) => compare((tests[test] as StdinTest).output, stdout)
  const inputs = tests.map(({ input }) => ({ stdin: input }))
  const run = (prelude: string | undefined) =>
    runTests({ code: taken.code, prelude, entry: undefined, inputs, tests, judge, runner, options })
  if (paper) return verdict(taken, await run(paperPrelude))
  const result = await run(undefined)
  if (!lacksName(result.failure?.outcome)) return verdict(taken, result)
  // Only then: names that the program does not import are no part of it.
  return verdict({ ...taken, rule: `${taken.rule}, with the usual imports` }, await run(liveCodeBenchPrelude))
}

/**
 * Grades an answer that defines a function. Stops at the first test that fails.
 *
 * @param entries - names that it may have, `f` or `Class.f`; the first that the program defines is called
 * @throws ERR_BENCHMARK where there is no test, or what one expects is no JSON
 */
export async function gradeFunction(
  completion: Completion,
  tests: readonly FunctionTest[],
  entries: readonly string[],
  runner: ProgramRunner,
  options: ProgramGradeOptions = {},
): Promise<Verdict> {
  const { paper = false, unwrap = false, signal } = options
  const expected = tests.map(({ output }, test) => readExpected(output, test))
  const taken = paper
    ? extractAsPaper(completion.full)
    : await extractCode(completion.answer, runner, defines(...entries), signal)
  if (taken.problem !== undefined) return withoutProgram(completion, taken)
  const names = taken.names ?? (await runner.outline(taken.code, signal)).names
  const entry = entries.find((name) => names.includes(name))
  if (entry === undefined) {
    return withoutProgram(completion, {
      ...taken,
      problem: `it does not define ${entries.join(' or ')}`,
      names: undefined,
    })
  }
  const compare = paper ? compareValuesAsPaper : unwrap ? compareValuesOrOnly : compareValues
  const judge = ({ value }: RunOutcome, test: number): OutputComparison => {
    const rule = compare(expected[test] as PythonValue, readValue(value))
    if (rule !== undefined) return { equal: true, rule }
    const right = quote((tests[test] as FunctionTest).output)
    return { equal: false, difference: `${value === undefined ? 'nothing' : quote(value)} instead of ${right}` }
  }
  const inputs = tests.map(({ args }) => ({ args }))
  const prelude = paper ? paperPrelude : liveCodeBenchPrelude
  return verdict(taken, await runTests({ code: taken.code, prelude, entry, inputs, tests, judge, runner, options }))
}

type Taken = { code: string; rule: string; names?: readonly string[] | undefined; problem?: undefined }

function extractAsPaper(full: string): Taken | (Extraction & { problem: string }) {
  const code = lastFencedLines(full)
  if (code !== undefined) return { code, rule: 'last two fence lines' }
  return { code: null, rule: 'last two fence lines', problem: 'the text has fewer than two fence lines' }
}

/** The verdict on an answer in which there is no program to run. */
export function withoutProgram(completion: Completion, { code, rule, problem }: Extraction): Verdict {
  // Code that was cut off is no answer that was given.
  const status = completion.truncated ? 'truncated' : code === null ? 'no-answer' : 'wrong'
  return { status, extracted: code, rule, detail: problem }
}

interface Tests {
  code: string
  prelude: string | undefined
  entry: string | undefined
  inputs: readonly ProgramInput[]
  tests: readonly { output: string }[]
  judge(outcome: RunOutcome, test: number): OutputComparison
  runner: ProgramRunner
  options: ProgramGradeOptions
}

interface TestsResult {
  total: number
  /** Rules by which tests passed, most lenient last. */
  rules: ReadonlySet<string>
  failure: { test: number; reason: string; outcome: RunOutcome } | undefined
}

async function runTests({ code, prelude, entry, inputs, tests, judge, runner, options }: Tests): Promise<TestsResult> {
  const { paper = false, seconds = paper ? 18 : 6, signal } = options
  if (tests.length === 0) throw new BranchMergeError('ERR_BENCHMARK', 'Expected tests for a program but there are none')
  const longest = tests.reduce((length, { output }) => Math.max(length, output.length), 0)
  const limits: ProgramLimits = { seconds, memoryBytes, outputBytes: Math.max(leastOutputBytes, 4 * longest) }
  const totalSeconds = paper ? Math.min(paperTotalSeconds, (seconds + 1) * tests.length + 5) : Number.POSITIVE_INFINITY
  const rules = new Set<string>()
  let failure: TestsResult['failure']
  let spent = 0
  const goOn = (outcome: RunOutcome, test: number): boolean => {
    spent += outcome.seconds
    const ended = endOf(outcome, seconds, entry === undefined, paper)
    const compared: OutputComparison =
      ended !== undefined
        ? { equal: false, difference: ended }
        : spent > totalSeconds
          ? { equal: false, difference: `all tests together took more than ${totalSeconds} s` }
          : judge(outcome, test)
    if (compared.equal) rules.add(compared.rule)
    else failure = { test, reason: compared.difference, outcome }
    return compared.equal
  }
  const outcomes = await runner.run({ code, prelude, entry }, inputs, limits, { signal, goOn })
  if (!failure && outcomes.length !== inputs.length) {
    throw new BranchMergeError('ERR_INTERNAL', `Expected ${inputs.length} runs but there were ${outcomes.length}`)
  }
  return { total: tests.length, rules, failure }
}

/** Why a run that was not judged ended; undefined for one whose output counts. The paper's checker takes every exit for an end. */
function endOf({ status, detail }: RunOutcome, seconds: number, prints: boolean, paper: boolean): string | undefined {
  switch (status) {
    case 'finished':
      return undefined
    case 'exit':
      return prints && (paper || detail === '0') ? undefined : `exit with status ${shorten(detail ?? '')}`
    case 'timeout':
      return `more than ${seconds} s`
    case 'memory':
      return 'more memory than it may have'
    case 'output':
      return 'more output than it may have'
    default:
      return shorten(detail ?? status)
  }
}

const shorten = (text: string): string => {
  const line = text.split('\n', 1)[0] as string
  return line.length > 200 ? `${line.slice(0, 200)}…` : line
}

/** Names that the usual imports may bring. */
const lacksName = (outcome: RunOutcome | undefined): boolean =>
  outcome?.status === 'exception' && /^(?:NameError|ImportError|ModuleNotFoundError)\b/.test(outcome.detail ?? '')

function verdict({ code, rule }: Taken, { total, rules, failure }: TestsResult): Verdict {
  const compared = [...rules].filter((name) => name !== 'text' && name !== 'value')
  const whole = compared.length > 0 ? `${rule}; compared by ${compared.join(', ')}` : rule
  if (!failure) return { status: 'correct', extracted: code, rule: whole, detail: `${total} of ${total} tests pass` }
  const detail = `test ${failure.test + 1} of ${total}: ${failure.reason}`
  return { status: 'wrong', extracted: code, rule: whole, detail }
}

/** The rule by which values are equal; undefined where they are not. */
function compareValues(expected: PythonValue, found: PythonValue | undefined): string | undefined {
  return found !== undefined && equalInPython(found, expected) ? 'value' : undefined
}

/** Also the only item of a list for the list. */
function compareValuesOrOnly(expected: PythonValue, found: PythonValue | undefined): string | undefined {
  const rule = compareValues(expected, found)
  if (rule !== undefined || found === undefined || !Array.isArray(expected) || expected.length !== 1) return rule
  return equalInPython(found, expected[0]) ? 'only item' : undefined
}

/** The authors' checker also takes the first item of a list for the list. */
function compareValuesAsPaper(expected: PythonValue, found: PythonValue | undefined): string | undefined {
  const rule = compareValues(expected, found)
  if (rule !== undefined || found === undefined || !Array.isArray(expected) || expected.length === 0) return rule
  return equalInPython(found, expected[0]) ? 'first item' : undefined
}

function readExpected(output: string, test: number): PythonValue {
  try {
    return parsePythonJson(output)
  } catch (error) {
    if (!(error instanceof PythonJsonProblem)) throw error
    throw new BranchMergeError('ERR_BENCHMARK', `Expected JSON as the output of test ${test + 1}: ${error.message}`)
  }
}

/** What a program returned is as it says: it may be no JSON. */
function readValue(value: string | undefined): PythonValue | undefined {
  if (value === undefined) return undefined
  try {
    return parsePythonJson(value)
  } catch (error) {
    if (error instanceof PythonJsonProblem) return undefined
    throw error
  }
}
