import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { openCheckpoint } from '../../lib/checkpoint/openCheckpoint.js'
import { BranchMergeError } from '../../lib/errors.js'
import { fuse } from '../../lib/index.js'
import { native } from '../../lib/native/native.js'
import { badFiles } from '../corpus/badFiles.js'
import { badPairs, oddPairs } from '../corpus/badPairs.js'
import { oddFiles } from '../corpus/oddFiles.js'
import { readSafetensors, type TestTensor } from '../support/readSafetensors.js'
import { temporaryDirectory } from '../support/temporary.js'

// Most open in a millisecond; the header of 57 MB in less than a second.
const timeout = 20_000

describe('every bad file gets its code', () => {
  test.each(badFiles)('$name: $code', { timeout }, async ({ code, reader, write }) => {
    const path = await write(temporaryDirectory())
    const error = await openCheckpoint(path).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(BranchMergeError)
    const { code: received, message } = error as BranchMergeError
    expect(received).toBe(code)
    // It names the file (of an index's fault: the index or a shard), fits a terminal and cannot steer it.
    expect(message).toContain(reader === 'header' ? path : 'model')
    expect(message.length).toBeLessThan(path.length + 600)
    expect(message).toMatch(/^[^\p{Cc}]+$/u)
  })
})

describe('a bad file on either side of a fusion leaves no output', () => {
  const onePerCode = [...new Map(badFiles.map((item) => [item.code, item])).values()]

  test.each(onePerCode)('$code', { timeout }, async ({ code, reader, write }) => {
    const written = await write(temporaryDirectory())
    const bad = reader === 'header' ? dirname(written) : written
    const good = await goodPair()
    for (const [left, right] of [
      [good.left, bad],
      [bad, good.right],
    ] as const) {
      const parent = temporaryDirectory()
      await expect(fuse(left, right, { out: join(parent, 'out') })).rejects.toMatchObject({ code })
      expect(readdirSync(parent)).toEqual([])
    }
  })
})

function goodPair() {
  const pair = oddPairs.find(({ name }) => name === 'tensors in another order')
  if (!pair) throw new Error('Expected a good pair in the corpus')
  return pair.write(temporaryDirectory())
}

describe('pairs', () => {
  test.each(badPairs)('$name: $code', async ({ code, write }) => {
    const { left, right } = await write(temporaryDirectory())
    const parent = temporaryDirectory()
    await expect(fuse(left, right, { out: join(parent, 'out') })).rejects.toMatchObject({ code })
    expect(readdirSync(parent)).toEqual([])
  })

  test.each(oddPairs)('$name: fused', async ({ write, tensors }) => {
    const { left, right } = await write(temporaryDirectory())
    const out = join(temporaryDirectory(), 'out')
    await fuse(left, right, { out })
    const [fused, l, r] = [out, left, right].map((side) => readSafetensors(join(side, 'model.safetensors')))
    expect([...(fused?.keys() ?? [])].sort()).toEqual(tensors)
    for (const name of tensors) {
      const elements = (side: Map<string, TestTensor> | undefined) => elementsOf(side?.get(name))
      const choices = elements(l).map((element, i) => [element, elements(r)[i]])
      for (const [i, element] of elements(fused).entries()) expect(choices[i]).toContain(element)
    }
  })
})

/** Each element's bytes as text. */
function elementsOf(tensor: TestTensor | undefined): string[] {
  if (!tensor) throw new Error('Expected the tensor in all three files')
  const count = tensor.shape.reduce((product, size) => product * size, 1)
  const size = tensor.data.length / count
  return Array.from({ length: count }, (_, i) =>
    Buffer.from(tensor.data.subarray(i * size, (i + 1) * size)).toString('hex'),
  )
}

describe('odd files that are good', () => {
  test.each(oddFiles)('$name', async ({ tensors, write }) => {
    const { tensors: read } = await openCheckpoint(await write(temporaryDirectory()))
    expect(read.map(({ name }) => name)).toEqual(tensors)
  })
})

test('a pipe, a folder and a missing file are refused at once', { timeout }, async () => {
  const directory = temporaryDirectory()
  const pipe = join(directory, 'pipe.safetensors')
  const folder = join(directory, 'folder.safetensors')
  execFileSync('mkfifo', [pipe])
  mkdirSync(folder)
  await expect(openCheckpoint(pipe)).rejects.toMatchObject({ code: 'ERR_FILE_READ' })
  await expect(native.readHeader(pipe).promise).rejects.toMatchObject({ code: 'ERR_FILE_READ' })
  await expect(native.readHeader(folder).promise).rejects.toMatchObject({ code: 'ERR_FILE_READ' })
  const missing = native.readHeader(join(directory, 'missing.safetensors')).promise
  await expect(missing).rejects.toMatchObject({ code: 'ERR_CHECKPOINT_NOT_FOUND' })
})

describe('a crafted header costs little more memory than it is long', () => {
  test.each(['1e6 tensors without elements', 'header of 1e8 NULs in a sparse file'])(
    '%s',
    { timeout },
    async (name) => {
      const crafted = await badFiles.find((item) => item.name === name)?.write(temporaryDirectory())
      const ordinary = await oddFiles[0]?.write(temporaryDirectory())
      if (!crafted || !ordinary) throw new Error(`Expected ${name} in the corpus`)
      // The text has 57 and 100 MB; of the first, 262,144 entries are read before the cap.
      expect(peakMemory(crafted) - peakMemory(ordinary)).toBeLessThan(160e6)
    },
  )
})

/** Peak resident bytes of a process that opens this checkpoint. */
function peakMemory(path: string): number {
  const script = `
    import { openCheckpoint } from ${JSON.stringify(new URL('../../dist/index.js', import.meta.url))}
    await openCheckpoint(${JSON.stringify(path)}).catch(() => {})
    console.log(process.resourceUsage().maxRSS * 1024)`
  return Number(execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' }))
}
