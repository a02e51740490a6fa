#!/usr/bin/env node
/**
 * A sequence of three models, ((math & science) & coding): in one pass, against the floor of reading three and writing one,
 * and against two steps through an intermediate checkpoint. Interleaved rounds; a table on standard output, everything
 * measured in bench/results/.
 *
 *   node bench/sequence.js [--dir build/bench] [--rounds 3] [--pair 2gb]
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, release } from 'node:os'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { makePair } from './makePair.js'
import { build, measureCommand, measureFloor, median, prepare, ROOT, table } from './measure.js'

/** @import { Inputs } from './measure.js' */

/**
 * @param {Inputs} inputs
 * @param {string[]} models math, science, coding
 * @param {string} directory
 */
async function measureRound(inputs, models, directory) {
  const [math = '', science = '', coding = ''] = models
  const floor = await measureFloor(inputs, models, directory)
  const [merged, middle] = [join(directory, 'merged'), join(directory, 'middle')]

  await prepare(inputs, models)
  const named = ['--model', `math=${math}`, '--model', `science=${science}`, '--model', `coding=${coding}`]
  const onePass = await measureCommand(['merge', '((math & science) & coding)', ...named], merged)
  rmSync(merged, { recursive: true })

  await prepare(inputs, models)
  const first = await measureCommand(['fuse', math, science], middle)
  const second = await measureCommand(['fuse', middle, coding], merged)
  for (const output of [merged, middle]) rmSync(output, { recursive: true })
  return {
    inputs,
    floorSeconds: floor.best.seconds,
    onePassSeconds: onePass.seconds,
    twoStepSeconds: first.seconds + second.seconds,
    onePassPeakAnonymousBytes: onePass.peakAnonymousBytes,
  }
}

async function main() {
  const { values } = parseArgs({
    options: {
      dir: { type: 'string', default: join(ROOT, 'build/bench') },
      rounds: { type: 'string', default: '3' },
      pair: { type: 'string', default: '2gb' },
    },
  })
  await build()
  mkdirSync(values.dir, { recursive: true })
  const pair = await makePair(values.pair, join(values.dir, `pair-${values.pair}`))
  const other = await makePair(values.pair, join(values.dir, `third-${values.pair}`), { delta: 5e-4 })
  const models = [pair.left, pair.right, other.right]
  /** @type {Awaited<ReturnType<typeof measureRound>>[]} */
  const rounds = []
  for (let round = 0; round < Number(values.rounds); round++) {
    for (const inputs of /** @type {const} */ (['cold, memory touched', 'warm'])) {
      rounds.push(await measureRound(inputs, models, values.dir))
      console.error(JSON.stringify(rounds.at(-1)))
    }
  }
  const cpu = cpus()[0]?.model.trim() ?? 'unknown'
  const report = {
    date: new Date().toISOString().slice(0, 10),
    cpu,
    cores: availableParallelism(),
    kernel: release(),
    rounds,
  }
  const path = join(
    ROOT,
    'bench/results',
    `${report.date}-sequence-${cpu.toLowerCase().replace(/[^a-z0-9]+/g, '-')}.json`,
  )
  writeFileSync(path, `${JSON.stringify(report, null, 2)}\n`)
  table(
    ['inputs', 'floor s', 'one pass s', 'two steps s', 'one pass / floor', 'two steps / one pass'],
    ['cold, memory touched', 'warm'].map((inputs) => {
      const chosen = rounds.filter((round) => round.inputs === inputs)
      const of = (/** @type {(round: typeof rounds[number]) => number} */ value) => median(chosen.map(value)).toFixed(2)
      return [
        inputs,
        of(({ floorSeconds }) => floorSeconds),
        of(({ onePassSeconds }) => onePassSeconds),
        of(({ twoStepSeconds }) => twoStepSeconds),
        of(({ onePassSeconds, floorSeconds }) => onePassSeconds / floorSeconds),
        of(({ onePassSeconds, twoStepSeconds }) => twoStepSeconds / onePassSeconds),
      ]
    }),
  )
  console.log(`All figures: ${relative(process.cwd(), path)}`)
}

main().catch((error) => {
  console.error(error.message)
  process.exitCode = 1
})
