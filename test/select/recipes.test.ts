import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type OpenR1Row, openR1Row, writeOpenR1 } from '../../bench/openR1.js'
import type { RowsOptions } from '../../bench/parquetRows.js'
import { selectData } from '../../lib/select/run/selectData.js'
import { writeModel } from '../data/support.js'
import { temporaryDirectory } from '../support/temporary.js'
import { writePublished } from './publishedRows.js'
import { funnelProblems, jsonLines, type Rejected, rejections, rowsOf, type Selected } from './support.js'
import { zstd } from './zstd.js'

/** Runs a shipped recipe, copied beside the data as its comment says. */
async function runRecipe(name: string, directory: string, more = ''): Promise<Selected> {
  const recipe = readFileSync(new URL(`../../recipes/${name}.yaml`, import.meta.url), 'utf8')
  writeFileSync(join(directory, `${name}.yaml`), recipe + more)
  const out = join(directory, 'out.jsonl')
  const summary = await selectData(join(directory, `${name}.yaml`), { out, threads: 1 })
  return { summary, rows: await rowsOf(out), rejected: jsonLines(summary.rejected) as Rejected[] }
}

const files: [name: string, options: RowsOptions][] = [
  ['snappy', {}],
  ['groups of one row', { groupRows: 1 }],
  ['zstd', zstd],
]

interface Turn {
  role: string
  content: string
}
const messagesOf = (rows: Selected['rows']): Turn[][] => rows.map(({ messages }) => messages as Turn[])
const placesOf = (rows: Selected['rows']): string[] =>
  rows.map(({ origin }) => {
    const { source, row, answer } = origin as { source: string; row: number; answer: number }
    return `${source} ${row}.${answer}`
  })

describe.each(files)('in %s', (_, options) => {
  test('tinyr1-math takes the first right and complete answer of questions of its kinds and sources', async () => {
    const directory = temporaryDirectory()
    const edges: Partial<OpenR1Row>[] = [
      {},
      { question_type: 'proof' },
      { question_type: 'MCQ' },
      { source: 'cn_k12' },
      { correctness_math_verify: null, correctness_llama: [true, true, true] },
      { correctness_math_verify: [null, false, true] },
      { correctness_math_verify: [true, true, false], is_reasoning_complete: [false, false, true] },
      { generations: [], is_reasoning_complete: [], finish_reasons: [], correctness_math_verify: [] },
      { generations: null },
      { question_type: 'other', finish_reasons: null, answer: null, uuid: null },
    ]
    const rows: OpenR1Row[] = edges.map((edge, i) => ({
      ...openR1Row(i, 40),
      question_type: 'math-word-problem',
      source: 'olympiads',
      generations: ['one', 'two', 'three'].map((word) => `<think>\n${word}\n</think>\n\nIt is \\boxed{${i}}.`),
      is_reasoning_complete: [true, true, true],
      finish_reasons: ['stop', 'stop', 'stop'],
      correctness_math_verify: [false, true, true],
      correctness_llama: null,
      ...edge,
    }))
    const path = join(directory, 'OpenR1-Math-220k/data/train-00000-of-00010.parquet')
    mkdirSync(dirname(path), { recursive: true })
    writeOpenR1(path, rows, options)
    const { summary, rows: kept, rejected } = await runRecipe('tinyr1-math', directory)
    expect(placesOf(kept)).toEqual(['openr1 0.1', 'openr1 5.2', 'openr1 9.1'])
    expect(messagesOf(kept)[1]).toEqual([
      {
        role: 'user',
        content: `${rows[5]?.problem}\n\nPlease reason step by step, and put your final answer within \\boxed{}.`,
      },
      { role: 'assistant', content: '<think>\nthree\n</think>\n\nIt is \\boxed{5}.' },
    ])
    expect(kept[0]).toMatchObject({ data_set: 'olympiads', type: 'math-word-problem', uuid: rows[0]?.uuid })
    expect(rejections(rejected)).toEqual([
      '7 map no-answers',
      '8 map missing-field',
      '1 question type question_type',
      '2 question type question_type',
      '3 source source',
      '4 right answer no-answer-fits',
      '6 right answer no-answer-fits',
    ])
    expect(funnelProblems(summary, rejected)).toEqual([])
  })

  test('tinyr1-coding takes programs that fit into 16,384 tokens', async () => {
    const directory = temporaryDirectory()
    const row = (more: object) => ({
      problem: 'Print the sum of two numbers.',
      deepseek_reasoning: 'I read both and add them.',
      deepseek_solution: '```python\nprint(int(input()) + int(input()))\n```',
      domain: 'code',
      source: 'taco',
      test_cases: '{"inputs": ["1\\n2\\n"], "outputs": ["3\\n"]}',
      ...more,
    })
    const rows = [
      row({}),
      row({ domain: 'math', test_cases: null }),
      row({ deepseek_reasoning: Array.from({ length: 17_000 }, (_, i) => i).join(' ') }),
      row({ deepseek_reasoning: null }),
      row({ deepseek_solution: null }),
      row({ problem: 'Print it twice.', starter_code: 'def f(x):' }),
      row({ domain: null }),
    ]
    writePublished(directory, 'OpenThoughts-114k/metadata/train-00000-of-00012.parquet', 'openThoughts', rows, options)
    const tokenizer = `\ntokenizer: ${writeModel()}\n`
    const { summary, rows: kept, rejected } = await runRecipe('tinyr1-coding', directory, tokenizer)
    expect(placesOf(kept)).toEqual(['openthoughts 0.0', 'openthoughts 5.0'])
    expect(messagesOf(kept)[0]).toEqual([
      { role: 'user', content: rows[0]?.problem },
      {
        role: 'assistant',
        content: `<think>\n${rows[0]?.deepseek_reasoning}\n</think>\n\n${rows[0]?.deepseek_solution}`,
      },
    ])
    expect(rejections(rejected)).toEqual([
      '4 map missing-field',
      '1 domain domain',
      '2 16k tokens length-whole',
      '3 16k tokens reasoning-missing',
      '6 domain domain',
    ])
    expect(funnelProblems(summary, rejected)).toEqual([])
  })

  test('tinyr1-science takes s1K, the science of OpenThoughts and of the pool of s1, each question once', async () => {
    const directory = temporaryDirectory()
    const s1k = (question: string, cot_type: string, deepseek_thinking_trajectory: string | null = 'I think.') => ({
      question,
      cot_type,
      solution: 'b',
      deepseek_thinking_trajectory,
      deepseek_attempt: `R1 on ${question}`,
    })
    const pool = (
      question: string,
      cot_type: string,
      thinking_trajectories: (string | null)[] | null = ['I think.'],
    ) => ({
      question,
      cot_type,
      thinking_trajectories,
      attempt: `Gemini on ${question}`,
    })
    const open = (problem: string, domain: string) => ({
      problem,
      domain,
      deepseek_reasoning: 'I think.',
      deepseek_solution: `R1 on ${problem}`,
      ground_truth_solution: 'c',
    })
    writePublished(
      directory,
      's1K-1.1/data/train-00000-of-00001.parquet',
      's1K11',
      [s1k('How hot is it?', 'science'), s1k('What is 1 + 1?', 'math'), s1k('Why?', 'science', null)],
      options,
    )
    writePublished(
      directory,
      'OpenThoughts-114k/metadata/train-00000-of-00012.parquet',
      'openThoughts',
      [open('Which gas is it?', 'science'), open('Sort a list.', 'code'), open('Which acid?', 'science')],
      options,
    )
    writePublished(
      directory,
      'data_ablation_full59K/data/train-00000-of-00019.parquet',
      's1Pool',
      [
        pool('How hot is it?', 'science'),
        pool('What heals?', 'health science'),
        pool('What is 2 + 2?', 'math'),
        pool('How far is it?', 'science'),
        pool('How wide is it?', 'science', null),
        pool('How long is it?', 'science', []),
        pool('How deep is it?', 'science', [null]),
      ],
      options,
    )
    const { summary, rows: kept, rejected } = await runRecipe('tinyr1-science', directory)
    expect(placesOf(kept)).toEqual([
      's1k 0.0',
      's1k 1.0',
      'openthoughts 0.0',
      'openthoughts 2.0',
      's1-pool 1.0',
      's1-pool 3.0',
    ])
    expect(messagesOf(kept)[0]?.[1]?.content).toBe('<think>\nI think.\n</think>\n\nR1 on How hot is it?')
    expect(rejected.map(({ source, row, step, reason }) => `${source} ${row} ${step} ${reason}`)).toEqual([
      's1-pool 5 map wrong-length',
      's1k 2 quality reasoning-missing',
      'openthoughts 1 science $or',
      's1-pool 0 duplicates duplicate',
      's1-pool 2 science $or',
      's1-pool 4 quality reasoning-missing',
      's1-pool 6 quality reasoning-missing',
    ])
    expect(funnelProblems(summary, rejected)).toEqual([])
  })
})
