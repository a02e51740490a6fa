import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { openR1Row, writeOpenR1 } from '../../bench/openR1.js'
import type { SelectionRecord } from '../../lib/select/funnel.js'
import { selectData } from '../../lib/select/run/selectData.js'
import type { Selection } from '../../lib/select/run/selection.js'
import { plainChatml, writeModel } from '../data/support.js'
import { crashEverywhere } from '../support/crashSteps.js'
import { parseXml } from '../support/parseXml.js'
import { preload, runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'
import { funnelProblems, jsonLines, type Rejected, rowsOf, writeLines } from './support.js'

const recipeText = `
# A comment.
sources:
  - path: data/*.parquet
    name: openr1
    join:
      extra: {path: extra.jsonl, on: uuid}
    map:
      question: problem
      answers: generations
      reference: answer
      labels: {complete: is_reasoning_complete, verified: correctness_math_verify}
steps:
  - where: {question_type: {not: [proof, MCQ]}}
  - choose: {where: {complete: true, verified: true}}
  - name: half
    size: {rows: 30, by: extra.group, each: 10}
keep: [source, extra.group]
seed: 3
`

/** A directory with a recipe and its data. */
function laidOut(rows = 120): string {
  const directory = temporaryDirectory()
  writeFileSync(join(directory, 'recipe.yaml'), recipeText)
  const path = join(directory, 'data')
  const all = Array.from({ length: rows }, (_, i) => openR1Row(i, 60))
  writeLines(
    directory,
    'extra.jsonl',
    all.map(({ uuid }, i) => ({ uuid, group: `g${i % 5}` })),
  )
  mkdirSync(path)
  // The glob has to find both, in the order of their names.
  for (const [name, part] of [
    ['a-00000.parquet', all.slice(0, 50)],
    ['a-00001.parquet', all.slice(50)],
  ] as const) {
    writeOpenR1(join(path, name), part, { groupRows: 20 })
  }
  return directory
}

const besides = ['.rejected.jsonl', '.selection.json', '.selection.svg']

/** Nothing, or a whole result with all that belongs to it. */
async function checkWhole(out: string): Promise<void> {
  if (!existsSync(out)) return
  const record = JSON.parse(readFileSync(`${out}.selection.json`, 'utf8')) as SelectionRecord
  expect(record.output.sha256).toBe(createHash('sha256').update(readFileSync(out)).digest('hex'))
  expect(await rowsOf(out)).toHaveLength(record.output.rows)
  const rejected = jsonLines(`${out}.rejected.jsonl`) as Rejected[]
  expect(funnelProblems({ ...record, rowsRead: 120 }, rejected)).toEqual([])
}

describe('the command', () => {
  test('writes the result, the rejected rows, the record and the drawing, and tells the funnel', async () => {
    const directory = laidOut()
    const { code, stdout, stderr } = await runCommand(['data', 'select', 'recipe.yaml', '--out', 'math.parquet'], {
      cwd: directory,
    })
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^step +rows +kept +share +answers +rejected\nread +120 +120 +100\.0 %/)
    expect(stdout).toMatch(/where +120 +80 +66\.7 % +\d+ +question_type 40\n/)
    expect(stdout).toMatch(/half +\d+ +30 .*not-drawn \d+\n/)
    expect(stdout).toMatch(/30 conversations of 120 rows in .*: math\.parquet \(.*\)\n/)
    await checkWhole(join(directory, 'math.parquet'))
    const record = JSON.parse(readFileSync(join(directory, 'math.parquet.selection.json'), 'utf8')) as SelectionRecord
    expect(record).toMatchObject({ format: 1, seed: 3, limit: null, recipe: { seed: 3 }, notes: [] })
    expect(record.inputs.map(({ of, file }) => [of, file])).toEqual([
      ['openr1', 'a-00000.parquet'],
      ['openr1', 'a-00001.parquet'],
      ['openr1.extra', 'extra.jsonl'],
    ])
    for (const { file, of, sha256, bytes } of record.inputs) {
      const content = readFileSync(join(directory, of === 'openr1' ? 'data' : '.', file))
      expect([bytes, sha256]).toEqual([content.length, createHash('sha256').update(content).digest('hex')])
    }
    const svg = readFileSync(join(directory, 'math.parquet.selection.svg'), 'utf8')
    expect(parseXml(svg)).toBeDefined()
    expect(svg).toContain('where: 80 of 120 rows stay, out are question_type 40')
    expect(readdirSync(directory).filter((name) => name.includes('partial'))).toEqual([])
  })

  test('--json gives the summary, --limit the first rows, --set and --seed stand for what the file says', async () => {
    const directory = laidOut()
    const args = ['data', 'select', 'recipe.yaml', '--out', 'a.jsonl', '--json', '--limit', '40', '--seed', '9']
    const { code, stdout } = await runCommand([...args, '--set', 'keep=[source]'], { cwd: directory })
    const summary = JSON.parse(stdout)
    expect([code, summary.rowsRead, summary.out]).toEqual([0, 40, 'a.jsonl'])
    const record = JSON.parse(readFileSync(join(directory, 'a.jsonl.selection.json'), 'utf8')) as SelectionRecord
    expect(record).toMatchObject({ seed: 9, limit: 40, recipe: { seed: 9, keep: ['source'] } })
    const [row] = await rowsOf(join(directory, 'a.jsonl'))
    expect(Object.keys(row as object)).toEqual(['messages', 'origin', 'reference', 'source'])
  })

  test('--plan says what the recipe is understood as, and writes nothing', async () => {
    const directory = laidOut()
    const args = ['data', 'select', 'recipe.yaml', '--out', 'a.parquet', '--plan']
    const before = readdirSync(directory)
    const { code, stdout } = await runCommand(args, { cwd: directory })
    expect(code).toBe(0)
    for (const text of [
      'openr1: 2 files',
      'joined: extra on uuid',
      '1 answer with complete, verified, first',
      'kept columns',
    ]) {
      expect(stdout).toContain(text)
    }
    const json = JSON.parse((await runCommand([...args, '--json'], { cwd: directory })).stdout)
    expect(json.sources[0].columns).toEqual(expect.arrayContaining(['problem', 'generations', 'uuid']))
    expect(json.sources[0].columns).not.toContain('messages')
    expect(readdirSync(directory)).toEqual(before)
  })

  test('its result is a source of a training as it is', async () => {
    const directory = laidOut()
    await runCommand(['data', 'select', 'recipe.yaml', '--out', 'math.parquet'], { cwd: directory })
    const model = writeModel({ template: plainChatml })
    const args = ['data', 'preview', '--model', model, '--data', 'math.parquet', '--json']
    const { code, stdout, stderr } = await runCommand(args, { cwd: directory })
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toContain('Problem ')
    expect(stdout).toContain('</think>')
  })

  // Again with more rows where it was done before the signal came.
  test('an interrupt leaves nothing', async () => {
    for (let rows = 4000; ; rows *= 2) {
      const directory = laidOut(rows)
      const before = readdirSync(directory)
      const { code, stderr } = await runCommand(['data', 'select', 'recipe.yaml', '--out', 'math.parquet'], {
        cwd: directory,
        onStart: async (child) => {
          while (child.exitCode === null && !readdirSync(directory).some((name) => name.includes('partial')))
            await sleep(2)
          child.kill('SIGINT')
        },
      })
      if (code === 0 && rows < 1e6) continue
      expect(code).toBe(130)
      expect(stderr).toContain('Interrupted by SIGINT; unfinished files were removed')
      expect(readdirSync(directory)).toEqual(before)
      break
    }
  })

  test.each([
    ['the result', 'math.parquet.', 600],
    ['the rejected rows', 'math.parquet.rejected', 100],
    ['the record', 'math.parquet.selection.json', 0],
    ['what waits for its draw', 'math.parquet.', 0],
  ])('a disk that is full for %s leaves nothing, and says so', async (_, prefix, space) => {
    const directory = laidOut()
    const before = readdirSync(directory)
    const { code, stderr } = await runCommand(['data', 'select', 'recipe.yaml', '--out', 'math.parquet'], {
      cwd: directory,
      env: {
        NODE_OPTIONS: preload('fullForSelection.js'),
        BRANCHMERGE_TEST_FULL: prefix,
        BRANCHMERGE_TEST_SPACE: String(space),
      },
    })
    expect(code).toBe(1)
    expect(stderr).toMatch(/Cannot write to .*math\.parquet.*ENOSPC.*\[ERR_DISK_FULL\]/)
    expect(readdirSync(directory)).toEqual(before)
  })

  test('a kill at any moment leaves no result or a whole one, and the next run cleans up', async () => {
    const source = laidOut()
    const out = join(source, 'out')
    const result = join(out, 'math.parquet')
    const recipe = join(source, 'recipe.yaml')
    const wholes: boolean[] = []
    await crashEverywhere({
      args: ['data', 'select', recipe, '--out', result],
      out,
      prepare: () => mkdirSync(out, { recursive: true }),
      check: async () => {
        wholes.push(existsSync(result))
        await checkWhole(result)
      },
    })
    expect(wholes).toContain(false)
    expect(readdirSync(out).sort()).toEqual(['math.parquet', ...besides.map((each) => `math.parquet${each}`)].sort())
  })
})

describe('what is refused', () => {
  const recipeOf = (path: string, more: Partial<Selection> = {}): Selection => ({
    sources: [{ path, map: { question: 'problem', answers: 'generations' } }],
    ...more,
  })
  const data = (): { directory: string; path: string } => {
    const directory = temporaryDirectory()
    const path = join(directory, 'a.parquet')
    writeOpenR1(path, [openR1Row(1, 20), openR1Row(2, 20)])
    return { directory, path }
  }

  test('a file that is there, unless it may be replaced; and an input in any case', async () => {
    const { directory, path } = data()
    const out = join(directory, 'out.jsonl')
    await selectData(recipeOf(path), { out })
    await expect(selectData(recipeOf(path), { out })).rejects.toMatchObject({ code: 'ERR_OUTPUT_EXISTS' })
    await selectData(recipeOf(path), { out, overwrite: true })
    rmSync(out)
    await expect(selectData(recipeOf(path), { out })).rejects.toThrow(/out\.jsonl\.rejected\.jsonl/)
    const again = { overwrite: true }
    await expect(selectData(recipeOf(path), { out: path, ...again })).rejects.toMatchObject({
      code: 'ERR_OUTPUT_IS_INPUT',
    })
    symlinkSync(path, join(directory, 'link.parquet'))
    const link = { out: join(directory, 'link.parquet'), ...again }
    await expect(selectData(recipeOf(path), link)).rejects.toMatchObject({ code: 'ERR_OUTPUT_IS_INPUT' })
    const csv = { out: join(directory, 'out.csv') }
    await expect(selectData(recipeOf(path), csv)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    expect(await rowsOf(path)).toHaveLength(2)
  })

  test('columns that no file has, each with who names it', async () => {
    const { directory, path } = data()
    const out = join(directory, 'out.jsonl')
    const wrongMap = { sources: [{ path, map: { question: 'question', answers: 'generation' } }] }
    await expect(selectData(wrongMap, { out })).rejects.toThrow(
      /Expected the columns question, generation of the source "a" in .*a\.parquet but it has problem, solution/,
    )
    const wrongStep = recipeOf(path, { steps: [{ name: 'kind', where: { question_typ: 'proof' } }] })
    await expect(selectData(wrongStep, { out })).rejects.toThrow(/column question_typ, which the step kind names/)
    const wrongKeep = recipeOf(path, { keep: ['sourc'] })
    await expect(selectData(wrongKeep, { out })).rejects.toThrow(/column sourc, which keep names/)
  })

  test('a selection of which nothing remains, with the reasons', async () => {
    const { directory, path } = data()
    const out = join(directory, 'out.jsonl')
    const recipe = recipeOf(path, { steps: [{ where: { source: 'nobody' } }] })
    await expect(selectData(recipe, { out })).rejects.toThrow(/none does\. Rejected were:\n {2}where: source 2$/)
    expect(readdirSync(directory)).toEqual(['a.parquet'])
  })

  test('everything that is wrong with a recipe, at once, each with its line', async () => {
    const directory = temporaryDirectory()
    const path = join(directory, 'recipe.yaml')
    const lines = [
      'sources:',
      '  - path: a.jsonl',
      '    map: {question: q}',
      '  - path: a.jsonl',
      '    map: {messages: m, reasoning: r, labels: [verdict]}',
      'steps:',
      '  - choose: {by: best, where: {nobody: true}}',
      '  - where: {a: {matches: "("}}',
      '  - {where: {a: 1}, size: 3}',
      '  - size: {rows: 3, by: g, shares: {a: 0.5}, counts: {a: 3, b: 1}}',
      '  - form: {prompt: "Think."}',
      'keep: [origin, x, x]',
    ]
    writeFileSync(path, lines.join('\n'))
    const error = await selectData(path, { out: join(directory, 'out.jsonl') }).catch((reason) => reason)
    expect(error.code).toBe('ERR_RECIPE')
    const found = [...(error.message as string).matchAll(/recipe\.yaml:(\d+):\d+: (.*)/g)].map(([, line, text]) => [
      Number(line),
      text,
    ])
    expect(found).toEqual([
      [3, 'Expected either messages, or question and answers'],
      [4, expect.stringContaining('Expected another name than "a"')],
      [5, expect.stringContaining('Expected reasoning only beside answers')],
      [5, expect.stringContaining('Expected another name than verdict')],
      [7, expect.stringContaining('Expected score')],
      [7, expect.stringContaining('Expected a label that map.labels names')],
      [8, expect.stringContaining('Expected a regular expression')],
      [9, expect.stringContaining('Expected one kind of step')],
      [10, expect.stringContaining('Expected shares and counts of at most 3 rows')],
      [10, expect.stringContaining('Expected a in shares or in counts')],
      [11, expect.stringContaining('Expected {question} in the prompt')],
      [12, expect.stringContaining('Expected another name than origin')],
      [12, expect.stringContaining('Expected another name than x')],
    ])
  })

  test.each([
    [{ sources: [] }, 'a list of sources for sources'],
    [{ sources: [{ path: 'a.jsonl' }] }, 'Expected the key map'],
    [
      { sources: [{ path: 'a.jsonl', map: { question: 'q', answers: 'a' } }], steps: [{ sice: 3 }] },
      'did you mean size?',
    ],
    [{ sources: [{ path: 'a.jsonl', map: { question: 'q', answer: 'a' } }] }, 'did you mean answers?'],
    [
      { sources: [{ path: 'a.jsonl', map: { question: 'q', answers: 'a' } }], steps: [{ size: 0 }] },
      'a number of rows',
    ],
    [
      { sources: [{ path: 'a.jsonl', map: { question: 'q', answers: 'a' } }], steps: [{ choose: { by: 'luck' } }] },
      'one of first',
    ],
  ])('%j is refused in words', async (recipe, words) => {
    await expect(selectData(recipe as unknown as Selection, { out: 'out.jsonl' })).rejects.toThrow(words)
  })
})

test('an abort leaves nothing, and the promise rejects with its reason', async () => {
  const directory = laidOut(2000)
  const before = readdirSync(directory)
  for (const phase of ['hash', 'join', 'select', 'write']) {
    const controller = new AbortController()
    const running = selectData(join(directory, 'recipe.yaml'), {
      out: join(directory, 'out.parquet'),
      signal: controller.signal,
      onProgress: (progress) => {
        if (progress.phase === phase) controller.abort(new Error(`in ${phase}`))
      },
    })
    await expect(running).rejects.toThrow(`in ${phase}`)
    expect(readdirSync(directory)).toEqual(before)
  }
})

test('100,000 rows pass, and memory does not grow with them', async () => {
  const directory = temporaryDirectory()
  const path = join(directory, 'a.jsonl')
  const text = 'word '.repeat(100)
  const line = (i: number) =>
    `${JSON.stringify({ q: `Question ${i}?`, a: [`<think>\n${text}${i}\n</think>\n\nNo.`, `<think>\n${text}\n</think>\n\n${i}`], ok: [false, i % 3 > 0], g: i % 7 })}\n`
  const parts: string[] = []
  for (let i = 0; i < 100_000; i++) parts.push(line(i))
  writeFileSync(path, parts.join(''))
  parts.length = 0
  const recipe: Selection = {
    sources: [{ path, map: { question: 'q', answers: 'a', labels: ['ok'] } }],
    steps: [{ choose: { where: { ok: true } } }, { size: { rows: 20_000, by: 'g', each: 10_000 } }],
    keep: ['g'],
  }
  writeFileSync(join(directory, 'recipe.json'), JSON.stringify(recipe))
  const { code, stdout } = await runCommand(
    ['data', 'select', join(directory, 'recipe.json'), '--out', join(directory, 'out.parquet'), '--json'],
    // 110 MB of JSON in objects would not fit.
    { env: { NODE_OPTIONS: '--max-old-space-size=96' } },
  )
  expect(code).toBe(0)
  const summary = JSON.parse(stdout)
  expect([summary.rowsRead, summary.rows]).toEqual([100_000, 20_000])
  expect(funnelProblems(summary, jsonLines(summary.rejected) as Rejected[])).toEqual([])
  const rows = await rowsOf(summary.out)
  const places = rows.map(({ origin }) => Number((origin as { row: bigint }).row))
  expect(places).toEqual([...new Set(places)].sort((a, b) => a - b))
})
