import { readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type PartAttempt, PartDirectory } from '../../lib/merge/parts/partDirectory.js'
import type { MergePlan } from '../../lib/merge/plan/mergePlan.js'
import { noDevices } from '../../lib/native/devices.js'
import { temporaryDirectory } from '../support/temporary.js'
import { drawModel, safetensorsBytes } from '../support/writeCheckpoint.js'

const totals = {
  bytesRead: 1,
  bytesWritten: 2,
  seconds: 3,
  inputAccess: 'direct',
  outputAccess: 'direct',
  ...noDevices(''),
}
const outcome = {
  fingerprint: 'f',
  part: 2,
  parts: 3,
  request: { recipe: {}, models: { a: '/a' }, overwrite: false, card: true },
  outcome: { tensors: [], totals },
  sha256: {},
  inputs: [],
}
/** All that an attempt without earlier work needs of a plan. */
const planOf = (names: string[]) => ({ files: names.map((name) => ({ name })) }) as MergePlan

const weights = safetensorsBytes(drawModel())

async function newDirectory() {
  const directory = new PartDirectory(join(temporaryDirectory(), 'not', 'yet', 'there'))
  await directory.create()
  return directory
}

function fill(attempt: PartAttempt, names: string[]) {
  for (const name of names) writeFileSync(attempt.temporaryPath(name), weights)
}

async function finished(names: string[]) {
  const directory = await newDirectory()
  const attempt = await directory.begin(outcome, planOf(names))
  fill(attempt, names)
  return { directory, record: await attempt.complete(outcome) }
}

describe('PartDirectory', () => {
  test('many tasks may create it at once', async () => {
    const out = join(temporaryDirectory(), 'a', 'b')
    await Promise.all(Array.from({ length: 20 }, () => new PartDirectory(out).create()))
    expect(readdirSync(out)).toEqual(['.branchmerge-shards'])
  })

  test('a directory that cannot be is an error of the output', async () => {
    const out = join(temporaryDirectory(), 'file')
    writeFileSync(out, '')
    await expect(new PartDirectory(out).create()).rejects.toMatchObject({ code: 'ERR_OUTPUT_WRITE' })
  })

  test('a finished part has its files, a record of them, and nothing else', async () => {
    const { directory, record } = await finished(['a.safetensors', 'b.safetensors'])
    expect(readdirSync(directory.path).sort()).toEqual(['a.safetensors', 'b.safetensors', 'part-00002-of-00003.json'])
    expect(record.files.map(({ name, bytes }) => [name, bytes])).toEqual([
      ['a.safetensors', weights.length],
      ['b.safetensors', weights.length],
    ])
    expect(await directory.record(2, 3)).toEqual(record)
    expect(await directory.record(1, 3)).toBeUndefined()
    await directory.refuseOtherMerge('f', 3)
  })

  test('files that are missing, cut off or others are not held', async () => {
    const { directory, record } = await finished(['a.safetensors'])
    const [file] = record.files
    const path = directory.fileAt('a.safetensors')
    expect(await directory.holds(path, file!)).toBe(true)
    expect(await directory.holds(path, { ...file!, headerHash: '0000000000000000' })).toBe(false)
    expect(await directory.holds(directory.fileAt('b.safetensors'), file!)).toBe(false)
    truncateSync(path, weights.length - 1)
    expect(await directory.holds(path, file!)).toBe(false)
  })

  test('an attempt clears what a killed one left of its files, and no other', async () => {
    const directory = await newDirectory()
    const killed = await directory.begin(outcome, planOf(['a.safetensors']))
    const other = await directory.begin({ ...outcome, part: 1 }, planOf(['a.safetensors.b']))
    fill(killed, ['a.safetensors'])
    fill(other, ['a.safetensors.b'])
    await directory.begin(outcome, planOf(['a.safetensors']))
    expect(readdirSync(directory.path)).toEqual([basename(other.temporaryPath('a.safetensors.b'))])
  })

  test('one that was taken for dead cannot give a name to what its successor writes', async () => {
    const directory = await newDirectory()
    const late = await directory.begin(outcome, planOf(['a.safetensors']))
    fill(late, ['a.safetensors'])
    const successor = await directory.begin(outcome, planOf(['a.safetensors']))
    writeFileSync(successor.temporaryPath('a.safetensors'), 'half')
    await expect(late.complete(outcome)).rejects.toMatchObject({ code: 'ERR_CHECKPOINT_NOT_FOUND' })
    expect(await directory.records()).toEqual([])
    fill(successor, ['a.safetensors'])
    expect((await successor.complete(outcome)).files).toHaveLength(1)
  })

  test('another merge, another number of parts and unreadable records are refused', async () => {
    const { directory } = await finished(['a.safetensors'])
    const refusal = (what: string) => ({ code: 'ERR_PART_MISMATCH', message: expect.stringContaining(what) })
    await expect(directory.refuseOtherMerge('g', 3)).rejects.toMatchObject(
      refusal('part 2 of 3 there is of another merge'),
    )
    await expect(directory.refuseOtherMerge('f', 4)).rejects.toMatchObject(refusal('3 parts is there, not in 4'))
    const attempt = await directory.begin(outcome, planOf([]))
    await attempt.complete({ ...outcome, part: 1, fingerprint: 'g' })
    await expect(directory.records()).rejects.toMatchObject(refusal('part-00002-of-00003.json are of different merges'))
    const path = join(directory.path, 'part-00001-of-00003.json')
    writeFileSync(path, readFileSync(path, 'utf8').slice(0, -5))
    await expect(directory.records()).rejects.toMatchObject(refusal('part-00001-of-00003.json cannot be read'))
    writeFileSync(path, '{"format":0}')
    await expect(directory.records()).rejects.toMatchObject(refusal('of another version'))
  })
})
