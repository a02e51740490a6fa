#!/usr/bin/env node
/**
 * End-to-end time of `branchmerge fuse` against the plain-copy floor of the same machine, cold and warm, in interleaved
 * rounds; its peak memory against the bound; the kernels against memory bandwidth. A table on standard output, everything
 * measured in bench/results/.
 *
 *   npm run bench -- [--dir build/bench] [--rounds 5] [--pair 2gb]
 */
import { closeSync, mkdirSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem } from 'node:os'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { makePair, PRESETS } from './makePair.js'
import { build, measureCommand, measureFloor, median, PROGRAMS, prepare, ROOT, shardsOf, table } from './measure.js'
import { runProcess } from './runProcess.js'

/**
 * @typedef {object} Bandwidth as memory_bandwidth prints it
 * @property {{ threads: number, readGigabytesPerSecond: number, copyGigabytesPerSecond: number }[]} memory
 *
 * @typedef {object} Kernels as kernels prints it: bytes of both inputs that one core gets through
 * @property {{ name: string, instructionSet: string, gigabytesPerSecond: number }[]} kernels
 *
 * @typedef {object} Round
 * @property {Inputs} inputs
 * @property {Floor} floor
 * @property {{ seconds: number, peakAnonymousBytes: number, summary: { bytesRead: number, bytesWritten: number } }} fuse
 * @property {number} ratio of the two times
 */

/** @param {string} path of a safetensors file */
function largestTensorBytes(path) {
  const descriptor = openSync(path, 'r')
  const read = (/** @type {number} */ bytes, /** @type {number} */ position) => {
    const buffer = Buffer.alloc(bytes)
    readSync(descriptor, buffer, 0, bytes, position)
    return buffer
  }
  const header = JSON.parse(read(Number(read(8, 0).readBigUInt64LE()), 8).toString())
  closeSync(descriptor)
  const { __metadata__: _, ...tensors } = header
  return Math.max(...Object.values(tensors).map(({ data_offsets: [begin, end] }) => end - begin))
}

/** @import { Floor, Inputs } from './measure.js' */

const MIB = 2 ** 20

/**
 * @param {Inputs} inputs
 * @param {{ left: string, right: string }} pair
 * @param {string} directory
 */
async function measureFuse(inputs, pair, directory) {
  await prepare(inputs, [pair.left, pair.right])
  const output = join(directory, 'merged')
  const result = await measureCommand(['fuse', pair.left, pair.right], output)
  rmSync(output, { recursive: true })
  return result
}

/**
 * Floor and fuse next to each other in time, in turn first, so that a machine that slows down slows both.
 * @param {number} rounds
 * @param {{ left: string, right: string }} pair
 * @param {string} directory
 */
async function measureRounds(rounds, pair, directory) {
  /** @type {Round[]} */
  const results = []
  for (let round = 0; round < rounds; round++) {
    for (const inputs of /** @type {const} */ (['cold', 'cold, memory touched', 'warm'])) {
      const early = round % 2 ? await measureFuse(inputs, pair, directory) : undefined
      const floor = await measureFloor(inputs, [pair.left, pair.right], directory)
      const fuse = early ?? (await measureFuse(inputs, pair, directory))
      results.push({ inputs, floor, fuse, ratio: fuse.seconds / floor.best.seconds })
      console.error(
        `round ${round + 1}, ${inputs}: floor ${floor.best.seconds.toFixed(2)} s, fuse ${fuse.seconds.toFixed(2)} s`,
      )
    }
  }
  return results
}

/**
 * @param {Round[]} rounds
 * @param {Inputs} inputs
 */
function summarise(rounds, inputs) {
  const chosen = rounds.filter((round) => round.inputs === inputs)
  const fuseSeconds = median(chosen.map(({ fuse }) => fuse.seconds))
  const bytes = chosen[0] ? chosen[0].fuse.summary.bytesRead + chosen[0].fuse.summary.bytesWritten : 0
  return {
    inputs,
    floorSeconds: median(chosen.map(({ floor }) => floor.best.seconds)),
    fuseSeconds,
    fuseGigabytesPerSecond: bytes / 1e9 / fuseSeconds,
    ratio: median(chosen.map(({ ratio }) => ratio)),
    lowestRatio: Math.min(...chosen.map(({ ratio }) => ratio)),
    highestRatio: Math.max(...chosen.map(({ ratio }) => ratio)),
  }
}

/** What a program of the benchmark prints. @param {string} name */
async function ask(name) {
  return JSON.parse((await runProcess(join(PROGRAMS, name), [])).stdout)
}

/**
 * @param {ReturnType<typeof summarise>[]} times
 * @param {{ peakAnonymousBytes: number, boundBytes: number }} memory
 * @param {Bandwidth} bandwidth
 * @param {Kernels} kernels
 */
function printTables(times, memory, bandwidth, kernels) {
  table(
    ['inputs', 'floor s', 'fuse s', 'fuse GB/s', 'fuse / floor (lowest to highest)'],
    times.map((row) => [
      row.inputs,
      row.floorSeconds.toFixed(2),
      row.fuseSeconds.toFixed(2),
      row.fuseGigabytesPerSecond.toFixed(2),
      `${row.ratio.toFixed(2)} (${row.lowestRatio.toFixed(2)} to ${row.highestRatio.toFixed(2)})`,
    ]),
  )
  const verdict = memory.peakAnonymousBytes <= memory.boundBytes ? 'within' : 'OVER'
  const mebibytes = (/** @type {number} */ bytes) => `${Math.round(bytes / MIB)} MiB`
  console.log(
    `Peak anonymous memory: ${mebibytes(memory.peakAnonymousBytes)}, ${verdict} three largest tensors plus 512 MiB`,
    `(${mebibytes(memory.boundBytes)})\n`,
  )
  table(
    ['memory, 2 MiB pages', 'read GB/s', 'copy GB/s'],
    bandwidth.memory.map((row) => [
      `${row.threads} thread${row.threads > 1 ? 's' : ''}`,
      row.readGigabytesPerSecond.toFixed(1),
      row.copyGigabytesPerSecond.toFixed(1),
    ]),
  )
  const read = bandwidth.memory[0]?.readGigabytesPerSecond ?? Number.NaN
  table(
    ['kernel, one core', 'instruction set', 'GB/s', 'of read bandwidth'],
    kernels.kernels.map((row) => [
      row.name,
      row.instructionSet,
      row.gigabytesPerSecond.toFixed(2),
      `${Math.round((100 * row.gigabytesPerSecond) / read)} %`,
    ]),
  )
}

async function main() {
  const { values } = parseArgs({
    options: {
      dir: { type: 'string', default: join(ROOT, 'build/bench') },
      rounds: { type: 'string', default: '5' },
      pair: { type: 'string', default: '2gb' },
    },
  })
  const rounds = Number(values.rounds)
  if (!Number.isInteger(rounds) || rounds < 1) {
    throw new Error(`Expected a positive integer for --rounds but received ${values.rounds}`)
  }
  await build()
  mkdirSync(values.dir, { recursive: true })
  const pair = await makePair(values.pair, join(values.dir, `pair-${values.pair}`))
  const results = await measureRounds(rounds, pair, values.dir)
  const times = [summarise(results, 'cold'), summarise(results, 'cold, memory touched'), summarise(results, 'warm')]
  const largestTensor = Math.max(...shardsOf(pair.left).map(largestTensorBytes))
  const memory = {
    peakAnonymousBytes: Math.max(...results.map(({ fuse }) => fuse.peakAnonymousBytes)),
    boundBytes: 3 * largestTensor + 512 * MIB,
  }
  const bandwidth = await ask('memory_bandwidth')
  const kernels = await ask('kernels')
  const cpu = cpus()[0]?.model.trim() ?? 'unknown'
  const machine = {
    cpu,
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
  }
  const date = new Date().toISOString().slice(0, 10)
  const described = { preset: values.pair, parameters: pair.parameters, ...PRESETS[values.pair] }
  const report = { date, machine, pair: described, times, memory, ...bandwidth, ...kernels, rounds: results }
  const path = join(ROOT, 'bench/results', `${date}-${cpu.toLowerCase().replace(/[^a-z0-9]+/g, '-')}.json`)
  mkdirSync(join(ROOT, 'bench/results'), { recursive: true })
  writeFileSync(path, `${JSON.stringify(report, null, 2)}\n`)
  printTables(times, memory, bandwidth, kernels)
  console.log(`All figures: ${relative(process.cwd(), path)}`)
}

main().catch((error) => {
  console.error(error.message)
  process.exitCode = 1
})
