import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { describe, expect, test } from 'vitest'
import { type OpenR1Row, openR1Row, writeOpenR1 } from '../../bench/openR1.js'
import type { Selection, SelectionMap, SelectionStep } from '../../lib/select/run/selection.js'
import type { ChooseOptions } from '../../lib/select/steps/choose.js'
import type { SizeOptions } from '../../lib/select/steps/size.js'
import { temporaryDirectory } from '../support/temporary.js'
import { funnelProblems, rejections, select, writeLines } from './support.js'
import { zstd } from './zstd.js'

const openR1Map: SelectionMap = {
  question: 'problem',
  answers: 'generations',
  reference: 'answer',
  finish: 'finish_reasons',
  labels: { complete: 'is_reasoning_complete', verified: 'correctness_math_verify', judged: 'correctness_llama' },
}

/** Rows that hold what the published files hold at their edges. */
const edges: Partial<OpenR1Row>[] = [
  {},
  { correctness_math_verify: null, correctness_llama: [true, false, true] },
  { generations: null, is_reasoning_complete: null, finish_reasons: null, correctness_math_verify: null },
  {
    generations: [],
    is_reasoning_complete: [],
    finish_reasons: [],
    correctness_math_verify: [],
    correctness_llama: [],
  },
  { question_type: 'proof' },
  { answer: null, solution: null, uuid: null },
  { is_reasoning_complete: [true] },
  { correctness_math_verify: [null, null, true], is_reasoning_complete: [true, true, true] },
]
const edgeRows: OpenR1Row[] = edges.map((edge, i) => ({
  ...openR1Row(i, 40),
  generations: ['one', 'two', 'three'].map((word) => `<think>\n${word}\n</think>\n\nIt is ${i}.`),
  is_reasoning_complete: [false, true, true],
  finish_reasons: ['stop', 'stop', 'stop'],
  correctness_math_verify: [true, false, true],
  correctness_llama: null,
  question_type: 'math-word-problem',
  ...edge,
}))

const openR1Recipe = (path: string): Selection => ({
  sources: [{ path, name: 'openr1', map: openR1Map }],
  steps: [
    { where: { question_type: { not: ['proof', 'MCQ'] } } },
    { choose: { where: { complete: true, $or: [{ verified: true }, { judged: true }] } } },
  ],
  keep: { type: 'question_type', count: 'correctness_count', uuid: 'uuid' },
})

describe('rows in the schema of OpenR1-Math-220k', () => {
  test.each([
    ['snappy, one group', {}],
    ['groups of one row', { groupRows: 1 }],
    ['zstd', zstd],
  ])('the first correct and complete answer of each is taken: %s', async (_, options) => {
    const directory = temporaryDirectory()
    const path = join(directory, 'a.parquet')
    writeOpenR1(path, edgeRows, options)
    const { summary, rows, rejected } = await select(directory, openR1Recipe(path), { out: 'out.parquet' })
    const origins = rows.map(({ origin }) => origin)
    const origin = (row: bigint, answer: number) => ({ source: 'openr1', file: 'a.parquet', row, answer })
    expect(origins).toEqual([origin(0n, 2), origin(1n, 2), origin(5n, 2), origin(7n, 2)])
    expect(rows[1]).toEqual({
      messages: [
        { role: 'user', content: edgeRows[1]?.problem },
        { role: 'assistant', content: '<think>\nthree\n</think>\n\nIt is 1.' },
      ],
      origin: origin(1n, 2),
      reference: edgeRows[1]?.answer,
      type: 'math-word-problem',
      count: edgeRows[1]?.correctness_count,
      uuid: edgeRows[1]?.uuid,
      verdict: null,
    })
    expect(rejections(rejected)).toEqual([
      '2 map missing-field',
      '3 map no-answers',
      '6 map wrong-length',
      '4 where question_type',
    ])
    expect(funnelProblems(summary, rejected)).toEqual([])
  })

  test('the result holds the same from JSON Lines, gzipped or not, and from a JSON array', async () => {
    const directory = temporaryDirectory()
    const json = edgeRows.map((row) => ({ ...row, correctness_count: Number(row.correctness_count) }))
    writeOpenR1(join(directory, 'a.parquet'), edgeRows)
    const lines = json.map((row) => `${JSON.stringify(row)}\n`).join('')
    writeFileSync(join(directory, 'a.jsonl'), lines)
    writeFileSync(join(directory, 'a.jsonl.gz'), gzipSync(lines))
    writeFileSync(join(directory, 'a.json'), JSON.stringify(json))
    writeFileSync(join(directory, 'a.json.gz'), gzipSync(JSON.stringify(json)))
    const results: string[] = []
    for (const name of ['a.parquet', 'a.jsonl', 'a.jsonl.gz', 'a.json', 'a.json.gz']) {
      const { rows, rejected } = await select(directory, openR1Recipe(join(directory, name)), { out: `${name}.jsonl` })
      expect(rejections(rejected)).toHaveLength(4)
      results.push(JSON.stringify(rows).replaceAll(name, 'FILE'))
    }
    expect(new Set(results).size).toBe(1)
  })
})

describe('mapping', () => {
  const one = async (row: unknown, map: SelectionMap, more: Partial<Selection> = {}) => {
    const directory = temporaryDirectory()
    const good = {
      q: 'Why?',
      a: 'So.',
      messages: [
        { role: 'user', content: 'Why?' },
        { role: 'assistant', content: 'So.' },
      ],
    }
    const path = writeLines(directory, 'a.jsonl', [row, good])
    const { rows, rejected } = await select(directory, { sources: [{ path, map: { ...map } }], ...more })
    return { row: rows.length > 1 ? rows[0] : undefined, rejected: rejected[0] }
  }
  const pair = { question: 'q', answers: 'a' }
  const answer = (content: string) => ({
    messages: [
      { role: 'user', content: 'Why?' },
      { role: 'assistant', content },
    ],
  })

  test.each([
    ['R1', '<think>\nWell.\n</think>\n\nSo.', '<think>\nWell.\n</think>\n\nSo.'],
    ['R1 without its first tag', 'Well.\n</think>So.', '<think>\nWell.\n</think>\n\nSo.'],
    ['R1, empty', '<think>\n\n</think>\n\nSo.', '<think>\n\n</think>\n\nSo.'],
    ['R1, cut off', '<think>\nWell', '<think>\nWell'],
    [
      'R1, quoting the tag',
      '<think>I end with </think>, no.</think>So.',
      '<think>\nI end with </think>, no.\n</think>\n\nSo.',
    ],
    [
      'OpenThoughts',
      '<|begin_of_thought|>\n\nWell.\n\n<|end_of_thought|>\n\n<|begin_of_solution|>\n\nSo.\n\n<|end_of_solution|>',
      '<think>\nWell.\n</think>\n\nSo.',
    ],
    [
      'OpenThoughts, without the last tag',
      '<|begin_of_thought|>Well.<|end_of_thought|> <|begin_of_solution|>So.',
      '<think>\nWell.\n</think>\n\nSo.',
    ],
    ['OpenThoughts, cut off', '<|begin_of_thought|>Well', '<think>\nWell'],
    ['no reasoning', ' So. ', 'So.'],
  ])('reasoning is told from the answer: %s', async (_, text, content) => {
    expect((await one({ q: 'Why?', a: text }, pair)).row).toMatchObject(answer(content))
  })

  test('reasoning may stand in a column of its own, as one text or as a list', async () => {
    const map = { ...pair, reasoning: 'r' }
    expect((await one({ q: 'Why?', a: 'So.', r: ' Well.\n' }, map)).row).toMatchObject(
      answer('<think>\nWell.\n</think>\n\nSo.'),
    )
    const list = await one({ q: 'Why?', a: ['So.', 'No.'], r: ['Well.', null] }, map, {
      steps: [{ choose: { count: 2 } }],
    })
    expect(list.row).toMatchObject(answer('<think>\nWell.\n</think>\n\nSo.'))
    expect((await one({ q: 'Why?', a: ['So.', 'No.'], r: ['Well.'] }, map)).rejected).toMatchObject({
      step: 'map',
      reason: 'wrong-length',
      detail: 'reasoning: the column r has 1 entries for 2 answers',
      row: 0,
      line: 1,
    })
  })

  test('messages of either form are a question and its answer, with a system text', async () => {
    const turns = [
      { from: 'system', value: 'Be brief.' },
      { from: 'user', value: 'Why?' },
      {
        from: 'assistant',
        value: '<|begin_of_thought|>Well.<|end_of_thought|><|begin_of_solution|>So.<|end_of_solution|>',
      },
    ]
    const { row } = await one({ messages: turns }, { messages: 'messages' })
    expect(row?.messages).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Why?' },
      { role: 'assistant', content: '<think>\nWell.\n</think>\n\nSo.' },
    ])
    const longer = await one({ messages: [...turns, ...turns.slice(1)] }, { messages: 'messages' })
    expect(longer.rejected).toMatchObject({ step: 'map', reason: 'not-one-exchange' })
    const broken = await one({ messages: [{ from: 'teacher', value: 'Why?' }] }, { messages: 'messages' })
    expect(broken.rejected).toMatchObject({
      reason: 'wrong-type',
      detail: 'messages: message 0 has the unknown role "teacher"',
    })
  })

  test.each<[string, unknown, string, string]>([
    ['a blank question', { q: ' ', a: 'So.' }, 'map', 'missing-field'],
    ['no question', { a: 'So.' }, 'map', 'missing-field'],
    ['a question that is a number', { q: 7, a: 'So.' }, 'map', 'wrong-type'],
    ['no answer', { q: 'Why?', a: null }, 'map', 'missing-field'],
    ['only empty answers', { q: 'Why?', a: ['', null] }, 'map', 'no-answers'],
    ['an answer that is an object', { q: 'Why?', a: [{}] }, 'map', 'wrong-type'],
    ['a reference that is a list', { q: 'Why?', a: 'So.', ref: ['x'] }, 'map', 'wrong-type'],
    ['choices that are a text', { q: 'Why?', a: 'So.', options: 'A, B' }, 'map', 'wrong-type'],
    ['half of a surrogate pair', '{"q":"Why?","a":"\\ud800"}', 'map', 'unusable-text'],
    ['no JSON', '{"q":', 'read', 'unreadable'],
    ['a list', [1], 'read', 'no-object'],
  ])('%s is rejected with its place', async (_, row, step, reason) => {
    const { rejected } = await one(row, { ...pair, reference: 'ref', choices: 'options' })
    expect(rejected).toMatchObject({ source: 'a', row: 0, fileRow: 0, line: 1, step, reason })
    expect(rejected?.file).toMatch(/a\.jsonl$/)
    expect(rejected?.detail).not.toBe('')
  })

  test('numbers of JSON keep their value in kept columns', async () => {
    const row = '{"q":"Why?","a":"So.","big":12345678901234567890,"whole":1.0,"deep":{"b":1,"a":[2.50]}}'
    const { row: kept } = await one(row, pair, { keep: ['big', 'whole', 'deep', 'deep.a.0'] })
    expect(
      JSON.stringify(kept, (_, value) => (typeof value === 'object' && value?.text ? value.text : value)),
    ).toContain('"big":"12345678901234567890","whole":1,"deep":{"b":1,"a":[2.5]},"deep.a.0":2.5')
  })
})

describe('joining', () => {
  const sources = (directory: string, on: object): Selection => ({
    sources: [
      {
        path: join(directory, 'main.jsonl'),
        name: 'main',
        join: {
          meta: { path: join(directory, 'meta.*'), on: { source: 'conversations.0.value', part: 'problem' }, ...on },
        },
        map: {
          question: 'meta.problem',
          answers: 'meta.solution',
          reasoning: 'meta.reasoning',
          reference: 'meta.truth',
        },
      },
    ],
    steps: [{ where: { 'meta.domain': 'math' } }],
    keep: ['meta.domain', 'id'],
  })
  const conversation = (id: number, problem: string | null) => ({
    id,
    conversations: problem === null ? [] : [{ from: 'user', value: `Return it in \\boxed{}. ${problem}` }],
  })
  const meta = (problem: string | null, more: object = {}) => ({
    problem,
    solution: `The answer to ${problem}`,
    reasoning: 'Well.',
    truth: null,
    domain: 'math',
    ...more,
  })

  test.each(['jsonl', 'parquet'])(
    'rows go together by key, in the order of the source, whatever that of the part: %s',
    async (kind) => {
      const directory = temporaryDirectory()
      writeLines(directory, 'main.jsonl', [
        conversation(0, 'c'),
        conversation(1, 'a'),
        conversation(2, 'nowhere'),
        conversation(3, null),
        conversation(4, 'twice'),
        conversation(5, 'same'),
        conversation(6, 'b'),
      ])
      const rows = [
        meta('a'),
        meta('b', { domain: 'code' }),
        meta('twice'),
        meta('twice', { truth: '7' }),
        meta('same'),
        meta('same'),
        meta(null),
        meta('c'),
        meta('unused'),
      ]
      if (kind === 'jsonl') writeLines(directory, 'meta.jsonl', rows)
      else {
        const names = ['problem', 'solution', 'reasoning', 'truth', 'domain'] as const
        const columnData = names.map((name) => ({ name, data: rows.map((row) => row[name]), type: 'STRING' as const }))
        writeFileSync(join(directory, 'meta.parquet'), Buffer.from(parquetWriteBuffer({ columnData, rowGroupSize: 2 })))
      }
      const recipe = sources(directory, { without: '^Return it in .*?\\. ' })
      const { rows: kept, rejected, summary } = await select(directory, recipe)
      expect(
        kept.map((row) => [row.id, row['meta.domain'], (row.messages as { content: string }[])[1]?.content]),
      ).toEqual([
        [0, 'math', '<think>\nWell.\n</think>\n\nThe answer to c'],
        [1, 'math', '<think>\nWell.\n</think>\n\nThe answer to a'],
        [5, 'math', '<think>\nWell.\n</think>\n\nThe answer to same'],
      ])
      expect(rejections(rejected)).toEqual([
        '2 join join-missing',
        '3 join join-without-key',
        '4 join join-ambiguous',
        '6 where meta.domain',
      ])
      expect(summary.joins).toEqual([
        {
          source: 'main',
          part: 'meta',
          rows: 9,
          withoutKey: 1,
          repeated: 1,
          unused: 1,
          places: [
            expect.stringMatching(/meta\..*, (line 4|row 3): problem as an earlier/),
            expect.stringMatching(/(line 7|row 6): no problem/),
          ],
        },
      ])
      expect(funnelProblems(summary, rejected)).toEqual([])
    },
  )
})

describe('steps', () => {
  const answers = ['bb', 'a', 'cccc', 'ddd'].map((text, i) => `<think>\n${text}\n</think>\n\n${i}`)
  const labels = {
    right: [false, true, true, true],
    score: [9, 1, null, 5],
    finish: ['stop', 'stop', 'length', 'stop'],
  }
  const example = [{ q: 'Why?', a: answers, ...labels }]
  const run = async (steps: SelectionStep[], rows: object[] = example, seed = 0) => {
    const directory = temporaryDirectory()
    const path = writeLines(directory, 'a.jsonl', rows)
    const map = { question: 'q', answers: 'a', finish: 'finish', choices: 'options', labels: ['right', 'score'] }
    return await select(directory, { sources: [{ path, name: 'a', map }], steps, seed, keep: ['group'] })
  }
  const chosen = (rows: Record<string, unknown>[]) => rows.map(({ origin }) => (origin as { answer: number }).answer)

  test.each<[string, ChooseOptions, number[]]>([
    ['the first', {}, [0]],
    ['the first that is right', { where: { right: true } }, [1]],
    ['the first that is right and complete', { where: { right: true, finish: 'stop' } }, [1]],
    ['the last by its index', { where: { index: { min: 3 } } }, [3]],
    ['the shortest', { by: 'shortest' }, [1]],
    ['the longest', { by: 'longest' }, [2]],
    ['the longest that is complete', { by: 'longest', where: { finish: { not: 'length' } } }, [3]],
    ['the best', { by: 'best', score: 'score' }, [0]],
    ['the best that is right', { by: 'best', score: 'score', where: { right: true } }, [3]],
    ['the two longest, in their order', { by: 'longest', count: 2 }, [2, 3]],
    ['all', { count: 9 }, [0, 1, 2, 3]],
  ])('choose takes %s', async (_, choose, expected) => {
    const { rows, summary } = await run([{ choose }])
    expect(chosen(rows)).toEqual(expected)
    expect(summary.funnel[2]).toMatchObject({ rowsIn: 1, rowsKept: 1, answersIn: 4, answersKept: expected.length })
  })

  test('choose by chance depends on the seed, and takes each answer as often', async () => {
    const rows = Array.from({ length: 400 }, (_, i) => ({ q: `Why ${i}?`, a: answers }))
    const of = async (seed: number) => chosen((await run([{ choose: { by: 'random' } }], rows, seed)).rows)
    const [first, again, other] = [await of(1), await of(1), await of(2)]
    expect(again).toEqual(first)
    expect(other).not.toEqual(first)
    // 100 each, with a standard deviation of 8.7.
    for (const answer of [0, 1, 2, 3])
      expect(Math.abs(first.filter((each) => each === answer).length - 100)).toBeLessThan(40)
  })

  test('a row without an answer that fits says of each why', async () => {
    const rows = [
      { q: 'Why?', a: answers, ...labels },
      { q: 'How?', a: ['x', 'y'], right: [false, null] },
    ]
    const { rejected } = await run([{ choose: { where: { right: true } } }], rows)
    expect(rejected).toMatchObject([
      { row: 1, reason: 'no-answer-fits', detail: 'answer 0: right is false; answer 1: right is missing' },
    ])
    const scored = await run([{ choose: { by: 'best', score: 'score' } }], rows)
    expect(scored.rejected).toMatchObject([{ row: 1, reason: 'no-score' }])
  })

  test('form sets the system text and the prompt', async () => {
    const rows = [
      { q: 'Why {x}?', a: 'So.', options: ['one', 'two'], group: 'g' },
      { q: 'How?', a: 'So.' },
    ]
    const prompt = '{question}\n\n{choices}\nOf {group}: put it in \\boxed{}.'
    const { rows: formed, rejected } = await run([{ form: { system: 'Be brief.', prompt } }], rows)
    expect(formed[0]?.messages).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Why {x}?\n\nA) one\nB) two\nOf g: put it in \\boxed{}.' },
      { role: 'assistant', content: 'So.' },
    ])
    expect(rejected).toMatchObject([
      { row: 1, step: 'form', reason: 'missing-field', detail: 'there is no text for {choices}' },
    ])
    const bare = await run([{ form: { reasoning: 'drop' } }, { choose: {} }])
    expect((bare.rows[0]?.messages as unknown[] | undefined)?.at(-1)).toEqual({ role: 'assistant', content: '0' })
  })

  test('an answer that is nothing but its reasoning, which form drops, is none', async () => {
    const rows = [
      { q: 'Why?', a: ['<think>\nWell', 'So.'] },
      { q: 'How?', a: '<think>\nWell' },
    ]
    const { rows: kept, rejected } = await run([{ form: { reasoning: 'drop' } }], rows)
    expect(chosen(kept)).toEqual([1])
    expect(rejected).toMatchObject([{ row: 1, step: 'write', reason: 'empty-answer' }])
  })

  const groups = (counts: Record<string, number>) =>
    Object.entries(counts).flatMap(([group, count]) =>
      Array.from({ length: count }, (_, i) => ({
        q: `${group} ${i}?`,
        a: 'So.',
        group: group === 'none' ? null : group,
      })),
    )
  const sizes = (rows: Record<string, unknown>[]) => {
    const found: Record<string, number> = { a: 0, b: 0, c: 0, null: 0 }
    for (const { group } of rows) found[String(group)] = (found[String(group)] ?? 0) + 1
    return found
  }

  test('size draws by seed, and the order stays', async () => {
    const rows = groups({ a: 300 })
    const of = async (size: number, seed: number) =>
      (await run([{ size }], rows, seed)).rows.map(({ origin }) => (origin as { row: number }).row)
    const [first, other, more] = [await of(100, 1), await of(100, 2), await of(150, 1)]
    expect(first).toHaveLength(100)
    expect(first).toEqual([...first].sort((a, b) => a - b))
    expect(other).not.toEqual(first)
    // A larger size of the same seed has the rows of the smaller one.
    expect(more).toEqual(expect.arrayContaining(first))
    // A third of each third, with a standard deviation of 4.1.
    for (const third of [0, 1, 2]) {
      expect(Math.abs(first.filter((row) => Math.floor(row / 100) === third).length - 33)).toBeLessThan(20)
    }
  })

  test.each<[string, number | SizeOptions, Record<string, number>]>([
    ['shares of the rows', { rows: 100, by: 'group', shares: { a: 0.5, b: 0.255 } }, { a: 50, b: 26 }],
    ['counts, others share the rest', { rows: 30, by: 'group', counts: { a: 10, b: 0 } }, { a: 10, b: 0 }],
    ['the same of each', { by: 'group', each: 7 }, { a: 7, b: 7, c: 7, null: 7 }],
    ['counts, and nothing of others', { by: 'group', counts: { a: 3 }, rows: 3 }, { a: 3 }],
    ['each but one, of fewer rows than that', { rows: 20, by: 'group', counts: { c: 5 }, each: 4 }, { c: 5 }],
  ])('size has quotas: %s', async (_, size, expected) => {
    const { rows, summary, rejected } = await run([{ size }], groups({ a: 60, b: 40, c: 30, none: 20 }))
    expect(sizes(rows)).toMatchObject(expected)
    const { rows: most } = typeof size === 'object' ? size : { rows: undefined }
    if (most !== undefined) expect(rows.length).toBeLessThanOrEqual(most)
    expect(funnelProblems(summary, rejected)).toEqual([])
  })

  test('a quota that is not filled is told', async () => {
    const { summary } = await run([{ size: { rows: 50, by: 'group', shares: { a: 1 } } }], groups({ a: 20, b: 30 }))
    expect(summary.notes).toEqual(['size: group a: 20 of 50 rows'])
    expect(summary.rows).toBe(20)
  })

  test('steps after a size see what it left', async () => {
    const steps: SelectionStep[] = [
      { size: 20 },
      { where: { group: 'a' } },
      { name: 'last', size: 5 },
      { form: { system: 'S' } },
    ]
    const { summary, rejected, rows } = await run(steps, groups({ a: 50, b: 50 }))
    expect(summary.funnel.map(({ name, rowsIn }) => [name, rowsIn])).toMatchObject([
      ['read', 100],
      ['map', 100],
      ['size', 100],
      ['where', 20],
      ['last', expect.any(Number)],
      ['form', 5],
      ['write', 5],
    ])
    expect(rows).toHaveLength(5)
    expect(funnelProblems(summary, rejected)).toEqual([])
  })
})

test('JSON Lines and Parquet hold the same, with the types that all rows of a kept column have', async () => {
  const directory = temporaryDirectory()
  const kept = [
    { int: 1, real: 1, mixed: 'a', yes: true, list: [1], text: 'x' },
    { int: null, real: 2.5, mixed: 3, yes: null, list: null, text: null },
    { int: 9007199254740991, real: null, mixed: null, yes: false, list: ['b', { c: null }], text: 'ü' },
  ]
  const path = writeLines(
    directory,
    'a.jsonl',
    kept.map((row, i) => ({ q: `Why ${i}?`, a: 'So.', ...row })),
  )
  const map = { question: 'q', answers: 'a' }
  const recipe: Selection = { sources: [{ path, map }], keep: ['int', 'real', 'mixed', 'yes', 'list', 'text'] }
  const lines = await select(directory, recipe)
  expect(lines.rows.map(({ int, real, mixed, yes, list, text }) => ({ int, real, mixed, yes, list, text }))).toEqual(
    kept,
  )
  const { rows } = await select(directory, recipe, { out: 'out.parquet' })
  expect(rows.map(({ messages }) => messages)).toEqual(lines.rows.map(({ messages }) => messages))
  expect(rows.map(({ int, real, mixed, yes, list, text }) => ({ int, real, mixed, yes, list, text }))).toEqual([
    { int: 1n, real: 1, mixed: '"a"', yes: true, list: '[1]', text: 'x' },
    { int: null, real: 2.5, mixed: '3', yes: null, list: null, text: null },
    { int: 9007199254740991n, real: null, mixed: null, yes: false, list: '["b", {"c": null}]', text: 'ü' },
  ])
})

test('the same input gives the same bytes, whatever kind of groups it is read in', async () => {
  const directory = temporaryDirectory()
  const rows = Array.from({ length: 1500 }, (_, i) => openR1Row(i, 60))
  writeOpenR1(join(directory, 'a.parquet'), rows)
  const recipe: Selection = {
    ...openR1Recipe(join(directory, 'a.parquet')),
    steps: [{ choose: { by: 'random' } }, { size: { rows: 200, by: 'source', each: 50 } }],
  }
  const files = ['', '.rejected.jsonl', '.selection.json', '.selection.svg']
  const bytes = () => files.map((ending) => readFileSync(join(directory, `out.parquet${ending}`)))
  await select(directory, recipe, { out: 'out.parquet' })
  const first = bytes()
  await select(directory, recipe, { out: 'out.parquet', overwrite: true })
  expect(bytes().map((each, i) => each.equals(first[i] as Buffer))).toEqual([true, true, true, true])
  writeOpenR1(join(directory, 'a.parquet'), rows, { groupRows: 77 })
  await select(directory, recipe, { out: 'out.parquet', overwrite: true })
  expect(bytes().map((each, i) => each.equals(first[i] as Buffer))).toEqual([true, true, false, true])
})
