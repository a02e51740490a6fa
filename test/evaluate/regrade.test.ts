import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { openBenchmark } from '../../lib/evaluate/benchmarks/openBenchmark.js'
import type { RegradeProgress } from '../../lib/evaluate/regrade.js'
import { type Examination, runEvaluation } from '../../lib/evaluate/runEvaluation.js'
import { EvaluationStore } from '../../lib/evaluate/store/evaluationStore.js'
import { compare, regrade } from '../../lib/index.js'
import { crashEverywhere } from '../support/crashSteps.js'
import { temporaryDirectory } from '../support/temporary.js'
import { sampling, scriptedEngine } from './scriptedEngine.js'

/** Two benchmarks of whose answers half have no box, which the code of the paper's authors does not need. */
async function evaluated(): Promise<string> {
  const directory = temporaryDirectory()
  const examinations: Examination[] = []
  for (const name of ['aime24', 'aime25']) {
    const path = join(directory, `${name}.jsonl`)
    const rows = Array.from({ length: 6 }, (_, n) => ({ id: n, problem: `${n} + ${n}?`, answer: 2 * n }))
    writeFileSync(path, rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
    const spec = { name, path }
    const benchmark = await openBenchmark(spec)
    examinations.push({ benchmark, spec, trials: 2, limit: null, sampling })
  }
  const engine = scriptedEngine(({ prompt }) => {
    const n = Number.parseInt(prompt.messages?.[0]?.content ?? '', 10)
    return n % 2 === 0 ? `\\boxed{${2 * n}}` : `It is ${2 * n}.`
  })
  const contestants = [{ name: 'a', place: 'a', local: false, open: async () => engine }]
  const out = join(directory, 'results')
  const store = await EvaluationStore.open(out, false)
  const { signal } = new AbortController()
  await runEvaluation(
    { contestants, examinations, seed: 0, limits: {} },
    { store, programs: undefined, signal, stop: signal, onProgress: () => {} },
  )
  await store.close()
  return out
}

const scoresOf = async (directory: string) => {
  const { scores, benchmarks, provenance } = await compare(directory, { samples: 100 })
  return { scores, benchmarks, missing: provenance.missing }
}

test('a kill at any step leaves the old results or the new ones, and grading again ends with the new ones', async () => {
  const first = await evaluated()
  const old = await scoresOf(first)
  const regraded = join(temporaryDirectory(), 'results')
  cpSync(first, regraded, { recursive: true })
  await regrade(regraded, { profile: 'paper' })
  const now = await scoresOf(regraded)
  expect(old.scores.map(({ passAt1 }) => passAt1)).toEqual([0.5, 0.5])
  expect(now.scores.map(({ passAt1 }) => passAt1)).toEqual([1, 1])
  const out = join(temporaryDirectory(), 'results')
  const found: ('old' | 'new')[] = []
  await crashEverywhere({
    args: ['regrade', out, '--profile', 'paper'],
    out,
    prepare: () => {
      mkdirSync(out)
      cpSync(first, out, { recursive: true })
    },
    check: async () => {
      const here = await scoresOf(out)
      const isOld = here.scores[0]?.passAt1 === 0.5
      expect(here).toEqual(isOld ? old : now)
      found.push(isOld ? 'old' : 'new')
      const summary = await regrade(out, { profile: 'paper' })
      expect(summary).toMatchObject({ graded: 24, changed: isOld ? 12 : 0 })
      expect(await scoresOf(out)).toEqual(now)
      expect(readdirSync(out).sort()).toEqual(['answers.jsonl', 'evaluation.json', 'grades.jsonl'])
    },
  })
  expect(new Set(found)).toEqual(new Set(['old', 'new']))
  expect(await scoresOf(out)).toEqual(now)
})

test('grades of one profile take the place of those of another, back and forth', async () => {
  const out = await evaluated()
  const size = () => readFileSync(join(out, 'grades.jsonl'), 'utf8').split('\n').length - 1
  for (const profile of ['paper', 'strict'] as const) {
    const told: RegradeProgress[] = []
    const summary = await regrade(out, { profile, onProgress: (progress) => told.push(progress) })
    expect(summary).toMatchObject({ graded: 24, changed: 12 })
    expect(told.at(-1)).toMatchObject({ phase: 'grades', graded: 24, total: 24 })
    expect(size()).toBe(24)
    expect(existsSync(join(out, 'answers.jsonl'))).toBe(true)
  }
})
