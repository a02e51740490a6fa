import { cpSync, existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { finishMerge, type MergeOptions, merge, mergePart } from '../../lib/index.js'
import { crashEverywhere } from '../support/crashSteps.js'
import { fileNames, hashFiles, looksComplete, stampFiles } from '../support/directoryContents.js'
import { type Experts, writeExperts } from '../support/experts.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'
import { safetensorsBytes } from '../support/writeCheckpoint.js'

const expression = '(math & science) & coding'

interface Split {
  experts: Experts
  directory: string
  out: string
  /** Options of every part. */
  options: Partial<MergeOptions>
  run: (part: number, parts: number, options?: Partial<MergeOptions>) => ReturnType<typeof mergePart>
  /** Names in the staging directory. */
  staged: () => string[]
}

/** Three models, and a split merge of them, by default into 5 files. */
function newSplit(options: Partial<MergeOptions> = { maxShardSize: '4KB' }): Split {
  const directory = temporaryDirectory()
  const experts = writeExperts(directory)
  const out = join(directory, 'out')
  const run: Split['run'] = (part, parts, more = {}) =>
    mergePart(expression, { models: experts.paths, out, ...options, ...more, part, parts })
  return { experts, directory, out, options, run, staged: () => fileNames(join(out, '.branchmerge-shards')) }
}

/** The merge without parts. */
async function mergeWhole({ experts, directory, options }: Split) {
  const out = join(directory, 'expected')
  const summary = await merge(expression, { models: experts.paths, ...options, out, overwrite: false })
  return { summary, hashes: hashFiles(out) }
}

const allParts = (parts: number) => Array.from({ length: parts }, (_, i) => i + 1)
const withoutTime = (summary: object) => ({ ...summary, seconds: 0 })

async function runAll({ run }: Split, parts: number) {
  for (const part of allParts(parts)) await run(part, parts)
}

describe('a merge in parts has the bytes of the merge in one', () => {
  test.each([1, 2, 3, 7])('%i parts, one after the other from the last, and at the same time', async (parts) => {
    const split = newSplit()
    const whole = await mergeWhole(split)
    for (const part of allParts(parts).reverse()) {
      expect(looksComplete(split.out)).toBe(false)
      expect(await split.run(part, parts)).toMatchObject({ part, parts, alreadyDone: false })
    }
    expect(withoutTime(await finishMerge(split.out))).toEqual(withoutTime(whole.summary))
    expect(hashFiles(split.out)).toEqual(whole.hashes)

    rmSync(split.out, { recursive: true })
    await Promise.all(allParts(parts).map((part) => split.run(part, parts)))
    await finishMerge(split.out)
    expect(hashFiles(split.out)).toEqual(whole.hashes)
  })

  test('every file is in one part, and parts beyond them have nothing to do', async () => {
    const split = newSplit()
    const summaries = await Promise.all(allParts(7).map((part) => split.run(part, 7)))
    expect(summaries.flatMap(({ files }) => files).sort()).toEqual(
      split.staged().filter((name) => name.endsWith('.safetensors')),
    )
    expect(summaries.map(({ files }) => files.length)).toEqual([1, 1, 1, 1, 1, 0, 0])
    expect(summaries[6]).toMatchObject({ filesOfAllParts: 5, tensors: 0, bytesRead: 0, bytesWritten: 0 })
  })

  test.each<[string, Partial<MergeOptions>]>([
    ['in the files of the first model', {}],
    ['in one file', { maxShardSize: '1GB' }],
    [
      'converted, with options and hashes of the inputs',
      { dtype: 'F32', lambda: 0.5, sha256: true, maxShardSize: '9KB' },
    ],
  ])('%s', async (_, options) => {
    const split = newSplit(options)
    const whole = await mergeWhole(split)
    await runAll(split, 2)
    await finishMerge(split.out)
    expect(hashFiles(split.out)).toEqual(whole.hashes)
  })

  test('by the command, in a recipe with rules and float32 between the steps', async () => {
    const split = newSplit()
    const recipe = join(split.directory, 'recipe.yaml')
    writeFileSync(
      recipe,
      [
        'models: { math: math, science: science, coding: coding }',
        'steps:',
        '  - { name: mid, expression: math & science }',
        '  - { name: last, expression: "ties(math, mid, coding; density=0.5)" }',
        'intermediate: float32',
        'rules: [{ match: "*.mlp.*", step: mid, options: { lambda: 3 } }]',
        'output: { maxShardSize: 4KB, path: out }',
      ].join('\n'),
    )
    const command = async (...args: string[]) => {
      const { code, stdout, stderr } = await runCommand([...args, '--json'])
      expect([code, stderr]).toEqual([0, ''])
      return JSON.parse(stdout)
    }
    const whole = await command('merge', recipe, '--out', join(split.directory, 'expected'))
    await Promise.all(allParts(3).map((part) => command('merge', recipe, '--shard', `${part}/3`, '--threads', '1')))
    expect(withoutTime(await command('finish', split.out))).toEqual(withoutTime(whole))
    expect(hashFiles(split.out)).toEqual(hashFiles(join(split.directory, 'expected')))
  })

  test('over an old checkpoint, which stays whole until then', async () => {
    const split = newSplit({ maxShardSize: '4KB', overwrite: true })
    const whole = await mergeWhole(split)
    const { math, coding } = split.experts.paths
    await merge('math & coding', {
      models: { math, coding } as Record<string, string>,
      out: split.out,
      maxShardSize: '3KB',
    })
    const old = stampFiles(split.out)
    await runAll(split, 2)
    const { '.branchmerge-shards': _, ...meanwhile } = stampFiles(split.out)
    expect(meanwhile).toEqual(old)
    await finishMerge(split.out)
    expect(hashFiles(split.out)).toEqual(whole.hashes)
  })
})

describe('a part', () => {
  test('that is done is left alone when it runs again', async () => {
    const split = newSplit()
    const staging = join(split.out, '.branchmerge-shards')
    const first = await split.run(1, 2)
    const stamps = stampFiles(staging)
    const again = await split.run(1, 2, { threads: 1 })
    expect(again).toMatchObject({ ...first, alreadyDone: true, bytesRead: 0, bytesWritten: 0, seconds: again.seconds })
    expect(stampFiles(staging)).toEqual(stamps)
  })

  test('whose file is damaged is done again', async () => {
    const split = newSplit()
    const whole = await mergeWhole(split)
    await runAll(split, 2)
    const file = join(split.out, '.branchmerge-shards', 'model-00001-of-00005.safetensors')
    truncateSync(file, 1000)
    await expect(finishMerge(split.out)).rejects.toMatchObject({
      code: 'ERR_PART_MISSING',
      message: expect.stringContaining('model-00001-of-00005.safetensors (part '),
    })
    expect(
      (await Promise.all([1, 2].map((part) => split.run(part, 2)))).map(({ alreadyDone }) => alreadyDone).sort(),
    ).toEqual([false, true])
    await finishMerge(split.out)
    expect(hashFiles(split.out)).toEqual(whole.hashes)
  })

  test('that fails leaves no record', async () => {
    const split = newSplit()
    const [name] = Object.keys(JSON.parse(readHeader(join(split.experts.paths.science, 'model.safetensors')))).slice(1)
    poison(join(split.experts.paths.science, 'model.safetensors'), name as string)
    const results = await Promise.allSettled(allParts(5).map((part) => split.run(part, 5)))
    const failed = results.flatMap((result, i) => (result.status === 'rejected' ? [i + 1] : []))
    expect(failed).toHaveLength(1)
    expect(split.staged()).not.toContain(`part-0000${failed}-of-00005.json`)
    await expect(finishMerge(split.out)).rejects.toMatchObject({
      code: 'ERR_PART_MISSING',
      message: expect.stringContaining(`that of part ${failed} is missing.`),
    })
    expect(looksComplete(split.out)).toBe(false)
  })

  test('crashes before any change to the file system, and is run again', async () => {
    const split = newSplit()
    const whole = await mergeWhole(split)
    const models = Object.entries(split.experts.paths).flatMap(([name, path]) => ['--model', `${name}=${path}`])
    const args = ['merge', expression, ...models, '--out', split.out, '--max-shard-size', '4KB', '--shard', '1/2']
    const prepared = join(split.directory, 'prepared')
    await split.run(2, 2)
    cpSync(split.out, prepared, { recursive: true })
    let resumed = 0
    // The part may be the first one, or not.
    for (const first of [true, false]) {
      const steps = await crashEverywhere({
        args,
        out: split.out,
        prepare: () => {
          if (!first) cpSync(prepared, split.out, { recursive: true })
        },
        check: async () => {
          expect(looksComplete(split.out)).toBe(false)
          const again = await split.run(1, 2)
          if (!again.alreadyDone && again.bytesRead === 0) resumed++
          await split.run(2, 2)
          expect(split.staged().filter((name) => !/\.safetensors$|^part-/.test(name))).toEqual([])
          await finishMerge(split.out)
          expect(hashFiles(split.out)).toEqual(whole.hashes)
        },
      })
      expect(steps).toBeGreaterThan(8)
    }
    // Killed after the last tensor was safe: none is merged again.
    expect(resumed).toBeGreaterThan(2)
  })

  test.each<[string, Record<string, unknown>, string]>([
    ['part 0', { part: 0, parts: 2 }, 'an integer from 1 to 2 for part'],
    ['part 3 of 2', { part: 3, parts: 2 }, 'an integer from 1 to 2 for part'],
    ['no number of parts', { part: 1 }, 'for parts but received undefined'],
    ['too many parts', { part: 1, parts: 10_001 }, 'an integer from 1 to 10000 for parts'],
  ])('%s is refused', async (_, shard, message) => {
    const { experts, out } = newSplit()
    await expect(mergePart(expression, { models: experts.paths, out, ...shard } as never)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringContaining(message),
    })
    expect(existsSync(out)).toBe(false)
  })
})

describe('parts that do not belong together', () => {
  const mismatch = (text: string) => ({ code: 'ERR_PART_MISMATCH', message: expect.stringContaining(text) })

  test('other options, another number of parts, another file of a model', async () => {
    const split = newSplit()
    await split.run(1, 2)
    await expect(split.run(2, 2, { lambda: 2 })).rejects.toMatchObject(
      mismatch('part 1 of 2 there is of another merge'),
    )
    await expect(split.run(2, 3)).rejects.toMatchObject(mismatch('a merge in 2 parts is there, not in 3'))
    await split.run(2, 2)
    const { paths, tensors } = split.experts
    writeFileSync(
      join(paths.science, 'model.safetensors'),
      safetensorsBytes(tensors.science, { format: 'pt', by: 'us' }),
    )
    await expect(split.run(2, 2)).rejects.toMatchObject(mismatch('or the headers of its inputs have changed since'))
    await expect(finishMerge(split.out)).rejects.toMatchObject(mismatch('the inputs have changed since'))
    expect(looksComplete(split.out)).toBe(false)
  })

  test('nothing there, or something else there', async () => {
    const split = newSplit()
    await expect(finishMerge(split.out)).rejects.toMatchObject({ code: 'ERR_PART_MISSING' })
    await split.run(1, 2)
    writeFileSync(join(split.out, 'notes.txt'), 'mine')
    await expect(split.run(2, 2)).rejects.toMatchObject({
      code: 'ERR_OUTPUT_EXISTS',
      message: expect.stringContaining('holds notes.txt. Choose another'),
    })
  })
})

describe('finish', () => {
  test('crashes before any change to the file system: no checkpoint or all of it, and it goes on', async () => {
    const split = newSplit()
    const whole = await mergeWhole(split)
    const prepared = join(split.directory, 'prepared')
    await runAll(split, 2)
    cpSync(split.out, prepared, { recursive: true })
    const states = new Set<string>()
    const steps = await crashEverywhere({
      args: ['finish', split.out],
      out: split.out,
      prepare: () => cpSync(prepared, split.out, { recursive: true }),
      check: async () => {
        states.add(looksComplete(split.out) ? 'complete' : 'incomplete')
        if (looksComplete(split.out)) expect(hashesBesideParts(split.out)).toEqual(whole.hashes)
        await finishMerge(split.out)
        expect(hashFiles(split.out)).toEqual(whole.hashes)
      },
    })
    expect(states).toEqual(new Set(['complete', 'incomplete']))
    expect(steps).toBeGreaterThan(30)
  })

  test('of what is finished says so, and clears up what a killed removal left', async () => {
    const split = newSplit()
    await runAll(split, 2)
    const staging = join(split.out, '.branchmerge-shards')
    const copy = join(split.directory, 'copy')
    cpSync(staging, copy, { recursive: true })
    const first = await finishMerge(split.out)
    expect(first.alreadyDone).toBe(false)
    const hashes = hashFiles(split.out)
    for (const rest of [undefined, `${staging}-finished`]) {
      if (rest) cpSync(copy, rest, { recursive: true })
      const nothing = {
        bytesRead: 0,
        bytesWritten: 0,
        alreadyDone: true,
        notes: [],
        deviceReason: 'it was merged before',
      }
      expect(await finishMerge(split.out)).toEqual({ ...first, ...nothing, seconds: expect.any(Number) })
      expect(hashFiles(split.out)).toEqual(hashes)
    }
    const { code, stdout } = await runCommand(['finish', split.out])
    expect([code, stdout]).toEqual([0, expect.stringContaining('is complete already')])
    rmSync(join(split.out, 'config.json'))
    await expect(finishMerge(split.out)).rejects.toMatchObject({ code: 'ERR_PART_MISSING' })
  })

  test('of one file, killed while it renames, goes on', async () => {
    const split = newSplit({ maxShardSize: '1GB' })
    await runAll(split, 2)
    const prepared = join(split.directory, 'prepared')
    cpSync(split.out, prepared, { recursive: true })
    await finishMerge(split.out)
    const hashes = hashFiles(split.out)
    // Side files come first, then the manifest, and the weights last.
    for (const names of [['config.json'], ['config.json', 'vocab.json', 'branchmerge.json']]) {
      const out = join(split.directory, names.join())
      cpSync(prepared, out, { recursive: true })
      for (const name of names) cpSync(join(split.out, name), join(out, name))
      await finishMerge(out)
      expect(hashFiles(out)).toEqual(hashes)
    }
  })

  test('that fails while it renames puts the parts back', async () => {
    const split = newSplit({ maxShardSize: '4KB', overwrite: true })
    const whole = await mergeWhole(split)
    await runAll(split, 2)
    const before = split.staged()
    mkdirSync(join(split.out, 'config.json'))
    await expect(finishMerge(split.out)).rejects.toMatchObject({ code: 'ERR_OUTPUT_WRITE' })
    expect(split.staged()).toEqual(before)
    expect(fileNames(split.out)).toEqual(['.branchmerge-shards', 'config.json'])
    rmdirSync(join(split.out, 'config.json'))
    await finishMerge(split.out)
    expect(hashFiles(split.out)).toEqual(whole.hashes)
  })

  test('refuses options that it does not have', async () => {
    const { out } = newSplit()
    await expect(finishMerge(out, { overwrite: true } as never)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  })
})

/** Without the staging directory that a killed `finish` left. */
function hashesBesideParts(directory: string): Record<string, string> {
  const copy = `${directory} without parts`
  cpSync(directory, copy, { recursive: true, filter: (path) => !/\.branchmerge-shards(-finished)?$/.test(path) })
  const hashes = hashFiles(copy)
  rmSync(copy, { recursive: true })
  return hashes
}

function readHeader(path: string): string {
  const bytes = readFileSync(path)
  return bytes.subarray(8, 8 + Number(bytes.readBigUInt64LE())).toString()
}

/** Makes a tensor of the file NaN. */
function poison(path: string, tensor: string) {
  const bytes = readFileSync(path)
  const start = 8 + Number(bytes.readBigUInt64LE())
  const [begin, end] = JSON.parse(readHeader(path))[tensor].data_offsets
  bytes.fill(0xff, start + begin, start + end)
  writeFileSync(path, bytes)
}
