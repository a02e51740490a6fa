#!/usr/bin/env node
/**
 * The GPU's part of the benchmarks, without building (bench/gpu.sh builds and calls this): the golden cases and a whole
 * checkpoint on the device against the CPU's bytes; each kernel against the device's copy bandwidth, and a fusion against one
 * read of both sides and one write; the textbook method in PyTorch where there is one; end to end from the page cache. A
 * table on standard output, everything in bench/results/.
 *
 *   node bench/gpu.js [--dir build/bench] [--pair 2gb] [--rounds 3] [--device 0]
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, release } from 'node:os'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { makePair } from './makePair.js'
import { measureCommand, median, PROGRAMS, prepare, ROOT, table } from './measure.js'
import { runProcess } from './runProcess.js'

/**
 * @typedef {object} Measured
 * @property {string} name
 * @property {number} seconds
 * @property {number} bytes read and written
 *
 * @typedef {object} Shape as the program prints it
 * @property {number} rows
 * @property {number} columns
 * @property {number} copyBytesPerSecond
 * @property {number} floorSeconds of one read of both sides and one write
 * @property {Measured[]} fusions
 * @property {Measured[]} kernels
 *
 * @typedef {object} Kernels
 * @property {string} device
 * @property {Shape[]} shapes
 *
 * @typedef {object} Textbook as bench/textbook.py prints it
 * @property {{ rows: number, columns: number, bfloat16?: number, float32?: number, error?: string }[]} shapes
 */

/** Whether two output directories hold the same bytes. @param {string} a @param {string} b */
function sameFiles(a, b) {
  const names = readdirSync(a).sort()
  if (JSON.stringify(names) !== JSON.stringify(readdirSync(b).sort())) return false
  return names.every((name) => readFileSync(join(a, name)).equals(readFileSync(join(b, name))))
}

/**
 * @param {string} left
 * @param {string} right
 * @param {string[]} options
 * @param {{ directory: string, device: string }} where
 */
async function fuseBoth(left, right, options, { directory, device }) {
  const outputs = [join(directory, 'on-cpu'), join(directory, 'on-device')]
  for (const [i, on] of ['cpu', device].entries()) {
    const { summary } = await measureCommand(['fuse', left, right, ...options, '--device', on], outputs[i] ?? '')
    if (i === 1 && summary.device === 'cpu') throw new Error(`${left}: expected ${on} to fuse but the CPU did`)
  }
  const same = sameFiles(outputs[0] ?? '', outputs[1] ?? '')
  for (const output of outputs) rmSync(output, { recursive: true })
  return same
}

/** @param {{ directory: string, device: string }} where */
async function checkGolden(where) {
  const golden = join(ROOT, 'test/golden')
  const cases = readdirSync(golden, { withFileTypes: true }).filter((entry) => entry.isDirectory())
  const failed = []
  for (const { name } of cases) {
    const { options } = JSON.parse(readFileSync(join(golden, name, 'case.json'), 'utf8'))
    const given = Object.entries(options).map(([option, value]) => `--${option}=${value}`)
    const sides = ['left', 'right'].map((side) => join(golden, name, `${side}.safetensors`))
    if (!(await fuseBoth(sides[0] ?? '', sides[1] ?? '', given, where))) failed.push(name)
  }
  if (failed.length > 0) throw new Error(`Golden cases with other bytes than the CPU's: ${failed.join(', ')}`)
  return cases.length
}

/** @param {string} program @param {string[]} args */
async function runJson(program, args) {
  return JSON.parse((await runProcess(program, args)).stdout)
}

/**
 * Nothing where Python or PyTorch with a GPU is missing.
 * @param {string} tile
 * @param {Shape[]} shapes
 * @returns {Promise<Textbook | undefined>}
 */
async function measureTextbook(tile, shapes) {
  const hasTorch = await runProcess('python3', ['-c', 'import torch; assert torch.cuda.is_available()']).then(
    () => true,
    () => false,
  )
  if (!hasTorch) return undefined
  const sizes = shapes.flatMap(({ rows, columns }) => [String(rows), String(columns)])
  return await runJson('python3', [join(ROOT, 'bench/textbook.py'), tile, ...sizes])
}

/**
 * The CPU and the device in turn, from the page cache.
 * @param {{ left: string, right: string }} pair
 * @param {number} rounds
 * @param {{ directory: string, device: string }} where
 */
async function measureWhole(pair, rounds, { directory, device }) {
  /** @type {Record<string, number[]>} */
  const seconds = { cpu: [], [device]: [] }
  for (let round = 0; round < rounds; round++) {
    for (const on of Object.keys(seconds)) {
      await prepare('warm', [pair.left, pair.right])
      const output = join(directory, 'merged')
      const result = await measureCommand(['fuse', pair.left, pair.right, '--device', on], output)
      rmSync(output, { recursive: true })
      seconds[on]?.push(result.seconds)
    }
  }
  return seconds
}

const percent = (/** @type {number} */ share) => `${(100 * share).toFixed(0)} %`
const milliseconds = (/** @type {number} */ seconds) => (1000 * seconds).toFixed(3)

/** @param {Kernels} kernels @param {Textbook | undefined} textbook */
function printTables(kernels, textbook) {
  table(
    ['shape', 'kernel', 'ms', 'GB/s', 'of copy'],
    kernels.shapes.flatMap(({ rows, columns, copyBytesPerSecond, kernels }) =>
      kernels.map(({ name, seconds, bytes }) => [
        `${rows} × ${columns}`,
        name,
        milliseconds(seconds),
        (bytes / seconds / 1e9).toFixed(0),
        percent(bytes / seconds / copyBytesPerSecond),
      ]),
    ),
  )
  table(
    ['shape', 'fusion', 'ms', 'of the floor', 'textbook in bf16', 'in float32'],
    kernels.shapes.flatMap(({ rows, columns, floorSeconds, fusions }) => {
      const other = textbook?.shapes.find((shape) => shape.rows === rows && shape.columns === columns)
      const times = (/** @type {number | undefined} */ value, /** @type {number} */ seconds) =>
        value === undefined ? '-' : `${(value / seconds).toFixed(1)}×`
      return fusions.map(({ name, seconds }) => [
        `${rows} × ${columns}`,
        name,
        milliseconds(seconds),
        `${(seconds / floorSeconds).toFixed(2)}×`,
        name === 'arcee' ? times(other?.bfloat16, seconds) : '-',
        name === 'arcee' ? times(other?.float32, seconds) : '-',
      ])
    }),
  )
}

async function main() {
  const { values } = parseArgs({
    options: {
      dir: { type: 'string', default: join(ROOT, 'build/bench') },
      pair: { type: 'string', default: '2gb' },
      rounds: { type: 'string', default: '3' },
      device: { type: 'string', default: '0' },
    },
  })
  mkdirSync(values.dir, { recursive: true })
  const directory = mkdtempSync(join(values.dir, 'gpu-'))
  const where = { directory, device: `cuda:${values.device}` }
  try {
    const golden = await checkGolden(where)
    console.log(`${golden} golden cases: the CPU's bytes\n`)
    /** @type {Kernels} */
    const kernels = await runJson(join(PROGRAMS, 'gpu'), ['--device', values.device, '--tile', directory])
    const textbook = await measureTextbook(directory, kernels.shapes)
    printTables(kernels, textbook)

    const pair = await makePair(values.pair, join(values.dir, `pair-${values.pair}`))
    if (!(await fuseBoth(pair.left, pair.right, [], where))) throw new Error('The pair has other bytes on the device')
    const whole = await measureWhole(pair, Number(values.rounds), where)
    table(
      ['whole pair, from the page cache', 's'],
      Object.entries(whole).map(([on, seconds]) => [on, median(seconds).toFixed(2)]),
    )
    const date = new Date().toISOString().slice(0, 10)
    const name = kernels.device.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
    const path = join(ROOT, 'bench/results', `${date}-${name}-gpu.json`)
    const machine = { cpu: cpus()[0]?.model, cores: availableParallelism(), kernel: release() }
    const result = { date, machine, golden, pair: values.pair, kernels, textbook, whole }
    writeFileSync(path, `${JSON.stringify(result, null, 2)}\n`)
    console.log(`Everything is in ${relative(process.cwd(), path)}`)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

await main()
