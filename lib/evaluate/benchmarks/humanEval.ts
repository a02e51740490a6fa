import { writeJson } from '../../data/parseJson.js'
import { BranchMergeError } from '../../errors.js'
import type { Completion } from '../../grading/completion.js'
import { defines, extractCode } from '../../grading/programs/extractCode.js'
import { fencedBlocks } from '../../grading/programs/fencedBlocks.js'
import {
  type ExpectedCalls,
  equalOrClose,
  expectCalls,
  gradeCalls,
  numberOf,
} from '../../grading/programs/gradeCalls.js'
import { withoutProgram } from '../../grading/programs/gradeProgram.js'
import { type PythonValue, parsePythonJson } from '../../grading/programs/pythonJson.js'
import type { Verdict } from '../../grading/verdict.js'
import type { GradeContext, Question } from '../../questions/question.js'
import { checkIds, type QuestionRow } from '../../questions/questionRow.js'
import type { ProgramRunner } from '../../sandbox/program.js'
import { checkNumber } from '../../validate.js'
import { readBenchmarkRows } from './rows.js'
import type { BenchmarkReader, BenchmarkSource, ReadBenchmark } from './source.js'

export const humanEval: BenchmarkReader = {
  kind: 'humaneval',
  names: /^human[-_]?eval/i,
  hasColumns: (columns) => columns.has('entry_point') && columns.has('canonical_solution'),
  profiles: ['strict'],
  options: ['timeout'],
  read: readHumanEval,
}

async function readHumanEval({ path, options, signal }: BenchmarkSource): Promise<ReadBenchmark> {
  const timeout = options['timeout'] === undefined ? 0 : checkNumber(options['timeout'], 'timeout', 0.1, 600)
  const { paths, rows } = await readBenchmarkRows(path, signal)
  const tasks = rows.map(readTask)
  const questions = tasks.map((task) => questionOf(task, timeout))
  checkIds(questions, rows)
  const withInputs = tasks.filter(({ calls }) => calls !== undefined).length
  const notes: string[] = []
  if (tasks.length !== 164) notes.push(`HumanEval has 164 tasks, and here are ${tasks.length}.`)
  if (withInputs > 0)
    notes.push('An answer is right if it passes the tests of HumanEval and those of EvalPlus; base is the former.')
  return {
    version: 'humaneval/strict@2',
    paths,
    questions,
    trials: 4,
    sampling: {},
    needsPrograms: true,
    confidential: false,
    notes,
  }
}

/** A function that no solution has. */
const testsName = '_branchmerge_run_tests'

interface Task {
  id: string
  prompt: string
  /** All before the function: imports, and helpers that tests call. */
  preamble: string
  entry: string
  canonical: string
  /** Defines check(candidate); undefined where EvalPlus gives inputs. */
  test: string | undefined
  /** JSON texts of the arguments of each call, and the absolute tolerance. */
  calls: { base: readonly string[][]; plus: readonly string[][]; tolerance: number } | undefined
}

function readTask(row: QuestionRow): Task {
  const id = row.text('task_id')
  const entry = row.text('entry_point')
  if (!/^\w+$/.test(entry)) throw row.problem('expected the name of a function for entry_point')
  const prompt = repairPrompt(row.text('prompt'), entry)
  const begin = new RegExp(`^(?:async )?def ${entry}\\b`, 'm').exec(prompt)?.index
  if (begin === undefined) throw row.problem(`expected a definition of ${entry} in prompt`)
  const hasInputs = row.has('base_input') || row.has('plus_input')
  return {
    id,
    prompt,
    preamble: prompt.slice(0, begin),
    entry,
    canonical: row.text('canonical_solution'),
    test: hasInputs ? undefined : row.text('test'),
    calls: hasInputs ? readCalls(row) : undefined,
  }
}

/** The function of task 115 imports math before its docstring, which is none then. */
function repairPrompt(prompt: string, entry: string): string {
  const misplaced = new RegExp(`^(def ${entry}\\b.*\\n)[ \\t]+import math\\n`, 'm')
  return misplaced.test(prompt) ? `import math\n${prompt.replace(misplaced, '$1')}` : prompt
}

function readCalls(row: QuestionRow): Task['calls'] {
  const inputsOf = (name: string): string[][] => {
    const list = row.value(name)
    if (!Array.isArray(list) || !list.every(Array.isArray))
      throw row.problem(`expected a list of lists of arguments for ${name}`)
    return list.map((args: unknown[]) => args.map(writeJson))
  }
  const tolerance = Number(row.has('atol') ? row.value('atol') : 0)
  if (!(tolerance >= 0 && tolerance < 1)) throw row.problem('expected a number from 0 to 1 for atol')
  const [base, plus] = [inputsOf('base_input'), inputsOf('plus_input')]
  if (base.length === 0) throw row.problem('expected inputs in base_input but there are none')
  return { base, plus, tolerance }
}

function questionOf(task: Task, timeout: number): Question {
  const { id, prompt } = task
  const content = `Please provide a self-contained Python script that solves the following problem in a markdown code block:\n\`\`\`\n${prompt.trim()}\n\`\`\`\n`
  const grader = new Grader(task, timeout)
  return {
    id,
    text: prompt,
    labels: {},
    prompt: () => ({ messages: [{ role: 'user', content }] }),
    reference: `the tests of ${id}`,
    grade: (completion, context) => grader.grade(completion, context),
  }
}

interface Reference {
  base: ExpectedCalls | undefined
  plus: ExpectedCalls | undefined
  /** Seconds of the whole test program. */
  seconds: number
}

class Grader {
  /** Once for each runner: on a slow machine, all limits grow with what the right solution takes. */
  private reference: { runner: ProgramRunner; found: Promise<Reference> } | undefined

  constructor(
    private readonly task: Task,
    private readonly timeout: number,
  ) {}

  async grade(completion: Completion, { programs, signal }: GradeContext): Promise<Verdict> {
    if (!programs) throw new BranchMergeError('ERR_INTERNAL', `Expected a runner of programs for ${this.task.id}`)
    const taken = await this.extract(completion.answer, programs, signal)
    if (taken.problem !== undefined) {
      return { ...withoutProgram(completion, taken), metrics: this.metrics(false, false) }
    }
    const reference = await this.referenceOf(programs)
    const base = await this.gradeBase(taken.code, reference, programs, signal)
    const plus = base !== undefined ? undefined : await this.gradePlus(taken.code, reference, programs, signal)
    const failure = base === undefined ? plus && `tests of EvalPlus: ${plus}` : base
    return {
      status: failure === undefined ? 'correct' : 'wrong',
      extracted: taken.code,
      rule: taken.rule,
      detail: failure,
      metrics: this.metrics(base === undefined, base === undefined && plus === undefined),
    }
  }

  private metrics(base: boolean, plus: boolean): NonNullable<Verdict['metrics']> {
    const metric = (passed: boolean) => ({ passed: passed ? 1 : 0, total: 1 })
    return this.task.calls ? { base: metric(base), plus: metric(plus) } : { base: metric(base) }
  }

  /** A block that defines the function, or else one that goes on after the prompt as its body. */
  private async extract(answer: string, runner: ProgramRunner, signal: AbortSignal | undefined) {
    const { prompt, entry } = this.task
    const taken = await extractCode(answer, runner, defines(entry), signal)
    if (taken.problem === undefined || taken.code === null) return taken
    const bodies = fencedBlocks(answer).filter(({ code }) => /^\s*\n?[ \t]+\S/.test(code))
    for (const { code } of bodies.slice(0, 8)) {
      const whole = `${prompt}${code}`
      if ((await runner.outline(whole, signal)).compiles)
        return { code: whole, rule: 'body after the prompt', names: [entry] }
    }
    return taken
  }

  private referenceOf(runner: ProgramRunner): Promise<Reference> {
    if (this.reference?.runner !== runner) {
      const found = this.findReference(runner)
      this.reference = { runner, found }
      // What failed once, by an abort too, is tried again.
      found.catch(() => {
        this.reference = undefined
      })
    }
    return this.reference.found
  }

  /** Not aborted with one answer, as others wait for it. */
  private async findReference(runner: ProgramRunner): Promise<Reference> {
    const { id, prompt, canonical, entry, calls } = this.task
    const code = `${prompt}${canonical}`
    if (calls) {
      const base = await expectCalls({ code, entry, inputs: calls.base }, runner)
      const plus = await expectCalls({ code, entry, inputs: calls.plus }, runner)
      return { base, plus, seconds: 0 }
    }
    const outcome = await this.runTest(code, 60, runner)
    if (outcome?.status === 'finished') return { base: undefined, plus: undefined, seconds: outcome.seconds }
    const why = outcome?.detail ?? outcome?.status
    throw new BranchMergeError(
      'ERR_BENCHMARK',
      `Expected the right solution of ${id} to pass its tests but it ended with ${why}`,
    )
  }

  private async runTest(code: string, seconds: number, runner: ProgramRunner, signal?: AbortSignal) {
    const { preamble, test, entry } = this.task
    // Imported and called, as the reference does: what a script does only when it is run, such as reading stdin, is left out.
    const whole = `${code}\n${test}\ndef ${testsName}():\n    check(${entry})\n`
    const program = { code: whole, prelude: preamble, entry: testsName }
    const limits = { seconds, memoryBytes: 4 * 2 ** 30, outputBytes: 16 * 2 ** 20 }
    return (await runner.run(program, [{ args: [] }], limits, { signal }))[0]
  }

  /** Why it fails. */
  private async gradeBase(
    code: string,
    { base, seconds }: Reference,
    runner: ProgramRunner,
    signal: AbortSignal | undefined,
  ): Promise<string | undefined> {
    const { calls } = this.task
    if (calls && base) return await this.gradeInputs(code, calls.base, base, runner, signal)
    const limit = Math.max(this.timeout || 3, 4 * seconds)
    const outcome = await this.runTest(code, limit, runner, signal)
    // An exit before the end has not passed the tests that come after it.
    if (outcome?.status === 'finished') return undefined
    if (outcome?.status === 'timeout') return `more than ${limit.toFixed(1)} s`
    return (outcome?.detail || outcome?.status || 'not run').slice(0, 200)
  }

  private async gradePlus(
    code: string,
    { plus }: Reference,
    runner: ProgramRunner,
    signal: AbortSignal | undefined,
  ): Promise<string | undefined> {
    const { calls } = this.task
    return calls && plus ? await this.gradeInputs(code, calls.plus, plus, runner, signal) : undefined
  }

  private async gradeInputs(
    code: string,
    inputs: readonly string[][],
    { values, seconds }: ExpectedCalls,
    runner: ProgramRunner,
    signal: AbortSignal | undefined,
  ): Promise<string | undefined> {
    const { preamble, entry, calls } = this.task
    const tolerance = calls?.tolerance ?? 0
    const isRight = (found: PythonValue, test: number): boolean =>
      entry === 'find_zero'
        ? isZeroOf(inputs[test] as string[], found, tolerance)
        : equalOrClose(values[test] as PythonValue, found, tolerance)
    const limit = Math.max(this.timeout || 4, 4 * seconds)
    return await gradeCalls({ code, prelude: preamble, entry, inputs }, isRight, limit, runner, signal)
  }
}

/** Any zero of the polynomial is right, whatever the right solution found. */
function isZeroOf([coefficients]: readonly string[], found: PythonValue, tolerance: number): boolean {
  const list = parsePythonJson(coefficients ?? '[]')
  const x = numberOf(found)
  if (x === undefined || !Array.isArray(list)) return false
  const value = list.reduce((sum: number, item, power) => sum + (numberOf(item) ?? Number.NaN) * x ** power, 0)
  return Math.abs(value) <= tolerance
}
