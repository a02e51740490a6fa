import { createHash } from 'node:crypto'
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { openBenchmark, type ReadingProgress } from '../../../lib/evaluate/benchmarks/openBenchmark.js'
import { packTests } from '../../support/pickle.js'
import { sandboxOfFile } from '../../support/sandbox.js'
import { temporaryDirectory } from '../../support/temporary.js'
import { graded, jsonLines, promptOf, question } from './support.js'

const programs = await sandboxOfFile()

beforeEach(() => {
  process.env['XDG_CACHE_HOME'] = temporaryDirectory()
})

/** A row as livecodebench/code_generation_lite has it. */
const row = (changes: Record<string, unknown> = {}) => ({
  question_title: 'A. Double',
  question_content: 'Read n and print 2n.\n\nInput\n\n3',
  platform: 'atcoder',
  question_id: 'abc999_a',
  contest_id: 'abc999',
  contest_date: '2024-08-10T00:00:00',
  starter_code: '',
  difficulty: 'easy',
  public_test_cases: JSON.stringify([{ input: '3\n', output: '6\n', testtype: 'stdin' }]),
  private_test_cases: packTests([{ input: '5\n', output: '10\n', testtype: 'stdin' }]),
  metadata: '{}',
  ...changes,
})

const starter = 'class Solution:\n    def double(self, n: int) -> int:\n        '
const methodRow = (changes: Record<string, unknown> = {}) =>
  row({
    question_title: 'double-it',
    question_id: '4001',
    platform: 'leetcode',
    difficulty: 'hard',
    starter_code: starter,
    public_test_cases: JSON.stringify([{ input: '[1, 2]\n2', output: '[2, 4]', testtype: 'functional' }]),
    private_test_cases: packTests([{ input: '[]\n2', output: '[]', testtype: 'functional' }]),
    metadata: '{"func_name": "double"}',
    ...changes,
  })

const inDirectory = (shards: Record<string, readonly unknown[]>): string => {
  const directory = temporaryDirectory()
  for (const [name, rows] of Object.entries(shards)) writeFileSync(join(directory, name), jsonLines(rows))
  return directory
}

/** A directory with the files of release v5, all rows in the last. */
const release = (rows: readonly unknown[]): string => {
  const before = (i: number) => [row({ question_id: `old${i}`, contest_date: '2023-06-01' })]
  return inDirectory({
    'test.jsonl': before(1),
    'test2.jsonl': before(2),
    'test3.jsonl': before(3),
    'test4.jsonl': before(4),
    'test5.jsonl': rows,
  })
}

const opened = (path: string, options: Record<string, unknown> = {}, profile?: 'strict' | 'paper') =>
  openBenchmark({ name: 'lcb', path, options, profile })

const ids = async (path: string, options?: Record<string, unknown>) =>
  (await opened(path, options)).questions.map(({ id }) => id)

test('questions, their labels and what is known of the benchmark', async () => {
  const path = release([row(), methodRow()])
  const benchmark = await opened(path)
  const sha256 = createHash('sha256')
    .update(readFileSync(join(path, 'test5.jsonl')))
    .digest('hex')
  expect(benchmark).toMatchObject({
    kind: 'livecodebench',
    profile: 'strict',
    version: 'livecodebench/strict@1',
    trials: 4,
    sampling: { temperature: 0.6, topP: 0.95, maxTokens: 32_768 },
    needsPrograms: true,
    confidential: false,
  })
  expect(benchmark.files).toHaveLength(5)
  expect(benchmark.files[4]).toEqual({ path: join(path, 'test5.jsonl'), sha256 })
  expect(benchmark.questions.map(({ id, labels, reference }) => ({ id, labels, reference }))).toEqual([
    { id: 'abc999_a', labels: { difficulty: 'easy', platform: 'atcoder' }, reference: 'the tests of A. Double' },
    { id: '4001', labels: { difficulty: 'hard', platform: 'leetcode' }, reference: 'the tests of double-it' },
  ])
  expect(benchmark.notes).toEqual([
    'Problems of contests from 2024-08-01 to 2025-02-01 in release v5: 2.',
    "The paper's window has 279 problems in v5, and here it has 2: scores are not comparable.",
  ])
})

test("the paper's window of 279 problems has no such note", async () => {
  const rows = Array.from({ length: 279 }, (_, i) => row({ question_id: `abc${i}_a` }))
  expect((await opened(release(rows))).notes).toEqual([
    'Problems of contests from 2024-08-01 to 2025-02-01 in release v5: 279.',
  ])
})

describe('prompts', () => {
  const task =
    'You will be given a question (problem specification) and will generate a correct Python program that matches the specification and passes all tests.\n\nQuestion: Read n and print 2n.\n\nInput\n\n3\n\n'

  test('of a program', async () => {
    const path = release([row()])
    expect(promptOf(question(await opened(path)))).toEqual([
      [
        'user',
        `${task}Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample inputs). Enclose your code within delimiters as follows. Ensure that when the python program runs, it reads the inputs, runs the algorithm and writes output to STDOUT.\n\`\`\`python\n# YOUR CODE HERE\n\`\`\`\n\n`,
      ],
    ])
    expect(promptOf(question(await opened(path, {}, 'paper')))).toEqual([
      [
        'user',
        `${task}Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample inputs). Enclose your code within delimiters as follows.\n\`\`\`python\n# YOUR CODE HERE\n\`\`\`\n\n`,
      ],
    ])
  })

  test.each(['strict', 'paper'] as const)('of a method: %s', async (profile) => {
    expect(promptOf(question(await opened(release([methodRow()]), {}, profile)))).toEqual([
      [
        'user',
        `${task}You will use the following starter code to write the solution to the problem and enclose your code within delimiters.\n\`\`\`python\n${starter}\n\`\`\`\n\n`,
      ],
    ])
  })
})

describe('windows and releases', () => {
  const dated = (id: string, contest_date: string) => row({ question_id: id, contest_date })
  const rows = [
    dated('before', '2024-07-31T23:59:59'),
    dated('first', '2024-08-01T00:00:00'),
    dated('last', '2025-02-01T18:30:00'),
    dated('after', '2025-02-02'),
  ]

  test('both days are within', async () => {
    expect(await ids(release(rows))).toEqual(['first', 'last'])
    expect(await ids(release(rows), { from: '2024-07-01', to: '2024-07-31' })).toEqual(['before'])
    expect(await ids(release(rows), { from: '2025-02-02', to: '2025-02-02' })).toEqual(['after'])
  })

  test('a file of a later release is left alone, or refused where it is named', async () => {
    const path = release(rows)
    writeFileSync(join(path, 'test6.jsonl'), jsonLines([dated('sixth', '2025-01-10')]))
    expect(await ids(path)).toEqual(['first', 'last'])
    expect(await ids(path, { release: 'release_v6' })).toEqual(['first', 'last', 'sixth'])
    for (const spec of [join(path, 'test6.jsonl'), join(path, 'test*.jsonl')]) {
      await expect(opened(spec)).rejects.toMatchObject({
        code: 'ERR_BENCHMARK',
        message: expect.stringContaining('belongs to v6'),
      })
    }
    await expect(opened(path, { files: ['test6.jsonl'] })).rejects.toThrow('belongs to v6')
  })

  test('a file of the release that is missing is named', async () => {
    const path = inDirectory({ 'test4.jsonl': rows, 'test5.jsonl': [dated('fifth', '2025-01-10')] })
    await expect(openBenchmark({ name: 'lcb', kind: 'livecodebench', path })).rejects.toMatchObject({
      code: 'ERR_BENCHMARK',
      message: expect.stringContaining('but test.jsonl, test2.jsonl, test3.jsonl are missing'),
    })
    expect(await ids(path, { files: ['test4.jsonl', 'test5.jsonl'] })).toEqual(['first', 'last', 'fifth'])
    expect(await ids(join(path, 'test5.jsonl'))).toEqual(['fifth'])
    expect(await ids(join(path, 'test*.jsonl'))).toEqual(['first', 'last', 'fifth'])
  })

  test.each([
    [{ release: 'v7' }, 'one of v1, v2, v3, v4, v5, v6 for release'],
    [{ from: '1 August 2024' }, 'a day such as 2024-08-01 for from'],
    [{ from: '2025-02-02' }, 'not after 2025-02-01'],
    [{ files: 'test.jsonl' }, 'a list of texts for files'],
    [{ errata: [1] }, 'a list of texts for errata'],
    [{ timeout: 0 }, 'a number from 0.1 to 600 for timeout'],
    [{ window: 'all' }, 'window'],
  ])('a wrong option is refused: %o', async (options, message) => {
    await expect(opened(release(rows), options)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringContaining(message),
    })
  })

  test('an empty window, and a problem that stands twice, are refused', async () => {
    await expect(opened(release(rows), { from: '2020-01-01', to: '2020-02-01' })).rejects.toThrow(
      'Expected problems from 2020-01-01 to 2020-02-01',
    )
    await expect(opened(release([row(), row()]))).rejects.toThrow('each problem once but abc999_a')
  })
})

test('known faults are labelled and noted, and answers graded all the same', async () => {
  const rows = [
    row({ question_id: 'abc350_c' }),
    methodRow({ question_title: 'find-the-peaks' }),
    row({ question_id: 'mine' }),
  ]
  const benchmark = await opened(release(rows), { errata: ['mine'] })
  expect(benchmark.questions.map(({ labels }) => labels['errata'])).toEqual([
    'wrong tests',
    'several outputs are right',
    'reported by the user',
  ])
  expect(benchmark.notes.at(-1)).toBe(
    'Known faults, with the label errata: abc350_c (wrong tests), 4001 (several outputs are right), mine (reported by the user).',
  )
  const verdict = await graded(question(benchmark), '```python\nprint(int(input()) * 2)\n```', { programs })
  expect(verdict.status).toBe('correct')
})

describe('grading', () => {
  const grade = async (rows: readonly unknown[], answer: string, profile?: 'strict' | 'paper') =>
    await graded(question(await opened(release(rows), {}, profile)), answer, { programs })

  test('public and private tests are run', async () => {
    const double = '```python\nimport sys\nfor line in sys.stdin:\n    print(int(line) * 2)\n```'
    expect(await grade([row()], double)).toMatchObject({ status: 'correct', detail: '2 of 2 tests pass' })
    const sample = '```python\nn = int(input())\nprint(6 if n == 3 else 0)\n```'
    expect(await grade([row()], sample)).toMatchObject({
      status: 'wrong',
      detail: 'test 2 of 2: line 1 is "0" instead of "10"',
    })
  })

  test.each(['strict', 'paper'] as const)('a method is called: %s', async (profile) => {
    const method =
      '```python\nclass Solution:\n    def double(self, a: List[int], n):\n        return [x * n for x in a]\n```'
    expect((await grade([methodRow()], method, profile)).status).toBe('correct')
    const plain = '```python\ndef double(a, n):\n    return [x * n for x in a]\n```'
    expect((await grade([methodRow()], plain, profile)).status).toBe('correct')
  })

  test('the paper also takes what is close', async () => {
    const rows = [row({ public_test_cases: '[]', private_test_cases: packTests([{ input: '', output: '0.333333' }]) })]
    const third = '```python\nprint(1 / 3)\n```'
    expect((await grade(rows, third)).status).toBe('wrong')
    expect((await grade(rows, third, 'paper')).status).toBe('correct')
  })

  test('private tests may be plain JSON', async () => {
    const rows = [row({ private_test_cases: JSON.stringify([{ input: '1', output: '3' }]) })]
    expect((await grade(rows, '```python\nprint(int(input()) * 2)\n```')).detail).toContain('test 2 of 2')
  })

  test('tests that cannot be read are an error of the file', async () => {
    await expect(grade([row({ private_test_cases: 'bm8=' })], '```python\nprint(1)\n```')).rejects.toMatchObject({
      code: 'ERR_BENCHMARK',
      message: expect.stringContaining('test5.jsonl, private_test_cases of abc999_a: expected data of zlib'),
    })
  })
})

describe('rows that are none', () => {
  test.each<[string, string, string]>([
    ['no JSON', 'hello\n', 'row 1: expected a JSON object in one line'],
    ['an array', '[]\n', 'row 1: expected a JSON object'],
    ['an object over several lines', JSON.stringify(row(), undefined, 2), 'row 1: expected a JSON object'],
    ['a field that is missing', jsonLines([row(), row({ metadata: undefined })]), 'row 2: expected the field metadata'],
    [
      'a field of another type',
      jsonLines([row({ question_content: 7 })]),
      'row 1: question_content: expected a JSON string',
    ],
    ['another date', jsonLines([row({ contest_date: 'May 2024' })]), 'row 1: expected a date'],
    ['broken metadata', jsonLines([row({ metadata: '' })]), 'row 1: expected a JSON object in metadata'],
    [
      'a name that is none',
      jsonLines([row({ metadata: '{"func_name": "a b"}' })]),
      'row 1: expected a name for func_name',
    ],
    ['an empty file', '', 'it is empty'],
    ['a row that is cut off', jsonLines([row()]).slice(0, -30), 'row 1: expected a JSON object'],
  ])('%s', async (_, content, message) => {
    const path = join(temporaryDirectory(), 'test5.jsonl')
    writeFileSync(path, content)
    await expect(openBenchmark({ name: 'lcb', kind: 'livecodebench', path })).rejects.toMatchObject({
      code: 'ERR_BENCHMARK',
      message: expect.stringContaining(message),
    })
  })

  test('blank lines and a line end less do not matter', async () => {
    const path = join(temporaryDirectory(), 'test5.jsonl')
    writeFileSync(path, `\n${jsonLines([row()])}\r\n\n${jsonLines([row({ question_id: 'b' })]).trimEnd()}`)
    expect(await ids(path)).toEqual(['abc999_a', 'b'])
    expect(
      (await graded(question(await opened(path), 1), '```python\nprint(int(input()) * 2)\n```', { programs })).status,
    ).toBe('correct')
  })
})

describe('the index', () => {
  const cache = () => join(process.env['XDG_CACHE_HOME'] as string, 'branchmerge', 'livecodebench')

  test('is kept, and used as long as the file is the same', async () => {
    const path = join(release([row()]), 'test5.jsonl')
    expect(await ids(path)).toEqual(['abc999_a'])
    const [name] = readdirSync(cache())
    const kept = JSON.parse(readFileSync(join(cache(), name as string), 'utf8'))
    kept.problems[0].id = 'from-the-index'
    writeFileSync(join(cache(), name as string), JSON.stringify(kept))
    expect(await ids(path)).toEqual(['from-the-index'])
    appendFileSync(path, jsonLines([row({ question_id: 'new' })]))
    expect(await ids(path)).toEqual(['abc999_a', 'new'])
    expect(readdirSync(cache())).toHaveLength(1)
  })

  test('holds no tests, so it is small', async () => {
    const tests = Array.from({ length: 2000 }, (_, i) => ({ input: `${i} ${'7'.repeat(500)}`, output: '' }))
    const path = join(release([row({ private_test_cases: JSON.stringify(tests) })]), 'test5.jsonl')
    await opened(path)
    const [name] = readdirSync(cache())
    expect(readFileSync(join(cache(), name as string)).length).toBeLessThan(2000)
  })

  test('tells how far it is, in bytes of the files that it does not know yet', async () => {
    const path = release([row({ private_test_cases: JSON.stringify([{ input: '7'.repeat(5e6), output: '' }]) })])
    const sizes = readdirSync(path).map((name) => statSync(join(path, name)).size)
    const total = sizes.reduce((sum, size) => sum + size, 0)
    const told: ReadingProgress[] = []
    const open = () => openBenchmark({ name: 'lcb', path }, { onProgress: (progress) => told.push(progress) })
    await open()
    expect(told.length).toBeGreaterThan(sizes.length + 3)
    expect(told.every((each) => each.phase === 'read' && each.benchmark === 'lcb' && each.total === total)).toBe(true)
    expect(told.map(({ done }) => done)).toEqual(told.map(({ done }) => done).sort((a, b) => a - b))
    expect(told.at(-1)).toMatchObject({ done: total, seconds: expect.any(Number) })
    told.length = 0
    await open()
    expect(told).toEqual([])
    appendFileSync(join(path, 'test2.jsonl'), jsonLines([row({ question_id: 'new' })]))
    await open()
    const { size } = statSync(join(path, 'test2.jsonl'))
    expect(told).toMatchObject([{ done: size, total: size }])
  })

  test('keeps what was read before an abort', async () => {
    const path = release([row()])
    const controller = new AbortController()
    const { signal } = controller
    let files = 0
    const onProgress = () => {
      if (++files === 3) controller.abort(new Error('enough'))
    }
    await expect(openBenchmark({ name: 'lcb', path }, { signal, onProgress })).rejects.toThrow('enough')
    expect(readdirSync(cache())).toHaveLength(2)
  })

  test('that is damaged is made anew', async () => {
    const path = join(release([row()]), 'test5.jsonl')
    await opened(path)
    const [name] = readdirSync(cache())
    truncateSync(join(cache(), name as string), 40)
    expect(await ids(path)).toEqual(['abc999_a'])
    expect(JSON.parse(readFileSync(join(cache(), name as string), 'utf8')).problems).toHaveLength(1)
  })

  test('that cannot be kept is told', async () => {
    mkdirSync(join(process.env['XDG_CACHE_HOME'] as string, 'branchmerge'))
    writeFileSync(cache(), 'a file')
    const benchmark = await opened(join(release([row()]), 'test5.jsonl'))
    expect(benchmark.questions).toHaveLength(1)
    expect(benchmark.notes.at(-1)).toMatch(/could not be kept/)
  })

  test('does not read tests from a file that changed since', async () => {
    const path = join(release([row()]), 'test5.jsonl')
    const benchmark = await opened(path)
    utimesSync(path, 1, 1)
    await expect(graded(question(benchmark), '```python\nprint(1)\n```', { programs })).rejects.toMatchObject({
      code: 'ERR_FILE_CHANGED',
    })
  })
})

test('a row of 50 MB is read, and graded, in bounded memory', async () => {
  const digits = '7'.repeat(1000)
  const tests = Array.from({ length: 50_000 }, () => ({ input: digits, output: digits, testtype: 'stdin' }))
  const large = JSON.stringify(tests.slice(0, 25_000))
  expect(large.length).toBeGreaterThan(50e6)
  const path = join(temporaryDirectory(), 'test5.jsonl')
  writeFileSync(path, jsonLines([row({ question_id: 'large', private_test_cases: large })]))
  for (let i = 0; i < 3; i++)
    appendFileSync(path, jsonLines([row({ question_id: `large${i}`, private_test_cases: large })]))
  const before = process.memoryUsage().rss
  const benchmark = await opened(path)
  // Two copies of a row at a time, of four.
  expect(process.memoryUsage().rss - before).toBeLessThan(250 * 2 ** 20)
  expect(benchmark.questions).toHaveLength(4)
  let inputs = 0
  const counting: typeof programs = {
    ...programs,
    run: (_program, given, _limits, options) => {
      inputs = given.length
      options?.goOn?.({ status: 'finished', stdout: '', seconds: 0 }, 0)
      return Promise.resolve([{ status: 'finished', stdout: '', seconds: 0 }])
    },
  }
  const verdict = await graded(question(benchmark, 3), '```python\nprint(1)\n```', { programs: counting })
  expect(inputs).toBe(25_001)
  expect(verdict.status).toBe('wrong')
})

test('an abort ends the reading', async () => {
  const reason = new Error('enough')
  const signal = AbortSignal.abort(reason)
  await expect(openBenchmark({ name: 'lcb', path: release([row()]) }, { signal })).rejects.toBe(reason)
})
