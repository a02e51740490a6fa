import { readdir, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { BranchMergeError } from '../../errors.js'
import { readFailure } from '../../files/readSmallFile.js'
import { gradeFunction, gradeStdin } from '../../grading/programs/gradeProgram.js'
import type { Verdict } from '../../grading/verdict.js'
import type { Question } from '../../questions/question.js'
import { checkChoice, checkNumber, invalidArgument } from '../../validate.js'
import type { Profile } from './benchmark.js'
import { decodeTests, type RawTest, TestsProblem } from './liveCodeBench/decodeTests.js'
import { knownFaults } from './liveCodeBench/knownFaults.js'
import { openShards, type Problem, readField, type Shard } from './liveCodeBench/shardIndex.js'
import { benchmarkError } from './rows.js'
import type { BenchmarkReader, BenchmarkSource, ReadBenchmark } from './source.js'

/** Each release adds a file to those before it. */
const releases = ['v1', 'v2', 'v3', 'v4', 'v5', 'v6'] as const
type Release = (typeof releases)[number]

const shardName = (release: number): string => `test${release === 1 ? '' : release}.jsonl`

/** The paper's window, and how many problems it holds. */
const paperWindow = { release: 'v5', from: '2024-08-01', to: '2025-02-01', problems: 279 } as const

export const liveCodeBench: BenchmarkReader = {
  kind: 'livecodebench',
  names: /^(?:lcb|live[-_]?code[-_]?bench)/i,
  hasColumns: (columns) => columns.has('private_test_cases') && columns.has('contest_date'),
  profiles: ['strict', 'paper'],
  options: ['release', 'from', 'to', 'files', 'errata', 'timeout'],
  read: readLiveCodeBench,
}

interface Options {
  release: Release
  /** Names of files in the directory. */
  files: readonly string[] | undefined
  /** Days, both within. */
  from: string
  to: string
  /** Ids of further questions with known faults. */
  errata: readonly string[]
  timeout: number | undefined
}

async function readLiveCodeBench(source: BenchmarkSource): Promise<ReadBenchmark> {
  const { path, profile, options, signal, onProgress } = source
  const chosen = readOptions(options)
  const paths = await shardPaths(path, chosen)
  const shards: Shard[] = []
  const notes: string[] = []
  for (const { shard, notKept } of await openShards(paths, { signal, onProgress })) {
    shards.push(shard)
    if (notKept !== undefined)
      notes.push(`The index of ${shard.path} could not be kept, so each start reads it again: ${notKept}`)
  }
  const inWindow = shards.flatMap((shard) =>
    shard.problems.filter(({ date }) => isWithin(date, chosen)).map((problem) => ({ shard, problem })),
  )
  checkProblems(inWindow, chosen)
  const faults = new Map([...knownFaults, ...chosen.errata.map((id) => [id, 'reported by the user'] as const)])
  const faultOf = ({ id, title }: Problem) => faults.get(id) ?? faults.get(title)
  return {
    version: `livecodebench/${profile}@1`,
    paths: shards.map(({ path, sha256 }) => ({ path, sha256 })),
    questions: inWindow.map(({ shard, problem }) =>
      questionOf(shard, problem, faultOf(problem), profile, chosen.timeout),
    ),
    trials: 4,
    sampling: { temperature: 0.6, topP: 0.95, maxTokens: 32_768 },
    needsPrograms: true,
    confidential: false,
    notes: [...notesOn(inWindow, chosen, faultOf), ...notes],
  }
}

function readOptions(options: Readonly<Record<string, unknown>>): Options {
  const release = options['release'] ?? paperWindow.release
  const timeout = options['timeout']
  const day = (name: 'from' | 'to'): string => {
    const value = options[name] ?? paperWindow[name]
    if (typeof value === 'string' && /^\d{4}-\d\d-\d\d$/.test(value)) return value
    throw invalidArgument('a day such as 2024-08-01', name, value)
  }
  const [from, to] = [day('from'), day('to')]
  if (from > to) throw invalidArgument(`a day that is not after ${to}, which is to,`, 'from', from)
  return {
    release: checkChoice(typeof release === 'string' ? release.replace(/^release_/, '') : release, 'release', releases),
    files: options['files'] === undefined ? undefined : checkTexts(options['files'], 'files'),
    from,
    to,
    errata: options['errata'] === undefined ? [] : checkTexts(options['errata'], 'errata'),
    timeout: timeout === undefined ? undefined : checkNumber(timeout, 'timeout', 0.1, 600),
  }
}

function checkTexts(value: unknown, name: string): string[] {
  if (Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === 'string' && item !== ''))
    return value
  throw invalidArgument('a list of texts', name, value)
}

/** The files that are read: those of the release in a directory, or those that are named. */
async function shardPaths(path: string, { release, files }: Options): Promise<string[]> {
  const last = releases.indexOf(release) + 1
  const directory = await isDirectory(path)
  if (files !== undefined && !directory) throw invalidArgument('a directory, in which files lie,', 'path', path)
  const names = files ?? (directory ? Array.from({ length: last }, (_, i) => shardName(i + 1)) : undefined)
  const paths = names ? names.map((name) => join(path, name)) : await namedFiles(path)
  for (const file of paths) {
    const number = /^test(\d+)\.jsonl$/.exec(basename(file))?.[1]
    if (number !== undefined && Number(number) > last) {
      throw benchmarkError(`Expected files of release ${release} but ${file} belongs to v${number}: set release to it`)
    }
    if (!file.endsWith('.jsonl')) throw benchmarkError(`Expected .jsonl files of LiveCodeBench but received ${file}`)
  }
  const missing = directory ? await missingFiles(paths) : []
  if (missing.length > 0) {
    throw benchmarkError(
      `Expected ${paths.map((file) => basename(file)).join(', ')} in ${path}, which are release ${release}, but ${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing. Download livecodebench/code_generation_lite, or name the files to read with files`,
    )
  }
  return paths
}

async function isDirectory(path: string): Promise<boolean> {
  if (basename(path).includes('*')) return false
  const found = await stat(path).catch((cause) => {
    throw readFailure(path, cause)
  })
  return found.isDirectory()
}

async function missingFiles(paths: readonly string[]): Promise<string[]> {
  const found = await Promise.all(paths.map(async (path) => (await stat(path).catch(() => undefined))?.isFile()))
  return paths.filter((_, i) => !found[i]).map((path) => basename(path))
}

/** One file, or those of a name with `*`. */
async function namedFiles(path: string): Promise<string[]> {
  if (!basename(path).includes('*')) return [path]
  const directory = dirname(path)
  const parts = basename(path).split('*')
  const escaped = parts.map((part) => part.replace(/[\\^$.+?()[\]{}|]/g, '\\$&')).join('.*')
  const names = await readdir(directory).catch((cause) => {
    throw readFailure(directory, cause)
  })
  const fitting = names.filter((name) => new RegExp(`^${escaped}$`).test(name)).sort()
  if (fitting.length === 0) throw benchmarkError(`Expected files at ${path} but there are none`)
  return fitting.map((name) => join(directory, name))
}

const isWithin = (date: string, { from, to }: Options): boolean => date.slice(0, 10) >= from && date.slice(0, 10) <= to

interface InShard {
  shard: Shard
  problem: Problem
}

function checkProblems(problems: readonly InShard[], { from, to }: Options): void {
  if (problems.length === 0) throw benchmarkError(`Expected problems from ${from} to ${to} but the files have none`)
  const places = new Map<string, string>()
  for (const { shard, problem } of problems) {
    const other = places.get(problem.id)
    if (other !== undefined)
      throw benchmarkError(`Expected each problem once but ${problem.id} is in ${other} and ${shard.path}`)
    places.set(problem.id, shard.path)
  }
}

function notesOn(
  problems: readonly InShard[],
  { release, from, to, files }: Options,
  faultOf: (problem: Problem) => string | undefined,
): string[] {
  const notes = [`Problems of contests from ${from} to ${to} in release ${release}: ${problems.length}.`]
  const isPaper = release === paperWindow.release && from === paperWindow.from && to === paperWindow.to && !files
  if (isPaper && problems.length !== paperWindow.problems) {
    notes.push(
      `The paper's window has ${paperWindow.problems} problems in ${release}, and here it has ${problems.length}: scores are not comparable.`,
    )
  }
  const faulty = problems.flatMap(({ problem }) => {
    const fault = faultOf(problem)
    return fault === undefined ? [] : [`${problem.id} (${fault})`]
  })
  if (faulty.length > 0) notes.push(`Known faults, with the label errata: ${faulty.join(', ')}.`)
  return notes
}

function questionOf(
  shard: Shard,
  problem: Problem,
  fault: string | undefined,
  profile: Profile,
  timeout: number | undefined,
): Question {
  const { id, title, difficulty, platform, functionName } = problem
  const content = promptOf(problem, profile)
  return {
    id,
    text: problem.content,
    labels: { difficulty, platform, ...(fault === undefined ? {} : { errata: fault }) },
    prompt: () => ({ messages: [{ role: 'user', content }] }),
    reference: `the tests of ${title}`,
    async grade(completion, { programs, signal }): Promise<Verdict> {
      if (!programs) throw new BranchMergeError('ERR_INTERNAL', `Expected a runner of programs for ${id}`)
      const tests = await testsOf(shard, problem)
      const options = { seconds: timeout, paper: profile === 'paper', signal }
      if (functionName === null) return await gradeStdin(completion, tests, programs, options)
      const calls = tests.map(({ input, output }) => ({ args: input.split('\n'), output }))
      return await gradeFunction(completion, calls, [`Solution.${functionName}`, functionName], programs, options)
    },
  }
}

/** Public ones first. */
async function testsOf(shard: Shard, { id, publicTests, privateTests }: Problem): Promise<RawTest[]> {
  const tests: RawTest[] = []
  for (const [name, span] of [
    ['public_test_cases', publicTests],
    ['private_test_cases', privateTests],
  ] as const) {
    const what = `${name} of ${id}`
    try {
      tests.push(...(await decodeTests(await readField(shard, span, what))))
    } catch (error) {
      if (!(error instanceof TestsProblem)) throw error
      throw benchmarkError(`${shard.path}, ${what}: ${error.message}`, error)
    }
  }
  return tests
}

const task =
  'You will be given a question (problem specification) and will generate a correct Python program that matches the specification and passes all tests.'

const withStarter =
  'You will use the following starter code to write the solution to the problem and enclose your code within delimiters.'

const withStdin =
  'Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample inputs). Enclose your code within delimiters as follows.'

/** What the benchmark's own prompt says more than that of the paper's authors, who used an older one. */
const whenRun =
  ' Ensure that when the python program runs, it reads the inputs, runs the algorithm and writes output to STDOUT.'

function promptOf({ content, starter }: Problem, profile: Profile): string {
  const format = starter === '' ? withStdin + (profile === 'paper' ? '' : whenRun) : withStarter
  return `${task}\n\nQuestion: ${content}\n\n${format}\n\`\`\`python\n${starter === '' ? '# YOUR CODE HERE' : starter}\n\`\`\`\n\n`
}
