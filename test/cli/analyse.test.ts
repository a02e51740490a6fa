import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { fileNames } from '../support/directoryContents.js'
import { writeExperts } from '../support/experts.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'
import { drawModel, writeCheckpoint } from '../support/writeCheckpoint.js'

/** A base and two experts of it. */
function setting() {
  const directory = temporaryDirectory()
  const base = writeCheckpoint(join(directory, 'base'), { tensors: drawModel() })
  const { math, science } = writeExperts(directory).paths
  const out = join(directory, 'out')
  return { directory, out, args: ['analyse', base, '--expert', `math=${math}`, '--expert', `science=${science}`] }
}

test('prints tables, writes files, and with --json one object that says the same', async () => {
  const { out, args } = setting()
  const { code, stdout, stderr } = await runCommand([...args, '--merged', args[3]?.slice(5) as string, '--out', out])
  expect([code, stderr]).toEqual([0, ''])
  for (const title of ['Changes', 'Alignment and sign conflicts', 'Overlap of supports', 'What survives the merge'])
    expect(stdout).toMatch(new RegExp(`^${title}$`, 'm'))
  expect(stdout).toMatch(/^math and science +−?0\.\d\d +\d\d\.\d % +[45]\d\.\d % +[45]\d\.\d %$/m)
  expect(stdout).toMatch(/^math +1\.00 +1\.00 +100\.0 % +0\.0 % +0\.0 %$/m)
  expect(stdout).toMatch(/^Compared 26 tensors: read [\d.]+ kB in /m)
  const json = await runCommand([...args, '--json'])
  const { results, files } = JSON.parse(json.stdout)
  expect(files).toEqual([])
  const written = JSON.parse(readFileSync(join(out, 'analysis.json'), 'utf8'))
  expect(results.total.pairs).toEqual(written.total.pairs)
})

test('--plan reads and writes nothing', async () => {
  const { directory, out, args } = setting()
  const { code, stdout } = await runCommand([...args, '--out', out, '--plan'])
  expect(code).toBe(0)
  expect(stdout).toMatch(/^memory +at most about /m)
  expect(stdout).toMatch(/^expert math +3 files /m)
  expect(fileNames(directory)).not.toContain('out')
  const json = await runCommand([...args, '--plan', '--json'])
  expect(JSON.parse(json.stdout)).toMatchObject({ tensors: 26, models: [{ role: 'base' }, {}, {}] })
})

test('wrong command lines exit with 2', async () => {
  const { args } = setting()
  const of = async (...more: string[]) => {
    const { code, stderr } = await runCommand([...args.slice(0, 2), ...more])
    return [code, stderr.split('\n')[0]]
  }
  expect(await of()).toEqual([2, expect.stringContaining('Expected experts or gradients to compare')])
  expect(await of('--expert', 'math')).toEqual([2, expect.stringContaining('Expected NAME=PATH for expert')])
  expect(await of('--expert', 'a=x', '--expert', 'a=y')).toEqual([
    2,
    expect.stringContaining('the name a once, not twice'),
  ])
})
