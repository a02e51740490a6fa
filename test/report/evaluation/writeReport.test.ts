import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { analyse } from '../../../lib/evaluate/analysis/analyse.js'
import type { Transcript } from '../../../lib/evaluate/readOutcomes.js'
import { writeEvaluationReport } from '../../../lib/report/evaluation/writeReport.js'
import { benchmarkOf, outcomesOf, sampleResults } from '../../support/outcomes.js'
import { temporaryDirectory } from '../../support/temporary.js'
import { transcriptOf } from '../../support/transcripts.js'

const results = await sampleResults()
const names = [
  'lengths.svg',
  'questions.svg',
  'report.html',
  'results.json',
  'scores.csv',
  'scores.svg',
  'tables.md',
  'tables.tex',
]

/** What the page embeds. */
function embeddedIn(directory: string): {
  transcripts: { q: string; m: number; t: number; status: string; texts?: { text: string } }[]
} {
  const page = readFileSync(join(directory, 'report.html'), 'utf8')
  const [, json] = /<script type="application\/json" id="transcripts">([^<]*)<\/script>/.exec(page) ?? []
  return JSON.parse(json ?? '')
}

test('a report is eight files, and the same bytes from the same input', async () => {
  const [one, other] = [join(temporaryDirectory(), 'deep', 'report'), temporaryDirectory()]
  expect((await writeEvaluationReport(results, [], one)).sort()).toEqual(names.map((name) => join(one, name)))
  await writeEvaluationReport(results, [], other)
  expect(readdirSync(one).sort()).toEqual(names)
  for (const name of names) expect(readFileSync(join(one, name))).toEqual(readFileSync(join(other, name)))
  expect(JSON.parse(readFileSync(join(one, 'results.json'), 'utf8'))).toEqual(results)
})

test('an earlier report is replaced, with files that this one has not', async () => {
  const directory = temporaryDirectory()
  await writeEvaluationReport(results, [], directory)
  const uncounted = await analyse(outcomesOf('m', { a: '1' }, { tokens: null }), {
    models: ['m'],
    benchmarks: [benchmarkOf('aime24')],
  })
  await writeEvaluationReport(uncounted, [], directory)
  expect(readdirSync(directory).sort()).toEqual(names.filter((name) => name !== 'lengths.svg'))
})

test('files of others are left alone', async () => {
  const directory = temporaryDirectory()
  writeFileSync(join(directory, 'report.html'), 'mine')
  writeFileSync(join(directory, 'results.json'), '{"mine": true}')
  await expect(writeEvaluationReport(results, [], directory)).rejects.toMatchObject({ code: 'ERR_OUTPUT_EXISTS' })
  expect(readFileSync(join(directory, 'report.html'), 'utf8')).toBe('mine')
  await writeEvaluationReport(results, [], directory, { overwrite: true })
  expect(readdirSync(directory).sort()).toEqual(names)
})

test('a file that cannot be written leaves no part of it', async () => {
  const directory = temporaryDirectory()
  await writeEvaluationReport(results, [], directory)
  mkdirSync(join(directory, 'blocked'))
  await expect(writeEvaluationReport(results, [], join(directory, 'tables.md'))).rejects.toThrow('a directory')
  const blocked = temporaryDirectory()
  mkdirSync(join(blocked, 'results.json'))
  await expect(writeEvaluationReport(results, [], blocked, { overwrite: true })).rejects.toMatchObject({
    code: 'ERR_OUTPUT_WRITE',
  })
  expect(readdirSync(blocked)).toEqual(['results.json'])
})

test('an abort ends it before anything is written', async () => {
  const directory = temporaryDirectory()
  const reason = new Error('enough')
  const signal = AbortSignal.abort(reason)
  await expect(
    writeEvaluationReport(results, [transcriptOf(outcomesOf('base', { q0: '1' })[0] as never)], directory, { signal }),
  ).rejects.toBe(reason)
  expect(readdirSync(directory)).toEqual([])
})

test('a page holds as many transcripts as fit, those of changed questions first, and says so', async () => {
  const same = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`same${i}`, '1111']))
  const outcomes = [
    ...outcomesOf('base', { ...same, gained: '0001', lost: '1111' }),
    ...outcomesOf('merged', { ...same, gained: '1111', lost: '0000' }),
  ]
  const found = await analyse(outcomes, {
    models: ['base', 'merged'],
    benchmarks: [benchmarkOf('aime24')],
    baseline: 'base',
  })
  const transcripts = outcomes.map((outcome) => transcriptOf(outcome, { text: 'x'.repeat(1000) }))
  const directory = temporaryDirectory()
  await writeEvaluationReport(found, transcripts, directory, { transcriptBytes: 7000 })
  const kept = embeddedIn(directory).transcripts
  // One right and one wrong of base's "gained", one of each other pair, and one more.
  expect(kept.map(({ q, m }) => `${q} ${m}`)).toEqual(['gained 0', 'gained 0', 'gained 1', 'lost 0', 'lost 1'])
  expect(new Set(kept.slice(0, 2).map(({ status }) => status))).toEqual(new Set(['correct', 'wrong']))
  const page = readFileSync(join(directory, 'report.html'), 'utf8')
  expect(page).toContain('5 of 416 transcripts are here')
  await writeEvaluationReport(found, transcripts, directory)
  expect(embeddedIn(directory).transcripts.length).toBe(416)
  expect(readFileSync(join(directory, 'report.html'), 'utf8')).toContain('All 416 transcripts are here.')
})

test('100,000 transcripts are read one by one, and the page stays as large as its limit', async () => {
  const found = await analyse(outcomesOf('m', { a: '1' }), { models: ['m'], benchmarks: [benchmarkOf('aime24')] })
  const [outcome] = outcomesOf('m', { a: '1' })
  async function* many(): AsyncGenerator<Transcript> {
    for (let trial = 0; trial < 100_000; trial++) {
      if (trial % 1000 === 0) await Promise.resolve()
      yield transcriptOf(outcome as never, { trial, text: 'x'.repeat(5000) })
    }
  }
  const directory = temporaryDirectory()
  await writeEvaluationReport(found, many(), directory, { transcriptBytes: 1_000_000 })
  const size = readFileSync(join(directory, 'report.html')).length
  expect(size).toBeGreaterThan(900_000)
  expect(size).toBeLessThan(1_100_000)
})

test('a text longer than 200,000 characters loses its middle, and says how much', async () => {
  const found = await analyse(outcomesOf('m', { a: '1' }), { models: ['m'], benchmarks: [benchmarkOf('aime24')] })
  const [outcome] = outcomesOf('m', { a: '1' })
  const directory = temporaryDirectory()
  const text = `${'a'.repeat(150_000)}${'b'.repeat(150_000)}`
  await writeEvaluationReport(found, [transcriptOf(outcome as never, { text })], directory)
  expect(embeddedIn(directory).transcripts[0]?.texts?.text).toBe(
    `${'a'.repeat(100_000)}\n[100000 characters are left out here]\n${'b'.repeat(100_000)}`,
  )
})

test('texts of a confidential benchmark are not embedded', async () => {
  const [outcome] = outcomesOf('m', { a: '1' })
  const found = await analyse([outcome as never], {
    models: ['m'],
    benchmarks: [benchmarkOf('aime24', { confidential: true })],
  })
  const directory = temporaryDirectory()
  const secret = { prompt: 'SECRET', reasoning: 'SECRET', text: 'SECRET', reference: 'SECRET', extracted: 'SECRET' }
  const paths = await writeEvaluationReport(found, [transcriptOf(outcome as never, secret)], directory)
  expect(embeddedIn(directory).transcripts).toEqual([
    { b: 0, m: 0, q: 'a', t: 0, status: 'correct', rule: 'boxed', tokens: 1000 },
  ])
  for (const path of paths) expect(readFileSync(path, 'utf8')).not.toContain('SECRET')
})
