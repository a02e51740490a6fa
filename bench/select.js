#!/usr/bin/env node
/**
 * A selection from files in the schema of OpenR1-Math-220k, and reading the same columns alone in the same run: seconds, rows a
 * second by step, and memory. The files are made first: 225,000 rows take minutes and 2 GB.
 *
 *   npm run build && node bench/select.js [--rows 20000] [--characters 7000] [--repeats 3] [--directory DIR]
 */
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { readRows } from '../dist/data/readRows.js'
import { listSourceFiles } from '../dist/data/sourceFiles.js'
import { median, ROOT, table } from './measure.js'
import { openR1Row, writeOpenR1 } from './openR1.js'
import { runProcess } from './runProcess.js'

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '20000' },
    characters: { type: 'string', default: '7000' },
    repeats: { type: 'string', default: '3' },
    /** Where the files stay; without it they go at the end. */
    directory: { type: 'string' },
    /** Reads the files of this directory and nothing else. */
    read: { type: 'string' },
  },
})

const columns = [
  'problem',
  'generations',
  'answer',
  'is_reasoning_complete',
  'correctness_math_verify',
  'correctness_llama',
]
const further = ['finish_reasons', 'question_type', 'source', 'uuid']

/** @param {string} directory */
async function readAlone(directory) {
  let [rows, characters] = [0, 0]
  for (const file of await listSourceFiles([directory])) {
    for await (const portion of readRows(file, [...columns, ...further])) {
      rows += portion.length
      for (const { value } of portion) {
        const { generations } = /** @type {{ generations: string[] }} */ (value)
        for (const text of generations) characters += text.length
      }
    }
  }
  console.log(JSON.stringify({ rows, characters }))
}

const fileRows = 22_500

/** @param {string} directory */
function makeFiles(directory) {
  const count = Number(values.rows)
  for (let first = 0; first < count; first += fileRows) {
    const path = join(directory, `train-${String(first / fileRows).padStart(5, '0')}.parquet`)
    if (existsSync(path)) continue
    const rows = Array.from({ length: Math.min(fileRows, count - first) }, (_, i) => first + i)
    writeOpenR1(path, lazily(rows))
  }
}

/** @param {number[]} numbers */
function* lazily(numbers) {
  for (const i of numbers) yield openR1Row(i, Number(values.characters))
}

/** @param {string} path */
const recipe = (path) => ({
  sources: [
    {
      path: join(path, '*.parquet'),
      name: 'openr1',
      map: {
        question: 'problem',
        answers: 'generations',
        reference: 'answer',
        finish: 'finish_reasons',
        labels: {
          complete: 'is_reasoning_complete',
          verified: 'correctness_math_verify',
          judged: 'correctness_llama',
        },
      },
    },
  ],
  steps: [
    { where: { question_type: { not: ['proof', 'MCQ'] } } },
    { choose: { where: { complete: true, $or: [{ verified: true }, { judged: true }] } } },
    { form: { prompt: '{question}\n\nPlease reason step by step, and put your final answer within \\boxed{}.' } },
    { size: { rows: Math.floor(Number(values.rows) * 0.5), by: 'source', shares: { olympiads: 0.2 } } },
  ],
  keep: { data_set: 'source', uuid: 'uuid' },
})

async function compare() {
  const work = values.directory ?? mkdtempSync(join(tmpdir(), 'branchmerge-bench-'))
  const out = mkdtempSync(join(tmpdir(), 'branchmerge-bench-'))
  makeFiles(work)
  const bytes = readdirSync(work).reduce((sum, name) => sum + statSync(join(work, name)).size, 0)
  const rows = Number(values.rows)
  writeFileSync(join(out, 'recipe.json'), JSON.stringify(recipe(work)))
  const node = process.execPath
  const command = [
    'data',
    'select',
    join(out, 'recipe.json'),
    '--out',
    join(out, 'out.parquet'),
    '--overwrite',
    '--json',
  ]
  /** @type {Awaited<ReturnType<typeof runProcess>>[]} */
  const reads = []
  /** @type {typeof reads} */
  const selections = []
  for (let i = 0; i < Number(values.repeats); i++) {
    reads.push(await runProcess(node, [fileURLToPath(import.meta.url), '--read', work]))
    selections.push(await runProcess(node, [join(ROOT, 'bin/branchmerge.js'), ...command]))
  }
  console.log(`${cpus()[0]?.model}, ${availableParallelism()} cores, Linux ${release()}, Node ${process.version}`)
  console.log(`${rows} rows, ${(bytes / 1e9).toFixed(2)} GB of Parquet\n`)
  /** @param {string} name @param {typeof reads} runs */
  const line = (name, runs) => {
    const seconds = median(runs.map((run) => run.seconds))
    const peak = Math.max(...runs.map(({ peakAnonymousBytes }) => peakAnonymousBytes))
    return [name, seconds.toFixed(1), String(Math.round(rows / seconds)), (peak / 1e6).toFixed(0)]
  }
  table(['', 'seconds', 'rows/s', 'MB of memory'], [line('reading alone', reads), line('the selection', selections)])
  const { funnel, secondsOfSteps } = JSON.parse(selections.at(-1)?.stdout ?? '')
  /** @param {{ name: string, rowsIn: number, rowsKept: number }} step @param {number} i */
  const stepLine = ({ name, rowsIn, rowsKept }, i) => {
    const seconds = secondsOfSteps[i]
    return [
      name,
      String(rowsIn),
      String(rowsKept),
      seconds > 0 ? seconds.toFixed(2) : '',
      seconds > 0 ? String(Math.round(rowsIn / seconds)) : '',
    ]
  }
  table(['step', 'rows', 'kept', 'seconds', 'rows/s'], funnel.map(stepLine))
  rmSync(out, { recursive: true })
  if (values.directory === undefined) rmSync(work, { recursive: true })
}

await (values.read === undefined ? compare() : readAlone(values.read))
