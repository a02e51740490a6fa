import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { type BatchOptions, batch, type MergeOptions, merge, readRecipe } from '../../lib/index.js'
import { fileNames, hashFiles } from '../support/directoryContents.js'
import { writeExperts } from '../support/experts.js'
import { encode } from '../support/floats.js'
import type { TestTensor } from '../support/readSafetensors.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'
import { writeCheckpoint } from '../support/writeCheckpoint.js'
import { writeLargePair } from '../support/writeLargePair.js'

const models = 'models: { math: {}, science: {}, coding: {} }\n'
const sequence = `${models}expression: (math & science) & coding\n`
const pair = 'models: { math: {}, science: {} }\nexpression: math & science\n'

/** Models, and the files of recipes that are named as they are. */
function arrange(texts: Record<string, string>) {
  const directory = temporaryDirectory()
  const { paths, tensors } = writeExperts(directory)
  const files = Object.entries(texts).map(([name, text]) => {
    const file = join(directory, `${name}.yaml`)
    writeFileSync(file, text)
    return file
  })
  return { directory, paths, tensors, files, out: join(directory, 'batch'), names: Object.keys(texts) }
}

const lambdas = [0, 0.5, 1, 1.5, 2]
const sweep = Object.fromEntries(
  lambdas.map((lambda) => [`lambda-${lambda}`, `${pair}options: { lambda: ${lambda} }\n`]),
)

/** What the recipes give one by one. */
async function alone(
  { directory, paths, files, names }: ReturnType<typeof arrange>,
  options: Partial<MergeOptions> = {},
) {
  const results = new Map<string, { files: ReturnType<typeof hashFiles>; bytesRead: number }>()
  for (const [i, file] of files.entries()) {
    const recipe = await readRecipe(file)
    const used = Object.keys((recipe.value as { models: object }).models)
    const own = Object.fromEntries(Object.entries(paths).filter(([name]) => used.includes(name)))
    const out = join(directory, 'alone', names[i] as string)
    const { bytesRead } = await merge(recipe, { models: own, out, ...options })
    results.set(names[i] as string, { files: hashFiles(out), bytesRead })
  }
  return results
}

describe('recipes of the same models', () => {
  test('a sweep reads them once, and has the files of separate merges', async () => {
    const setting = arrange(sweep)
    const expected = await alone(setting)
    const results = await batch(setting.files, { models: setting.paths, out: setting.out })
    expect(results.map(({ status, pass }) => [status, pass])).toEqual(lambdas.map(() => ['done', 1]))
    const { bytesRead: once } = expected.get('lambda-0') as { bytesRead: number }
    expect(results.map(({ summary }) => summary?.bytesRead)).toEqual([once, 0, 0, 0, 0])
    for (const name of setting.names) {
      expect(hashFiles(join(setting.out, name))).toEqual(expected.get(name)?.files)
    }
    const kept = results.map(({ summary }) => summary?.merges[0]?.kept)
    expect(new Set(kept).size).toBe(lambdas.length)
    expect(results.every(({ summary }) => summary?.bytesWritten === results[0]?.summary?.bytesWritten)).toBe(true)
  })

  test('all orders, layouts, dtypes and methods in one pass', async () => {
    const setting = arrange({
      first: sequence,
      // Laid out as science: one file, across the three of math.
      second: `${models}expression: science & (coding & math)\n`,
      third: `${models}expression: coding & (math & science)\noutput: { maxShardSize: 5KB }\n`,
      fourth: `${models}expression: ties(math, science, coding; density=0.5)\noutput: { dtype: float32 }\n`,
      fifth: `${sequence}intermediate: float32\noptions: { preset: paper, gate: soft }\n`,
    })
    const expected = await alone(setting)
    const results = await batch(setting.files, { models: setting.paths, out: setting.out, threads: 3 })
    expect(results.map(({ status, pass }) => [status, pass])).toEqual(setting.names.map(() => ['done', 1]))
    expect(results.slice(1).map(({ summary }) => summary?.bytesRead)).toEqual([0, 0, 0, 0])
    for (const name of setting.names) {
      expect(hashFiles(join(setting.out, name))).toEqual(expected.get(name)?.files)
    }
  })

  test('memory that has no room for several outputs: one by one, with the same files', async () => {
    const setting = arrange(sweep)
    const expected = await alone(setting)
    const results = await batch(setting.files, { models: setting.paths, out: setting.out, memory: '1MB' })
    expect(results.map(({ pass }) => pass)).toEqual([1, 2, 3, 4, 5])
    expect(results.every(({ summary }) => summary?.bytesRead === results[0]?.summary?.bytesRead)).toBe(true)
    for (const name of setting.names) {
      expect(hashFiles(join(setting.out, name))).toEqual(expected.get(name)?.files)
    }
  })

  test('others wait for their turn: other models, the same output, a result that is merged again', async () => {
    const setting = arrange({
      first: sequence,
      pair,
      again: 'models: { first: batch/first, coding: {} }\nexpression: first & coding\n',
      last: `${sequence}options: { lambda: 2 }\n`,
    })
    const results = await batch(setting.files, { models: setting.paths, out: setting.out })
    expect(results.map(({ status, pass }) => [status, pass])).toEqual([
      ['done', 1],
      ['done', 2],
      ['done', 3],
      ['done', 1],
    ])
    const same = [setting.files[0], setting.files[0]] as string[]
    const twice = await batch(same, { models: setting.paths, out: join(setting.directory, 'twice') })
    expect(twice.map(({ status }) => status)).toEqual(['done', 'skipped'])
  })
})

describe('a recipe that fails', () => {
  /** One value of science is not finite: an error by default. */
  function withNan(setting: ReturnType<typeof arrange>) {
    const tensors = new Map(setting.tensors.science)
    const name = 'model.layers.1.mlp.up_proj.weight'
    const tensor = tensors.get(name) as TestTensor
    const data = tensor.data.slice()
    data.set(encode('BF16', [Number.NaN]), 64)
    writeCheckpoint(setting.paths.science, { tensors: tensors.set(name, { ...tensor, data }) })
    return setting
  }
  const nonFinite = (side: string) => `${sequence}options: { nonFinite: ${side} }\n`

  test.each([false, true])(
    'in the middle of a pass leaves the others as they would be without it (resume: %s)',
    async (resume) => {
      const setting = withNan(arrange({ left: nonFinite('left'), wrong: sequence, right: nonFinite('right') }))
      const good = { ...setting, files: [setting.files[0], setting.files[2]] as string[], names: ['left', 'right'] }
      const expected = await alone(good)
      const results = await batch(setting.files, { models: setting.paths, out: setting.out, resume })
      expect(results.map(({ status, error }) => [status, error?.code])).toEqual([
        ['done', undefined],
        ['failed', 'ERR_NON_FINITE'],
        ['done', undefined],
      ])
      for (const name of good.names) expect(hashFiles(join(setting.out, name))).toEqual(expected.get(name)?.files)
      // The rest is read once for both.
      const read = results.map(({ summary }) => summary?.bytesRead)
      expect(read.slice(1)).toEqual([undefined, 0])
      expect(read[0]).toBeLessThanOrEqual(expected.get('left')?.bytesRead as number)
      const left = existsSync(join(setting.out, 'wrong')) ? fileNames(join(setting.out, 'wrong')) : []
      expect(left.length > 0).toBe(resume)
    },
  )

  test('all of them', async () => {
    const setting = withNan(arrange({ one: sequence, two: `${sequence}options: { lambda: 2 }\n` }))
    const results = await batch(setting.files, { models: setting.paths, out: setting.out })
    expect(results.map(({ error }) => error?.code)).toEqual(['ERR_NON_FINITE', 'ERR_NON_FINITE'])
    expect(fileNames(setting.out)).toEqual([])
  })

  test('when its files get their names', async () => {
    const setting = arrange(sweep)
    const inTheWay = join(setting.out, 'lambda-1', 'config.json')
    const onTensor = () => mkdirSync(inTheWay, { recursive: true })
    const results = await batch(setting.files, { models: setting.paths, out: setting.out, onTensor })
    expect(results.map(({ error }) => error?.code)).toEqual([
      undefined,
      undefined,
      'ERR_OUTPUT_WRITE',
      undefined,
      undefined,
    ])
    expect(fileNames(join(setting.out, 'lambda-1'))).toEqual(['config.json'])
    expect(results.every(({ pass }) => pass === 1)).toBe(true)
  })
})

describe('batches', () => {
  const cutOff = async (files: string[], options: BatchOptions, tensors: number) => {
    let seen = 0
    const onTensor = () => {
      if (++seen === tensors) throw new Error('cut off')
    }
    await expect(batch(files, { ...options, onTensor })).rejects.toThrow('cut off')
  }

  test('that were cut off go on with the work of each recipe', async () => {
    const setting = arrange(sweep)
    const expected = await alone(setting, { maxShardSize: '3KB' })
    for (const tensors of [1, 70]) {
      const options = { models: setting.paths, out: setting.out, maxShardSize: '3KB', resume: true }
      await cutOff(setting.files, options, tensors)
      const results = await batch(setting.files, options)
      expect(results.map(({ status, pass }) => [status, pass])).toEqual(lambdas.map(() => ['done', 1]))
      for (const name of setting.names) {
        expect(hashFiles(join(setting.out, name))).toEqual(expected.get(name)?.files)
      }
      rmSync(setting.out, { recursive: true })
    }
  })

  test('that were cut off leave nothing without resume', async () => {
    const setting = arrange(sweep)
    await cutOff(setting.files, { models: setting.paths, out: setting.out }, 60)
    expect(existsSync(setting.out)).toBe(false)
  })

  test('killed, and taken up by the next', async () => {
    const directory = temporaryDirectory()
    const { left, right } = writeLargePair(directory, 6)
    const names = ['a', 'b', 'c']
    const files = names.map((name, i) => {
      const file = join(directory, `${name}.yaml`)
      writeFileSync(file, `models: { math: {}, science: {} }\nexpression: math & science\noptions: { lambda: ${i} }\n`)
      return file
    })
    const command = (out: string) => [
      ...['batch', ...files, '--model', `math=${left}`, '--model', `science=${right}`],
      ...['--out', join(directory, out), '--max-shard-size', '5MB', '--resume', '--json'],
    ]
    const whole = await runCommand(command('whole'))
    expect(JSON.parse(whole.stdout)).toMatchObject({ failed: 0 })
    const begun = () => fileNames(join(directory, 'killed', 'c')).filter((name) => name.startsWith('model-')).length
    for (const files of [1, 2, 3]) {
      const onStart = async (child: ChildProcess) => {
        while (begun() < files && child.exitCode === null) await setTimeout(5)
        child.kill('SIGKILL')
      }
      await runCommand(command('killed'), { onStart })
    }
    const { stdout, code } = await runCommand(command('killed'))
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ failed: 0 })
    for (const name of names) {
      expect(hashFiles(join(directory, 'killed', name))).toEqual(hashFiles(join(directory, 'whole', name)))
    }
  })

  test('run all, go on after a failure, and skip what is finished', async () => {
    const setting = arrange({
      first: sequence,
      wrong: `${models}expression: (math & scence) & coding\n`,
      second: 'models: { math: {}, coding: {} }\nexpression: math & coding\n',
    })
    const { paths, files, out } = setting
    const seen: string[] = []
    const run = () => batch(files, { models: paths, out, onRecipe: ({ status }) => seen.push(status) })
    const results = await run()
    expect(results.map(({ status, error }) => [status, error?.code])).toEqual([
      ['done', undefined],
      ['failed', 'ERR_RECIPE'],
      ['done', undefined],
    ])
    expect(seen).toEqual(['done', 'failed', 'done'])
    expect(results[2]?.summary?.models).toEqual(['math', 'coding'])
    const before = hashFiles(join(out, 'first'))
    expect((await run()).map(({ status }) => status)).toEqual(['skipped', 'failed', 'skipped'])
    expect(hashFiles(join(out, 'first'))).toEqual(before)

    // A changed recipe, changed inputs or a missing file are not finished; what is there is not overwritten unasked.
    writeFileSync(files[2] as string, `models: { math: {}, coding: {} }\nexpression: coding & math\n`)
    rmSync(join(out, 'first', 'vocab.json'))
    const third = await run()
    expect(third.map(({ error }) => error?.code)).toEqual(['ERR_OUTPUT_EXISTS', 'ERR_RECIPE', 'ERR_OUTPUT_EXISTS'])
    const again = async () => (await batch(files, { models: paths, out, overwrite: true })).map(({ status }) => status)
    expect(await again()).toEqual(['done', 'failed', 'done'])
    rmSync(paths.coding, { recursive: true })
    writeCheckpoint(paths.coding, { tensors: setting.tensors.coding })
    expect(await again()).toEqual(['done', 'failed', 'done'])
  })

  test('that write to one place are refused before any is run: one name in two directories, or one output.path', async () => {
    const { paths, out, directory } = arrange({})
    const told: unknown[] = []
    const run = (files: string[], options: BatchOptions) =>
      batch(files, { models: paths, onRecipe: (result) => told.push(result), ...options })
    const files = ['a', 'b'].map((name) => join(directory, name, 'recipe.yaml'))
    for (const [i, file] of files.entries()) {
      mkdirSync(dirname(file))
      writeFileSync(file, `${pair}options: { lambda: ${i} }\noutput: { path: ../merged }\n`)
    }
    for (const options of [{ out }, {}]) {
      await expect(run(files, { ...options, overwrite: true })).rejects.toMatchObject({
        code: 'ERR_INVALID_ARGUMENT',
        message: expect.stringContaining(`${files[0]} and ${files[1]} both write to`),
      })
    }
    expect([told, existsSync(out), existsSync(join(directory, 'merged'))]).toEqual([[], false, false])
  })

  test('end with an abort', async () => {
    const { paths, files, out } = arrange({ a: sequence })
    const signal = AbortSignal.abort(new Error('enough'))
    await expect(batch(files, { models: paths, out, signal })).rejects.toThrow('enough')
    await expect(batch([], {})).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  })

  test.each([{ threads: 0 }, { lambda: -1 }, { memory: 8 }, { device: 'gpu' }, { out: '' }, { thread: 2 }])(
    'an option that is wrong is refused once, before any recipe is read: %o',
    async (wrong) => {
      const told: unknown[] = []
      const work = batch(['a.yaml', 'b.yaml'], { onRecipe: (result) => told.push(result), ...(wrong as object) })
      await expect(work).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
      expect(told).toEqual([])
    },
  )

  test('an option that is no function', async () => {
    const work = batch(['a.yaml'], { onRecipe: 1 as never })
    await expect(work).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  })
})
