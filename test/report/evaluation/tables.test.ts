import { expect, test } from 'vitest'
import { analyse } from '../../../lib/evaluate/analysis/analyse.js'
import type { EvaluationResults } from '../../../lib/evaluate/analysis/results.js'
import { percent, points, pText, wholeText } from '../../../lib/report/evaluation/numbers.js'
import { evaluationCsv } from '../../../lib/report/evaluation/scoresCsv.js'
import { evaluationLatex } from '../../../lib/report/evaluation/tableLatex.js'
import { evaluationMarkdown } from '../../../lib/report/evaluation/tableMarkdown.js'
import { expertTable, generalTable, groupTables, mainTable } from '../../../lib/report/evaluation/tables.js'
import { evaluationText } from '../../../lib/report/evaluation/tableText.js'
import { benchmarkOf, outcomesOf, sampleResults } from '../../support/outcomes.js'

const results = await sampleResults()

/** Of models whose every question has the same trials. */
function resultsOf(trials: Record<string, string>): Promise<EvaluationResults> {
  const outcomes = Object.entries(trials).flatMap(([model, right]) =>
    outcomesOf(model, Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`q${i}`, right]))),
  )
  const models = Object.keys(trials)
  return analyse(outcomes, { models, benchmarks: [benchmarkOf('aime24')], baseline: models[0] })
}

const texts = (table: {
  groups: readonly { columns: readonly { header: string; cells: readonly { text: string }[] }[] }[]
}) =>
  Object.fromEntries(
    table.groups.flatMap(({ columns }) => columns.map(({ header, cells }) => [header, cells.map(({ text }) => text)])),
  )

test('the tables of a sample are as they were', async () => {
  await expect(evaluationText(results)).toMatchFileSnapshot('golden/tables.txt')
  await expect(evaluationMarkdown(results)).toMatchFileSnapshot('golden/tables.md')
  await expect(evaluationLatex(results)).toMatchFileSnapshot('golden/tables.tex')
  await expect(evaluationCsv(results)).toMatchFileSnapshot('golden/scores.csv')
})

test('numbers have one decimal, a sign where they are differences, and no −0', () => {
  expect([0.7812, 0, 1, -0.0001].map(percent)).toEqual(['78.1', '0.0', '100.0', '0.0'])
  expect([0.0551, -0.0551, 0.0001, -0.0001].map(points)).toEqual(['+5.5', '-5.5', '0.0', '0.0'])
  expect([0.00019, 0.0264, 1].map(pText)).toEqual(['<0.001', '0.026', '1.000'])
  expect([0, 999.5, 1234567].map(wholeText)).toEqual(['0', '1,000', '1,234,567'])
})

test('the main table has score, size, truncated share and the difference to the baseline', async () => {
  const table = mainTable(await resultsOf({ base: '0011', better: '1111' }))
  expect(table.groups.map(({ name }) => name)).toEqual(['aime24 (20 × 4)'])
  expect(texts(table)).toMatchObject({
    'Δ to base': ['-', expect.stringMatching(/^\+50\.0 \[/)],
    truncated: ['0.0', '0.0'],
  })
  expect(texts(table)['pass@1']?.[1]).toBe('100.0 [100.0, 100.0]')
})

test('the best is marked where its lead is more than chance, and only there', async () => {
  const best = async (trials: Record<string, string>) =>
    mainTable(await resultsOf(trials)).groups[0]?.columns[0]?.cells.map((cell) => cell.best ?? false)
  expect(await best({ a: '0001', b: '1111', c: '0011' })).toEqual([false, true, false])
  expect(await best({ a: '0001', b: '0011', c: '0011' })).toEqual([false, false, false])
  const text = await resultsOf({ a: '0001', b: '1111', c: '0011' })
  expect(evaluationText(text)).toContain('*100.0 [100.0, 100.0]')
  expect(evaluationMarkdown(text)).toContain('**100.0 \\[100.0, 100.0\\]**')
  expect(evaluationLatex(text)).toContain('\\textbf{100.0 {[}100.0, 100.0{]}}')
})

test('a difference whose interval holds 0 is marked as noise', async () => {
  const cells = texts(mainTable(await resultsOf({ a: '0011', b: '0111', c: '0011' })))['Δ to a']
  expect(cells?.[2]).toMatch(/^0\.0 \[-\d+\.\d, \d+\.\d\] noise$/)
})

test('sizes are a column where models differ', () => {
  const outcomes = [...outcomesOf('x', { a: '11', b: '01' }), ...outcomesOf('y', { a: '111', b: '01' })]
  return expect(
    analyse(outcomes, { models: ['x', 'y'], benchmarks: [benchmarkOf('aime24')] }).then((found) =>
      texts(mainTable(found)),
    ),
  ).resolves.toMatchObject({ n: ['2 × 2', '2 × 2–3'] })
})

test('the table of experts holds the merged model against each', () => {
  const table = expertTable(results)
  expect(table?.rows).toEqual(['math', 'code', 'merged'])
  expect(table && texts(table)['Δ of merged']?.at(-1)).toBe('-')
  const found = results.experts?.differences.find(
    ({ baseline, benchmark }) => baseline === 'math' && benchmark === 'bbh',
  )
  expect(found?.delta).toBeCloseTo(0.725 - 0.6, 12)
  expect(expertTable({ ...results, experts: null })).toBeUndefined()
})

test('the table of general ability has means of tasks, metrics and output tokens', () => {
  const table = generalTable(results)
  expect(table?.groups.map(({ name, columns }) => [name, columns.map(({ header }) => header)])).toEqual([
    ['bbh', ['pass@1', 'mean of tasks']],
    ['ifeval', ['pass@1', 'instruction strict', 'prompt loose']],
    ['output tokens, mean', ['aime24', 'bbh', 'ifeval']],
  ])
})

test('scores by label are tables of their own, unless the label tells questions apart', async () => {
  expect(groupTables(results).map(({ title, rows }) => [title, rows])).toEqual([
    ['bbh by task: pass@1 in %', ['navigate', 'snarks']],
  ])
  const outcomes = Array.from({ length: 101 }, (_, i) =>
    outcomesOf('m', { [`q${i}`]: '1' }, { labels: { address: `a${i}` } }),
  ).flat()
  const [table] = groupTables(await analyse(outcomes, { models: ['m'], benchmarks: [benchmarkOf('aime24')] }))
  expect(table).toMatchObject({ rows: [], notes: [expect.stringContaining('address has 101 values')] })
})

test('the footer has profiles, versions and seeds; files also have sampling, servers and files', () => {
  const [text, markdown] = [evaluationText(results), evaluationMarkdown(results)]
  for (const line of [
    'aime24: aime, profile strict, version 2',
    'bbh: 2 questions stand twice',
    '95 % intervals: two-level bootstrap over questions and trials, 10,000 samples, seed 0',
  ]) {
    expect(text.split('\n')).toContain(line)
    expect(markdown).toContain(line)
  }
  for (const line of [
    'sampling: temperature 0.6, topP 0.95, maxTokens 32768',
    'servers: base (http://localhost:8000/v1)',
    'files: aime.jsonl sha256 0123',
  ]) {
    expect(markdown).toContain(line)
    expect(text).not.toContain(line)
  }
})

test('models that answered different numbers of questions are named', async () => {
  const outcomes = [...outcomesOf('x', { a: '1', b: '0' }), ...outcomesOf('y', { a: '1' })]
  const found = await analyse(outcomes, { models: ['x', 'y'], benchmarks: [benchmarkOf('aime24')] })
  expect(evaluationText(found)).toContain('aime24: models answered different numbers of questions.')
})

test('names cannot rewrite the terminal or break a table', async () => {
  const hostile = '\u001b[2Jevil\u202e|*_`<b>&%$#{}~^\\\n"x",=1'
  const found = await resultsOf({ [hostile]: '01', other: '11' })
  const text = evaluationText(found)
  expect(text).toContain('\\u{1b}[2Jevil\\u{202e}')
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
  expect(text).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/)
  const rows = evaluationMarkdown(found)
    .split('\n')
    .filter((line) => line.startsWith('|'))
  expect(rows.find((row) => row.includes('evil'))).toContain('evil\\\\u\\{202e\\}\\|\\*\\_\\`\\<b\\>\\&%$\\#')
  const latex = evaluationLatex(found)
  expect(evaluationLatex(await resultsOf({ 'model-7b': '01', other: '00' }))).toContain('model-7b & ')
  expect(latex).toContain('\\&\\%\\$\\#\\{\\}\\textasciitilde{}\\textasciicircum{}\\textbackslash{}')
  expect(evaluationCsv(found)).toContain(`"${hostile.replaceAll('"', '""')}",aime24`)
})
