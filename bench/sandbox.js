#!/usr/bin/env node
/**
 * What it costs to run a program that nobody trusts: runs per second of a small program, by workers, and the time to open a sandbox;
 * beside them a plain python3 that runs the same program from a file.
 *
 *   npm run build && node bench/sandbox.js [--runs 300] [--workers 1,2]
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, release, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { openSandbox } from '../dist/sandbox/openSandbox.js'
import { median, table } from './measure.js'

const { values } = parseArgs({
  options: { runs: { type: 'string', default: '300' }, workers: { type: 'string', default: '' } },
})
const runs = Number(values.runs)
const workerCounts = values.workers ? values.workers.split(',').map(Number) : [1, availableParallelism()]

const code = 'import sys, heapq\nn, *x = map(int, sys.stdin.read().split())\nprint(sum(heapq.nsmallest(3, x)))\n'
const stdin = '5\n9 3 7 1 4\n'
const limits = { seconds: 10, memoryBytes: 2 ** 30, outputBytes: 2 ** 20 }

/** @param {() => unknown} work */
async function seconds(work) {
  const begin = performance.now()
  await work()
  return (performance.now() - begin) / 1000
}

console.log(`${cpus()[0]?.model}, ${availableParallelism()} cores, Linux ${release()}, Node ${process.version}\n`)

/** @type {number[]} */
const openings = []
for (let i = 0; i < 5; i++) {
  /** @type {import('../dist/sandbox/program.js').ProgramRunner | undefined} */
  let runner
  openings.push(
    await seconds(async () => {
      runner = await openSandbox({ workers: 1 })
    }),
  )
  await runner?.close()
}
const rows = [['open a sandbox', '', '', `${(1000 * median(openings)).toFixed(0)} ms`]]

const directory = mkdtempSync(join(tmpdir(), 'branchmerge-bench-'))
const file = join(directory, 'solution.py')
writeFileSync(file, code)
for (const workers of workerCounts) {
  const runner = await openSandbox({ workers })
  const inputs = Array.from({ length: Math.ceil(runs / workers) }, () => ({ stdin }))
  const program = { code }
  await Promise.all(Array.from({ length: workers }, () => runner.run(program, inputs.slice(0, 3), limits)))
  const time = await seconds(() =>
    Promise.all(Array.from({ length: workers }, () => runner.run(program, inputs, limits))),
  )
  const count = inputs.length * workers
  rows.push([
    `runs at level ${runner.level}`,
    String(workers),
    (count / time).toFixed(0),
    `${((1000 * time) / count).toFixed(1)} ms`,
  ])
  if (workers === workerCounts[0]) {
    const floor = await seconds(() => {
      for (let i = 0; i < inputs.length; i++) execFileSync(runner.python, ['-s', file], { input: stdin })
    })
    rows.push([
      'plain python3, no sandbox',
      '1',
      (inputs.length / floor).toFixed(0),
      `${((1000 * floor) / inputs.length).toFixed(1)} ms`,
    ])
  }
  await runner.close()
}
rmSync(directory, { recursive: true })
table(['what', 'workers', 'runs/s', 'each'], rows)
