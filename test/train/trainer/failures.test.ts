import { execFile } from 'node:child_process'
import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { buildFaults, faults } from '../../support/faults.js'
import { temporaryDirectory } from '../../support/temporary.js'
import {
  drawDocuments,
  packEvery,
  type RunFields,
  snapshotsOf,
  type TrainerEvent,
  tinyRun,
  tinySize,
  train,
  trainerPath,
  writeData,
  writeModel,
} from '../../support/trainer.js'
import type { Tensors } from '../../support/writeCheckpoint.js'

let directory: string
let run: RunFields

beforeAll(buildFaults)

beforeEach(() => {
  directory = temporaryDirectory()
  run = tinyRun(directory, packEvery(drawDocuments(32), 2))
})

const eventsOf = (events: TrainerEvent[], name: string) => events.filter(({ event }) => event === name)

/** The embedding of one token becomes infinite: whoever meets it has no finite loss. */
const spoil = (token: number) => (tensors: Tensors) => {
  const embedding = tensors.get('model.embed_tokens.weight') as { data: Uint8Array }
  const values = new Float32Array(embedding.data.buffer)
  values[token * tinySize.hidden] = Number.POSITIVE_INFINITY
}

describe('the command line', () => {
  const call = async (...line: string[]) => {
    const work = promisify(execFile)(trainerPath, line)
    return await work.then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      ({ code, stdout, stderr }) => ({ code, stdout, stderr }),
    )
  }

  test.each(['--help', '-h'])('%s prints the usage', async (option) => {
    const { code, stdout, stderr } = await call(option)
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^Usage: branchmerge-trainer RUN\.json \[--plan\] \[--attached\]\n.*--help/s)
  })

  test.each([
    [['run.json', '--plam'], 'Expected --plan, --attached, --gradient=PACKS or --help but received --plam'],
    [['--resume'], 'Expected --plan, --attached, --gradient=PACKS or --help but received --resume'],
    [['a.json', 'b.json'], 'Expected one run file but received b.json as well'],
    [[], 'Expected a run file'],
    [['--plan'], 'Expected a run file'],
    [['run.json', '--gradient=0'], 'Expected a number of packs, 1 or more, but received --gradient=0'],
    [['run.json', '--gradient=2x'], 'Expected a number of packs, 1 or more, but received --gradient=2x'],
    [['run.json', '--gradient=2', '--plan'], 'Expected --plan or --gradient=PACKS, not both'],
    [[''], 'Expected a run file'],
  ])('%j is refused', async (line, problem) => {
    const { code, stdout, stderr } = await call(...line)
    expect([code, stdout]).toEqual([2, ''])
    expect(stderr.startsWith(`${problem}\nUsage: branchmerge-trainer RUN.json`)).toBe(true)
  })
})

// srun gives tasks no other. Without input there is nobody who could stop listening.
test.each(['/dev/null', '"$2"'])(
  'a run that is attached to %s, which ends at once, is trained to its end',
  async (input) => {
    const done = await train(run, { args: ['--attached'], shell: `"$@" < ${input}` })
    expect(done.code, done.stderr).toBe(0)
    expect(eventsOf(done.events, 'end')).toMatchObject([{ reason: 'done' }])
  },
)

describe('what a machine lacks', () => {
  test('fewer threads than are asked for', async () => {
    const failed = await train({ ...run, threads: 64 }, { env: { ...faults({ FAULT_THREADS: '20' }) } })
    expect([failed.code, failed.signal, failed.errors[0]]).toMatchObject([
      1,
      null,
      { code: 'ERR_THREADS', message: expect.stringContaining('Use fewer threads') },
    ])
  })
})

describe('a weight that does not fit the dtype of the export', () => {
  test('saves the run, which then goes on in another one', async () => {
    // A norm takes no part in the sums of a product: so large a weight leaves loss and gradients finite.
    run.model = writeModel(join(directory, 'large'), tinySize, (tensors) => {
      const norm = tensors.get('model.norm.weight') as { data: Uint8Array }
      new Float32Array(norm.data.buffer)[3] = 1e5
    })
    run.export.dtype = 'F16'
    Object.assign(run, { learningRate: 1e-9, maxSteps: 3 })
    const failed = await train(run)
    expect([failed.code, failed.errors[0]]).toMatchObject([
      1,
      {
        code: 'ERR_NON_FINITE',
        message: expect.stringMatching(
          /'model\.norm\.weight'.*element 3 is 100000, .*F16 \(at most 65504\)\. Choose dtype BF16/,
        ),
      },
    ])
    expect(existsSync(join(run.output, 'model.safetensors'))).toBe(false)
    expect(snapshotsOf(run.output)).toEqual(['step-00000003'])
    const done = await train({ ...run, export: { ...run.export, dtype: 'BF16' } })
    expect(done.code, done.stderr).toBe(0)
    expect(eventsOf(done.events, 'step')).toEqual([])
    expect(existsSync(join(run.output, 'model.safetensors'))).toBe(true)
  })
})

describe('a loss that is not finite', () => {
  test.each([1, 2])('skips the step on all of %d processes and names the samples', async (processes) => {
    // Token 63 is in no document but the one that is added; tied, it is a logit of every row. So the head is untied.
    const documents = drawDocuments(32)
    const spoilt = 9
    documents[spoilt] = { tokens: [63, 63, 63], spans: [[1, 3]], source: 1, row: 777 }
    const clean = documents.filter(({ tokens }, i) => i === spoilt || !tokens.includes(63)).slice(0, 32)
    const packs = packEvery(clean, 2)
    const bad = packs.find((pack) => pack.some(({ row }) => row === 777)) as (typeof packs)[0]
    run.model = writeModel(join(directory, 'spoilt'), { ...tinySize, tied: false }, spoil(63))
    run.data = writeData(join(directory, 'data-spoilt'), packs)
    Object.assign(run, { epochs: 3, gradientAccumulation: 4 / processes })
    run.checkpoint = { everySteps: 1, keep: 50 }
    const { code, events, stderr } = await train(run, { processes })
    expect(code, stderr).toBe(0)
    const skipped = eventsOf(events, 'skipped')
    expect(skipped).toHaveLength(3)
    for (const event of skipped) {
      expect(event).toMatchObject({ reason: 'loss' })
      expect(event.samples).toEqual(bad.map(({ source, row }) => ({ source, row })))
      const step = eventsOf(events, 'step').find(({ step }) => step === event.step)
      expect(step).toMatchObject({ skipped: true, loss: null })
      // The step left weights and moments as they were: nothing but the position in the manifest changes.
      const state = (number: number) =>
        readFileSync(join(run.output, `training/checkpoints/step-${String(number).padStart(8, '0')}/state-00000.bin`))
      if (event.step > 1) expect(Buffer.compare(state(event.step), state(event.step - 1))).toBe(0)
    }
    const others = eventsOf(events, 'step').filter(({ skipped }) => !skipped)
    expect(others.every(({ loss }) => typeof loss === 'number')).toBe(true)
  })

  test('nor a gradient that is not: all samples of the step are named', async () => {
    // Keys of zero give finite scores, but their gradients are products with queries near the end of float32.
    run.model = writeModel(join(directory, 'steep'), tinySize, (tensors) => {
      for (const [name, { data }] of tensors) {
        const values = new Float32Array(data.buffer)
        if (name.endsWith('k_proj.weight')) values.fill(0)
        if (name.endsWith('q_proj.weight')) values.set(values.map((value) => value * 1e37))
        if (name === 'model.norm.weight') values.fill(1e6)
      }
    })
    run.maxSteps = 1
    const { code, events, stderr } = await train(run)
    expect(code, stderr).toBe(0)
    const [skipped] = eventsOf(events, 'skipped')
    expect(skipped).toMatchObject({ reason: 'gradient' })
    expect(skipped?.samples).toHaveLength(8)
    expect(eventsOf(events, 'step')[0]).toMatchObject({ skipped: true, loss: expect.any(Number), gradientNorm: null })
  })

  test('in too many steps in a row ends the run, names samples, and leaves the snapshots', async () => {
    run.model = writeModel(join(directory, 'spoilt'), tinySize, spoil(3))
    run.maxSkippedSteps = 3
    run.checkpoint = { everySteps: 1, keep: 2 }
    const { code, events, errors } = await train(run)
    expect(code).toBe(1)
    expect(eventsOf(events, 'skipped').map(({ step }) => step)).toEqual([1, 2, 3])
    expect(errors).toHaveLength(1)
    expect(errors[0]).toMatchObject({ code: 'ERR_TRAINING_DIVERGED', rank: 0 })
    expect(errors[0]?.message).toMatch(/3 steps in a row .* step 3 \(loss\), with (even|odd) row \d+/)
    expect(snapshotsOf(run.output).length).toBeGreaterThan(0)
    expect(existsSync(join(run.output, 'model.safetensors'))).toBe(false)
  })

  test('a run of skipped steps counts on when it goes on', async () => {
    run.model = writeModel(join(directory, 'spoilt'), tinySize, spoil(3))
    run.maxSteps = 3
    run.checkpoint = { everySteps: 3, keep: 2 }
    expect((await train(run)).code).toBe(0)
    const { code, events } = await train({ ...run, maxSteps: 10 })
    expect(code).toBe(1)
    expect(eventsOf(events, 'skipped').map(({ step }) => step)).toEqual([4, 5])
  })
})

describe('the memory plan', () => {
  const size = { ...tinySize, vocabulary: 2048, hidden: 256, intermediate: 768, layers: 3 }
  const memoryOf = (event: TrainerEvent) => event.memory as Record<string, number>

  test.each([
    { processes: 1, zeroStage: 0, recompute: 'none', everySteps: null },
    { processes: 1, zeroStage: 0, recompute: 'full', everySteps: 2 },
    { processes: 2, zeroStage: 1, recompute: 'selective', everySteps: 2 },
    { processes: 2, zeroStage: 3, recompute: 'none', everySteps: null },
  ])('is within 5 % of what is used: %o', async ({ processes, zeroStage, recompute, everySteps }) => {
    const packs = packEvery(drawDocuments(8, { vocabulary: 2048, length: 300, shortest: 300 }), 2)
    Object.assign(run, {
      model: writeModel(join(directory, 'large'), size),
      data: writeData(join(directory, 'long'), packs, { vocabulary: 2048 }),
      ...{ gradientAccumulation: 1, maxSteps: 4, lossChunkTokens: 128, zeroStage, recompute },
    })
    run.checkpoint = { everySteps, keep: 1 }
    const { code, events, stderr } = await train(run, { processes })
    expect(code, stderr).toBe(0)
    const plan = memoryOf(events[0] as TrainerEvent)
    const { peakBytes, plannedBytes } = events.at(-1) as unknown as { peakBytes: number; plannedBytes: number }
    expect(plannedBytes).toBe(plan.total)
    const { total, ...parts } = plan
    expect(Object.values(parts).reduce((sum, bytes) => sum + bytes, 0)).toBe(total)
    expect(peakBytes / plannedBytes).toBeGreaterThan(0.95)
    expect(peakBytes / plannedBytes).toBeLessThan(1.05)
  })

  test('is asked for without training, for processes that are not there', async () => {
    const file = join(directory, 'run.json')
    writeFileSync(file, JSON.stringify({ ...run, zeroStage: 3, memoryBytes: 1 }))
    const plan = async (processes: number) => {
      const env = { ...process.env, SLURM_PROCID: '0', SLURM_STEP_NUM_TASKS: String(processes) }
      const { stdout } = await promisify(execFile)(trainerPath, [file, '--plan'], { env })
      return JSON.parse(stdout) as TrainerEvent
    }
    const [one, four] = await Promise.all([plan(1), plan(4)])
    expect(one).toMatchObject({ processes: 1, totalSteps: 8, memoryBytes: 1 })
    expect(four).toMatchObject({ processes: 4, totalSteps: 2, parameters: one.parameters })
    expect(memoryOf(four).optimizerState).toBeLessThan(memoryOf(one).optimizerState as number)
    expect(existsSync(run.output)).toBe(false)
  })

  test('that exceeds memoryBytes is a refusal with numbers, before anything is made', async () => {
    const { code, events, errors } = await train({ ...run, memoryBytes: 5 * 2 ** 20 })
    expect(code).toBe(1)
    expect(events.map(({ event }) => event)).toEqual(['plan'])
    expect(errors[0]?.code).toBe('ERR_OUT_OF_MEMORY')
    expect(errors[0]?.message).toMatch(/fits 5\.0 MiB .* needs [\d.]+ MiB .* weights [\d.]+ MiB.* optimizerState/)
    expect(existsSync(run.output)).toBe(false)
  })
})

describe('what is wrong is refused by name', () => {
  const refusal = async (change: Partial<RunFields>) => {
    const { code, errors } = await train({ ...run, ...change })
    return { code, error: errors[0] }
  }

  test('a run file: exit code 2', async () => {
    const { code, error } = await refusal({ zeroStage: 7 })
    expect(code).toBe(2)
    expect(error).toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringMatching(/run\.json: expected an integer from 0 to 3 for zeroStage but received 7/),
    })
    const usage = await promisify(execFile)(trainerPath, []).catch((failure) => failure)
    expect(usage).toMatchObject({ code: 2, stderr: expect.stringContaining('Usage: branchmerge-trainer RUN.json') })
  })

  test('prepared data that are cut short, of another vocabulary, or without a trained token', async () => {
    const shard = join(run.data, 'shard-00001.bin')
    const good = readFileSync(shard)
    truncateSync(shard, good.length - 4)
    expect(await refusal({})).toMatchObject({
      code: 1,
      error: {
        code: 'ERR_PREPARED_DATA',
        message: expect.stringContaining(`shard-00001.bin: at byte ${good.length - 4}`),
      },
    })
    writeFileSync(shard, good)
    const large = writeData(join(directory, 'large'), packEvery(drawDocuments(4), 2), { vocabulary: 65 })
    expect((await refusal({ data: large })).error?.message).toMatch(/below 64.*prepared for 65/)
    const untrained = drawDocuments(4).map((document) => ({ ...document, spans: [] }))
    const silent = writeData(join(directory, 'silent'), packEvery(untrained, 2))
    expect((await refusal({ validationData: silent })).error?.message).toContain('expected a trained token')
  })

  test('a model that is not there, or that the output would replace', async () => {
    expect((await refusal({ model: join(directory, 'nothing') })).error?.code).toBe('ERR_CHECKPOINT_NOT_FOUND')
    expect((await refusal({ output: run.model })).error?.code).toBe('ERR_OUTPUT_IS_INPUT')
  })

  test('by every process that finds it, under its rank', async () => {
    const { code, errors } = await train({ ...run, model: join(directory, 'nothing') }, { processes: 2 })
    expect(code).toBe(1)
    expect(errors.length).toBeGreaterThan(0)
    for (const { code, rank } of errors) {
      expect(code).toBe('ERR_CHECKPOINT_NOT_FOUND')
      expect([0, 1]).toContain(rank)
    }
  })
})
