/** What the benchmarks share: building, the floor, one measured run of the command, medians, tables. */
import { readdirSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runProcess } from './runProcess.js'

/**
 * Cold: not in the page cache. 'cold, memory touched': and the machine has just used as much memory as fuse will need. On a
 * virtual machine whose host takes unused memory back, that is the difference between 0.2 s and several seconds, which
 * the floor, with its 24 MB, never pays.
 * @typedef {'cold' | 'cold, memory touched' | 'warm'} Inputs
 *
 * @typedef {object} Floor as copy_floor prints it
 * @property {number} bytesRead
 * @property {number} bytesWritten
 * @property {{ name: string, seconds?: number, gigabytesPerSecond?: number, error?: string }[]} strategies
 * @property {{ name: string, seconds: number, gigabytesPerSecond: number }} best
 */

export const ROOT = fileURLToPath(new URL('..', import.meta.url))
export const PROGRAMS = join(ROOT, 'build/bench-programs')
export const MIB = 2 ** 20

/** @param {number[]} values */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}

/** The package, and the native programs of the benchmarks. */
export async function build() {
  await runProcess('npm', ['run', '--prefix', ROOT, 'build'])
  await runProcess('cmake', ['-S', ROOT, '-B', PROGRAMS, '-DBRANCHMERGE_BENCH=ON', '-DCMAKE_BUILD_TYPE=Release'])
  await runProcess('cmake', ['--build', PROGRAMS, '--parallel', String(availableParallelism())])
}

/** @param {string} directory */
export const shardsOf = (directory) =>
  readdirSync(directory)
    .filter((name) => name.endsWith('.safetensors'))
    .sort()
    .map((name) => join(directory, name))

/**
 * The fastest plain copy: reads all files of the models and writes the first one's bytes.
 * @param {Inputs} inputs
 * @param {string[]} models directories
 * @param {string} directory to write in
 * @returns {Promise<Floor>}
 */
export async function measureFloor(inputs, models, directory) {
  const output = join(directory, 'floor.out')
  const [first = [], ...others] = models.map(shardsOf)
  const files = [...first, '--', ...others.flat()]
  const { stdout } = await runProcess(join(PROGRAMS, 'copy_floor'), [
    inputs === 'warm' ? '--warm' : '--cold',
    output,
    ...files,
  ])
  rmSync(output)
  return JSON.parse(stdout)
}

/**
 * @param {Inputs} inputs
 * @param {string[]} models directories that the command reads
 */
export async function prepare(inputs, models) {
  await runProcess(join(PROGRAMS, 'copy_floor'), [
    inputs === 'warm' ? '--load' : '--evict',
    ...models.flatMap(shardsOf),
  ])
  if (inputs === 'cold, memory touched') await runProcess(join(PROGRAMS, 'memory_bandwidth'), ['--touch', '4'])
}

/**
 * One run of the command with `--json`; the output directory is removed before and after.
 * @param {string[]} command
 * @param {string} output
 */
export async function measureCommand(command, output) {
  rmSync(output, { recursive: true, force: true })
  const line = [join(ROOT, 'bin/branchmerge.js'), ...command, '--out', output, '--json']
  const { stdout, seconds, peakAnonymousBytes } = await runProcess(process.execPath, line)
  return { seconds, peakAnonymousBytes, summary: JSON.parse(stdout) }
}

/**
 * @param {string[]} header
 * @param {string[][]} rows
 */
export function table(header, rows) {
  const line = (/** @type {string[]} */ cells) => `| ${cells.join(' | ')} |`
  console.log([line(header), line(header.map(() => '---')), ...rows.map(line), ''].join('\n'))
}
