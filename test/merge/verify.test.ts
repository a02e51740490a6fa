import { cpSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { fuse, merge, reproduce, verify } from '../../lib/index.js'
import { fileNames, hashFiles, isPartial, stampFiles } from '../support/directoryContents.js'
import { writeExperts } from '../support/experts.js'
import { temporaryDirectory } from '../support/temporary.js'
import { fineTune, writeCheckpoint } from '../support/writeCheckpoint.js'

const expression = 'coding & (math & science)'

async function merged() {
  const directory = temporaryDirectory()
  const experts = writeExperts(directory)
  const out = join(directory, 'out')
  await merge(expression, { models: experts.paths, out, maxShardSize: '4KB', lambda: 2 })
  return { directory, out, ...experts }
}

function flipByte(path: string, position: number) {
  const bytes = readFileSync(path)
  bytes[position] = (bytes[position] as number) ^ 1
  writeFileSync(path, bytes)
}

describe('verify', () => {
  test('finds nothing wrong with what merge and fuse wrote, whatever the number of threads', async () => {
    const { directory, out, paths } = await merged()
    const stamps = stampFiles(out)
    for (const threads of [1, 2, 7]) expect((await verify(out, { threads })).problems).toEqual([])
    expect(stampFiles(out)).toEqual(stamps)
    const fused = join(directory, 'fused')
    await fuse(paths.math, paths.coding, { out: fused, dtype: 'F32' })
    expect(await verify(fused)).toMatchObject({ tensors: 26, sideFiles: 7, problems: [] })
  })

  test('names the tensor of which one bit has changed', async () => {
    const { out } = await merged()
    const file = fileNames(out).filter((name) => name.endsWith('.safetensors'))[1] as string
    flipByte(join(out, file), readFileSync(join(out, file)).length - 1)
    const { problems } = await verify(out)
    expect(problems).toEqual([expect.stringMatching(new RegExp(`^${file}: "model\\..*" is not what was written$`))])
  })

  test('names everything else that is not as it was', async () => {
    const { out } = await merged()
    const weights = fileNames(out).filter((name) => name.endsWith('.safetensors'))
    const [first, second, third] = weights as [string, string, string]
    truncateSync(join(out, first), 100)
    flipByte(join(out, second), 20)
    rmSync(join(out, third))
    rmSync(join(out, 'vocab.json'))
    writeFileSync(join(out, 'merges.txt'), '#version: 0.3\n')
    const text = (await verify(out)).problems.join('\n')
    for (const part of [first, third, 'vocab.json: Expected this file', 'merges.txt is not what was written']) {
      expect(text).toContain(part)
    }
    expect(text).toMatch(new RegExp(`${second}`))
  })

  test.each([
    ['no manifest', undefined, 'ERR_FILE_READ'],
    ['no JSON', '{', 'ERR_MANIFEST'],
    ['a list', '[]', 'ERR_MANIFEST'],
    ['the first format', '{"format":1}', 'ERR_MANIFEST'],
    ['parts missing', '{"format":2,"branchmerge":"0.1.0"}', 'ERR_MANIFEST'],
  ])('%s', async (_, text, code) => {
    const { out } = await merged()
    const path = join(out, 'branchmerge.json')
    if (text === undefined) rmSync(path)
    else writeFileSync(path, text)
    await expect(verify(out)).rejects.toMatchObject({ code })
  })

  test('a manifest that names files outside of its directory', async () => {
    const { out } = await merged()
    const path = join(out, 'branchmerge.json')
    writeFileSync(path, readFileSync(path, 'utf8').replace('"name": "vocab.json"', '"name": "../math/vocab.json"'))
    await expect(verify(out)).rejects.toMatchObject({ code: 'ERR_MANIFEST' })
  })
})

describe('reproduce', () => {
  test('makes the same bytes from the manifest alone, from copies of the inputs elsewhere', async () => {
    const { directory, out, paths } = await merged()
    const elsewhere = join(temporaryDirectory(), 'copies')
    const models = Object.fromEntries(Object.keys(paths).map((name) => [name, join(elsewhere, name)]))
    for (const [name, path] of Object.entries(paths)) cpSync(path, join(elsewhere, name), { recursive: true })
    const expected = hashFiles(out)
    for (const name of fileNames(out)) if (name !== 'branchmerge.json') rmSync(join(out, name))
    const again = join(directory, 'again')
    const summary = await reproduce(out, { models, out: again, threads: 1 })
    expect(hashFiles(again)).toEqual(expected)
    expect(summary.merges).toHaveLength(2)
  })

  test('goes on where it was cut off, within memory and on a device; done before, it compares', async () => {
    const { directory, out, paths } = await merged()
    const again = join(directory, 'again')
    const controller = new AbortController()
    const options = { models: paths, out: again, resume: true, memory: '1MB', device: 'cpu', threads: 1 } as const
    const cutOff = reproduce(out, {
      ...options,
      signal: controller.signal,
      onTensor: () => controller.abort(new Error('enough')),
    })
    await expect(cutOff).rejects.toThrow('enough')
    expect(fileNames(again).every((name) => isPartial(name))).toBe(true)
    expect(fileNames(again)).not.toEqual([])
    expect(await reproduce(out, options)).toMatchObject({ alreadyDone: false, deviceReason: 'asked for' })
    expect(hashFiles(again)).toEqual(hashFiles(out))
    expect(await reproduce(out, options)).toMatchObject({ alreadyDone: true, tensors: 26 })

    const manifest = JSON.parse(readFileSync(join(again, 'branchmerge.json'), 'utf8'))
    manifest.tensors['model.norm.weight'].hash = '0'.repeat(16)
    writeFileSync(join(again, 'branchmerge.json'), JSON.stringify(manifest))
    await expect(reproduce(out, options)).rejects.toMatchObject({ code: 'ERR_NOT_REPRODUCED' })
    for (const wrong of [{ memory: 8 }, { device: 'gpu' }, { resume: 'yes' }]) {
      const work = reproduce(out, { models: paths, out: again, ...(wrong as object) })
      await expect(work).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
    }
  })

  test.each(['out', 'out/.', 'out/again', '.', 'link'])('never writes where the original is: %s', async (place) => {
    const { directory, out, paths } = await merged()
    symlinkSync(out, join(directory, 'link'))
    const stamps = stampFiles(out)
    const work = reproduce(out, { models: paths, out: join(directory, place), overwrite: true })
    await expect(work).rejects.toMatchObject({
      code: 'ERR_OUTPUT_IS_INPUT',
      message: expect.stringContaining(`Expected an output outside of ${out}`),
    })
    expect(stampFiles(out)).toEqual(stamps)
  })

  test('of a fusion', async () => {
    const { directory, paths } = await merged()
    const [fused, again] = [join(directory, 'fused'), join(directory, 'again')]
    await fuse(paths.math, paths.coding, { out: fused, preset: 'paper', lambda: 0.5, dtype: 'F32' })
    await reproduce(fused, { models: { left: paths.math, right: paths.coding }, out: again })
    expect(hashFiles(again)).toEqual(hashFiles(fused))
  })

  test('refuses other inputs before it writes, by their headers', async () => {
    const { directory, out, paths, tensors } = await merged()
    writeCheckpoint(join(directory, 'other'), { tensors: tensors.science })
    const again = join(directory, 'again')
    const models = { ...paths, coding: join(directory, 'other') }
    await expect(reproduce(out, { models, out: again })).rejects.toMatchObject({
      code: 'ERR_NOT_REPRODUCED',
      message: expect.stringContaining('coding: Expected 2 files but'),
    })
    expect(fileNames(again)).toEqual([])
  })

  test('names the tensors of inputs with the same headers and other weights', async () => {
    const { directory, out, paths, tensors } = await merged()
    const other = new Map(tensors.science)
    const name = 'model.layers.1.mlp.up_proj.weight'
    other.set(name, fineTune(other, { seed: 8 }).get(name) as never)
    writeCheckpoint(paths.science, { tensors: other })
    await expect(reproduce(out, { models: paths, out: join(directory, 'again') })).rejects.toMatchObject({
      code: 'ERR_NOT_REPRODUCED',
      message: expect.stringContaining(`"${name}" of science is not what was merged`),
    })
  })
})
