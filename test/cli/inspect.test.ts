import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'
import { dealToShards, drawModel, safetensorsBytes, writeCheckpoint } from '../support/writeCheckpoint.js'

const tensors = drawModel({ dtype: 'F16' })
const sharded = () =>
  writeCheckpoint(join(temporaryDirectory(), 'model'), { tensors, shards: dealToShards(tensors, 2) })

test('lists tensors, files and totals', async () => {
  const { code, stdout, stderr } = await runCommand(['inspect', sharded()])
  expect([code, stderr]).toEqual([0, ''])
  expect(stdout).toMatch(/^model\.embed_tokens\.weight +F16 +\[96, 16\] +3\.07 kB +model-00001-of-00002\.safetensors$/m)
  expect(stdout).toMatch(/^model-00002-of-00002\.safetensors +13 tensors +\d/m)
  expect(stdout).toContain('26 tensors (26 F16), 7824 parameters, 15.6 kB')
  expect(stdout).not.toContain('Problem')
})

test('--json prints exactly one object', async () => {
  const { code, stdout } = await runCommand(['inspect', sharded(), '--json'])
  expect(code).toBe(0)
  const record = JSON.parse(stdout)
  expect(Object.keys(record)).toEqual(['layout', 'parameters', 'bytes', 'dtypes', 'files', 'tensors', 'problems'])
  expect(record).toMatchObject({ layout: 'sharded', dtypes: { F16: 26 }, problems: [] })
  expect(record.files[0]).toMatchObject({
    name: 'model-00001-of-00002.safetensors',
    tensors: 13,
    headerHash: expect.stringMatching(/^[0-9a-f]{16}$/),
    metadata: { format: 'pt' },
  })
  expect(record.tensors[0]).toEqual({
    name: 'model.embed_tokens.weight',
    dtype: 'F16',
    shape: [96, 16],
    elements: 1536,
    bytes: 3072,
    file: 'model-00001-of-00002.safetensors',
  })
})

test('problems are shown and are no failure', async () => {
  const directory = sharded()
  writeFileSync(join(directory, 'model.safetensors'), safetensorsBytes(tensors))
  const { code, stdout } = await runCommand(['inspect', directory])
  expect(code).toBe(0)
  expect(stdout).toContain('Problem: model.safetensors.index.json is ignored beside model.safetensors')
})

test('names from files cannot rearrange or control what the terminal shows', async () => {
  const path = join(temporaryDirectory(), 'odd.safetensors')
  const write = (name: string) =>
    writeFileSync(path, safetensorsBytes(new Map([[name, { dtype: 'U8', shape: [1], data: Uint8Array.of(1) }]])))
  write('a\u202eb')
  expect(await runCommand(['inspect', path])).toMatchObject({
    code: 0,
    stdout: expect.stringContaining('a\\u{202e}b '),
  })
  write('\x1b]0;owned\x07')
  const { code, stderr } = await runCommand(['inspect', path])
  expect(code).toBe(1)
  expect(stderr).not.toContain('\x1b')
})

test('a bad file is a failure', async () => {
  const path = join(temporaryDirectory(), 'bad.safetensors')
  writeFileSync(path, 'short')
  expect(await runCommand(['inspect', path])).toMatchObject({ code: 1, stdout: '' })
  const { stdout } = await runCommand(['inspect', path, '--json'])
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'ERR_HEADER_TOO_SMALL' } })
})
