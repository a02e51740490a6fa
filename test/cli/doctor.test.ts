import { copyFileSync, cpSync, mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { native } from '../../lib/native/native.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'

const root = fileURLToPath(new URL('../..', import.meta.url))

test('shows the build and the machine', async () => {
  const { code, stdout, stderr } = await runCommand(['doctor'])
  expect([code, stderr]).toEqual([0, ''])
  const { bestInstructionSet, compiler } = native.info()
  expect(stdout).toMatch(new RegExp(`^CPU kernels +${bestInstructionSet} \\(of scalar`, 'm'))
  expect(stdout).toMatch(/^native build +.*branchmerge.*\.node$/m)
  expect(stdout).toContain(compiler)
  for (const row of [
    'branchmerge',
    'Node',
    'platform',
    'io_uring',
    'CUDA',
    'trainer',
    'cores',
    'memory',
    'disk here',
  ]) {
    expect(stdout).toMatch(new RegExp(`^${row} `, 'm'))
  }
})

test('--json, and the kernels that the environment asks for', async () => {
  const { code, stdout } = await runCommand(['doctor', '--json'], { env: { BRANCHMERGE_INSTRUCTION_SET: 'scalar' } })
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({
    node: process.versions.node,
    native: { instructionSet: 'scalar', instructionSets: native.info().instructionSets },
    cores: expect.any(Number),
    freeDiskBytes: expect.any(Number),
  })
})

test('tells where the trainer is, or that there is none', async () => {
  const there = await runCommand(['doctor', '--json'], { env: { BRANCHMERGE_TRAINER: process.execPath } })
  expect(JSON.parse(there.stdout).trainer).toBe(process.execPath)
  const { code, stdout } = await runCommand(['doctor'], { env: { BRANCHMERGE_TRAINER: '/nowhere' } })
  expect([code, stdout]).toEqual([0, expect.stringMatching(/^trainer +not built/m)])
})

test('without a native build it explains what to do and exits with 1; fuse and --help do what they can', async () => {
  const bare = join(temporaryDirectory(), 'package')
  mkdirSync(bare)
  for (const name of ['dist', 'bin', 'package.json']) cpSync(join(root, name), join(bare, name), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(bare, 'node_modules'))
  const script = join(bare, 'bin', 'branchmerge.js')
  const run = (...args: string[]) => runCommand(args, { script })
  const doctor = await run('doctor')
  expect(doctor).toMatchObject({ code: 1, stderr: '' })
  expect(doctor.stdout).toMatch(/^native build +MISSING$/m)
  expect(doctor.stdout).toContain('npx cmake-js build')
  expect(JSON.parse((await run('doctor', '--json')).stdout).error).toContain('No working native build')
  expect(await run('fuse', '--help')).toMatchObject({ code: 0 })
  const fuse = await run('fuse', 'a', 'b', '--out', 'c', '--json')
  expect(fuse.code).toBe(1)
  expect(JSON.parse(fuse.stdout)).toMatchObject({ error: { code: 'ERR_NATIVE_MISSING' } })
})

describe('bin/branchmerge.js says what it lacks', () => {
  test('a build', async () => {
    const directory = temporaryDirectory()
    mkdirSync(join(directory, 'bin'))
    const script = join(directory, 'bin', 'branchmerge.mjs')
    copyFileSync(join(root, 'bin', 'branchmerge.js'), script)
    const { code, stdout, stderr } = await runCommand(['doctor'], { script })
    expect([code, stdout, stderr]).toEqual([1, '', expect.stringContaining('npm run build')])
  })

  test('a newer Node', async () => {
    const older = "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.18.3' } })"
    const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(older)}` }
    const { code, stdout, stderr } = await runCommand(['doctor'], { env })
    expect([code, stdout, stderr]).toEqual([1, '', 'branchmerge: Expected Node 20.19 or newer but this is 20.18.3\n'])
  })
})
