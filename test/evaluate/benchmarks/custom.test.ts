import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { openBenchmark } from '../../../lib/evaluate/benchmarks/openBenchmark.js'
import { sandboxOfFile } from '../../support/sandbox.js'
import { temporaryDirectory } from '../../support/temporary.js'
import { graded, jsonLines, opened, parquet, promptOf, question, said, written } from './support.js'

const programs = await sandboxOfFile()

const sum = { id: 'sum', question: 'What is 2 + 2?', answer: 4, grader: 'integer' }
const capital = { id: 'capital', question: 'The capital of France?', answer: 'Paris', grader: 'exact' }

describe('files', () => {
  const rows = [sum, { ...capital, labels: { subject: 'geography', level: 2 }, system: 'Be short.' }]

  test.each([
    ['q.jsonl', jsonLines(rows)],
    ['q.jsonl.gz', gzipSync(jsonLines(rows))],
    ['q.json', JSON.stringify(rows, undefined, 2)],
    ['q.json.gz', gzipSync(JSON.stringify(rows))],
  ])('%s', async (name, content) => {
    const path = written(name, content)
    const benchmark = await openBenchmark({ name: 'mine', path })
    const sha256 = createHash('sha256').update(content).digest('hex')
    expect(benchmark).toMatchObject({
      name: 'mine',
      kind: 'custom',
      profile: 'strict',
      version: 'custom/strict@1',
      files: [{ path, sha256 }],
      trials: 1,
      needsPrograms: false,
      confidential: false,
      notes: [],
    })
    expect(benchmark.questions.map(({ id, labels, reference }) => [id, labels, reference])).toEqual([
      ['sum', {}, '4'],
      ['capital', { subject: 'geography', level: '2' }, 'Paris'],
    ])
    expect(promptOf(question(benchmark, 0))).toEqual([['user', 'What is 2 + 2?']])
    expect(promptOf(question(benchmark, 1))).toEqual([
      ['system', 'Be short.'],
      ['user', 'The capital of France?'],
    ])
  })

  test('Parquet, with lists, structures and 64-bit integers', async () => {
    const columns = [
      { name: 'id', data: [1n, 2n], type: 'INT64' as const },
      { name: 'question', data: ['2 + 2?', null], type: 'STRING' as const },
      { name: 'messages', data: [null, [{ role: 'user', content: 'Which?' }]], type: 'JSON' as const },
      { name: 'answer', data: ['4', 'b'] },
      { name: 'choices', data: [null, ['a', 'b']], type: 'JSON' as const },
      { name: 'grader', data: ['integer', 'choice'] },
    ]
    const path = written('q.parquet', parquet(columns))
    const benchmark = await openBenchmark({ name: 'mine', path })
    expect(benchmark.questions.map(({ id }) => id)).toEqual(['1', '2'])
    expect(promptOf(question(benchmark, 1))[0]?.[1]).toMatch(/^Which\?\n\nA\) [ab]\nB\) [ab]$/)
    expect(await graded(question(benchmark, 0), 'It is \\boxed{4}.')).toMatchObject({ status: 'correct' })
  })

  test('a directory', async () => {
    const directory = temporaryDirectory()
    writeFileSync(join(directory, 'a.jsonl'), jsonLines([sum]))
    writeFileSync(join(directory, 'b.jsonl'), jsonLines([capital]))
    const benchmark = await openBenchmark({ name: 'mine', path: directory })
    expect(benchmark.questions.map(({ id }) => id)).toEqual(['sum', 'capital'])
    expect(benchmark.files.map(({ path }) => path)).toEqual([join(directory, 'a.jsonl'), join(directory, 'b.jsonl')])
  })

  test('100,000 rows', async () => {
    const many = Array.from({ length: 100_000 }, (_, id) => ({ ...sum, id }))
    expect((await opened(many, { name: 'mine' })).questions).toHaveLength(100_000)
  })
})

test('messages go on from a conversation', async () => {
  const messages = [
    { role: 'system', content: 'S' },
    { role: 'user', content: 'U' },
    { role: 'assistant', content: 'A' },
    { role: 'user', content: 'V' },
  ]
  const benchmark = await opened([{ id: 1, messages, answer: 'x', grader: 'exact' }], { name: 'mine' })
  expect(promptOf(question(benchmark))).toEqual(messages.map(({ role, content }) => [role, content]))
})

describe('graders', () => {
  test.each([
    [sum, '\\boxed{4}', 'correct', '4'],
    [sum, 'The answer is 4.', 'correct', '4'],
    [sum, '5', 'wrong', '5'],
    [sum, 'Four.', 'no-answer', null],
    [{ ...sum, answer: '\\frac12', grader: 'math' }, 'The answer is $0.5$.', 'correct', '\\frac12'],
    [{ ...sum, answer: '\\frac12', grader: 'math' }, '1/2', 'correct', '\\frac12'],
    [{ ...sum, answer: 0.5, grader: 'math' }, '\\boxed{\\frac13}', 'wrong', '1/3'],
    [capital, 'Paris', 'correct', 'Paris'],
    [capital, 'Let me think.\n\n**Paris**', 'correct', 'Paris'],
    [capital, 'paris', 'wrong', 'paris'],
    [{ ...sum, answer: 'C', grader: 'choice' }, 'The answer is (C).', 'correct', 'C'],
    [{ ...sum, answer: 'C', grader: 'choice' }, 'A good question. The answer is D.', 'wrong', 'D'],
    [{ ...sum, answer: '^Par', grader: 'regex' }, 'Paris', 'correct', 'Par'],
    [{ ...sum, answer: '^par', grader: 'regex', flags: 'i' }, 'Paris', 'correct', 'Par'],
    [{ ...sum, answer: '^par', grader: 'regex' }, 'Paris', 'wrong', null],
    [{ ...sum, answer: 7, pattern: 'x = (\\d+)', grader: 'regex' }, 'x = 3, no: x = 7', 'correct', '7'],
    [{ ...sum, answer: 7, pattern: 'x = (\\d+)', grader: 'regex' }, 'x = 7, no: x = 3', 'wrong', '3'],
    [{ ...sum, answer: 7, pattern: 'x = (\\d+)', grader: 'regex' }, 'y = 3', 'no-answer', null],
  ])('%j: %j is %s', async (row, answer, status, extracted) => {
    const benchmark = await opened([row], { name: 'mine' })
    expect(await graded(question(benchmark), answer)).toMatchObject({ status, extracted })
  })

  test('an answer that was cut off is truncated, one that was given before is graded', async () => {
    const benchmark = await opened([sum], { name: 'mine' })
    expect(await graded(question(benchmark), said('<think>2 + 2 is 4', 'length'))).toMatchObject({
      status: 'truncated',
    })
    expect(await graded(question(benchmark), said('It is', 'length'))).toMatchObject({ status: 'truncated' })
    expect(await graded(question(benchmark), said('It is \\boxed{4}, bec', 'length'))).toMatchObject({
      status: 'correct',
    })
  })

  test('options stand in another order in each trial and with each seed, and the verdict names the option', async () => {
    const texts = ['red', 'green', 'blue', 'black', 'white']
    const row = { id: 'c', question: 'Which?', choices: texts, answer: 'blue', grader: 'choice' }
    const [asked] = (await opened([row], { name: 'mine' })).questions
    if (!asked) throw new Error('no question')
    const orders = new Set<string>()
    for (let trial = 0; trial < 20; trial++) {
      for (const seed of [0, 1]) {
        const content = promptOf(asked, trial, seed)[0]?.[1] ?? ''
        expect(promptOf(asked, trial, seed)).toEqual(promptOf(asked, trial, seed))
        orders.add(content)
        const letterOf = (text: string) => new RegExp(`^([A-E])\\) ${text}$`, 'm').exec(content)?.[1] as string
        expect(texts.map(letterOf).sort().join('')).toBe('ABCDE')
        const context = { trial, seed }
        const right = await graded(asked, `Answer: ${letterOf('blue')}`, context)
        expect(right).toMatchObject({ status: 'correct', extracted: 'blue' })
        expect(await graded(asked, `Answer: ${letterOf('red')}`, context)).toMatchObject({
          status: 'wrong',
          extracted: 'red',
        })
        expect(await graded(asked, 'The answer is blue.', context)).toMatchObject({
          status: 'correct',
          extracted: 'blue',
        })
      }
    }
    expect(orders.size).toBeGreaterThan(25)
  })

  test('a pattern that never ends is stopped', async () => {
    const benchmark = await opened([{ ...sum, answer: '^(a+)+$', grader: 'regex' }], { name: 'mine' })
    expect(await graded(question(benchmark), `${'a'.repeat(60)}!`)).toMatchObject({
      status: 'unsupported',
      detail: 'the pattern takes too long',
    })
  })
})

describe('programs', () => {
  const doubles = {
    id: 'double',
    question: 'Print twice the number.',
    answer: [
      { input: '2\n', output: '4\n' },
      { input: '5', output: '10' },
    ],
    grader: 'python-stdin',
  }
  const reverse = {
    id: 'reverse',
    question: 'Define reverse(list).',
    answer: [{ args: [[1, 2.5, 'x']], output: ['x', 2.5, 1] }],
    entry: 'reverse',
    seconds: 5,
    grader: 'python-function',
  }
  const inPython = (code: string) => `Here:\n\n\`\`\`python\n${code}\n\`\`\`\n`

  test.each([
    [doubles, 'print(2 * int(input()))', 'correct'],
    [doubles, 'print(2 + int(input()))', 'wrong'],
    [reverse, 'def reverse(list):\n    return list[::-1]', 'correct'],
    [reverse, 'def reverse(list):\n    return list', 'wrong'],
  ])('%j: %j is %s', async (row, code, status) => {
    const benchmark = await opened([row, sum], { name: 'mine' })
    expect(benchmark).toMatchObject({ needsPrograms: true, notes: [] })
    expect(await graded(question(benchmark), inPython(code), { programs })).toMatchObject({ status })
  })

  test('without a sandbox they are refused, not counted as wrong', async () => {
    const benchmark = await opened([doubles], { name: 'mine' })
    await expect(graded(question(benchmark), inPython('print(4)'))).rejects.toMatchObject({ code: 'ERR_BENCHMARK' })
  })

  test.each([
    [{ ...doubles, answer: [] }, 'expected a list of tests for answer but received a list of 0'],
    [{ ...doubles, answer: [{ input: 'x' }] }, 'expected texts for input and output of answer[0]'],
    [{ ...doubles, seconds: 0 }, 'expected seconds above 0 and up to 600 but received 0'],
    [{ ...reverse, entry: 'a b' }, 'expected the name of a function, or Class.method, for entry but received "a b"'],
    [{ ...reverse, answer: [{ args: 1, output: 1 }] }, 'expected a list for args of answer[0] but received 1'],
    [{ ...reverse, answer: [{ args: [] }] }, 'expected output in answer[0] but there is none'],
  ])('%j is refused', async (row, problem) => {
    await expect(opened([row], { name: 'mine' })).rejects.toMatchObject({
      code: 'ERR_BENCHMARK',
      message: expect.stringContaining(`line 1: ${problem}`),
    })
  })
})

describe('rows that are refused', () => {
  test.each([
    [{ ...sum, id: undefined }, 'expected a text for id but there is none'],
    [{ ...sum, id: ' ' }, 'expected a text for id but received " "'],
    [{ ...sum, question: undefined }, 'expected either question or messages but there are none'],
    [{ ...sum, messages: [] }, 'expected either question or messages but there are both'],
    [{ ...sum, question: undefined, messages: [] }, 'expected the last of messages to have the role user'],
    [
      { ...sum, question: undefined, messages: [{ role: 'human', content: 'x' }] },
      'expected system, user or assistant for messages[0].role but received "human"',
    ],
    [
      { ...sum, question: undefined, messages: [{ role: 'user', content: [{ type: 'image' }] }] },
      'expected a text for messages[0].content but received a list of 1',
    ],
    [{ ...sum, answer: undefined }, 'expected an integer for answer but there is none'],
    [{ ...sum, answer: 4.5 }, 'expected an integer for answer but received 4.5'],
    [{ ...sum, grader: undefined }, 'expected a text for grader but there is none'],
    [{ ...sum, grader: 'constructor' }, /^expected one of math, integer, .* for grader but received "constructor"$/],
    [{ ...capital, answer: '' }, 'expected a text for answer but received ""'],
    [{ ...sum, grader: 'choice' }, 'expected a letter from A to J for answer, or choices, but received 4'],
    [
      { ...sum, grader: 'choice', choices: ['a', 'b'] },
      'expected one of choices or its letter for answer but received 4',
    ],
    [
      { ...sum, grader: 'choice', choices: ['a'] },
      'expected a list of 2 to 26 texts for choices but received a list of 1',
    ],
    [{ ...sum, grader: 'choice', choices: ['a', 'a'] }, 'choices has "a" twice'],
    [{ ...sum, grader: 'regex', answer: '(' }, /^expected a regular expression but /],
    [{ ...sum, grader: 'regex', answer: 'x', flags: 'y' }, 'expected flags out of i, m, s, u and v but received "y"'],
    [{ ...sum, labels: 'x' }, 'expected an object for labels but received "x"'],
    [['no object'], 'expected an object but the row is a list of 1'],
  ])('%j', async (row, problem) => {
    const path = written('q.jsonl', jsonLines([capital, '', row]).replace('""', ''))
    const message = await openBenchmark({ name: 'mine', kind: 'custom', path }).catch((error) => {
      expect(error).toMatchObject({ code: 'ERR_BENCHMARK' })
      return error.message as string
    })
    expect(message).toContain(`${path}, line 3: `)
    const said = (message as string).slice(`${path}, line 3: `.length)
    if (typeof problem === 'string') expect(said).toBe(problem)
    else expect(said).toMatch(problem)
  })

  test('two rows with one id, no rows, no JSON', async () => {
    const open = (text: string) => openBenchmark({ name: 'mine', kind: 'custom', path: written('q.jsonl', text) })
    await expect(open(jsonLines([sum, capital, { ...sum, id: 'capital' }]))).rejects.toMatchObject({
      code: 'ERR_BENCHMARK',
      message: expect.stringMatching(
        /q\.jsonl, line 3: expected an id of its own but q\.jsonl, line 2 has "capital", too$/,
      ),
    })
    await expect(open('')).rejects.toMatchObject({ code: 'ERR_BENCHMARK' })
    await expect(open('{"id": 1')).rejects.toMatchObject({ code: 'ERR_BENCHMARK' })
  })
})

test('fields that nothing reads are named', async () => {
  const benchmark = await opened([{ ...sum, lables: { a: 'b' }, source: 'me' }], { name: 'mine' })
  expect(benchmark.notes).toEqual(['Not used: lables (labels is a field), source'])
})

describe('which kind', () => {
  const refusal = (spec: object) =>
    opened([sum], { name: 'mine', ...spec }).catch((error) => [error.code, error.message])

  test('an unknown kind, profile or option', async () => {
    expect(await refusal({ kind: 'custm' })).toEqual(['ERR_INVALID_ARGUMENT', expect.stringMatching(/custom/)])
    expect(await refusal({ profile: 'paper' })).toEqual([
      'ERR_BENCHMARK',
      expect.stringMatching(/Expected the profile strict for mine/),
    ])
    expect(await refusal({ options: { shuffle: true } })).toEqual([
      'ERR_INVALID_ARGUMENT',
      expect.stringMatching(/custom/),
    ])
  })

  test('columns of none', async () => {
    await expect(opened([{ a: 1, b: 2 }], { name: 'mine' })).rejects.toMatchObject({
      code: 'ERR_BENCHMARK',
      message: expect.stringMatching(
        /^The kind of mine is not clear: the columns a, b of .* are those of none\. Say which/,
      ),
    })
  })
})
