import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { decode, encode } from '../../support/floats.js'
import { startOf } from '../../support/owners.js'
import { readSafetensors } from '../../support/readSafetensors.js'
import { temporaryDirectory } from '../../support/temporary.js'
import {
  computed,
  drawDocuments,
  lossesOf,
  metricsOf,
  packEvery,
  type RunFields,
  type TrainerEvent,
  tinyRun,
  train,
  writeData,
} from '../../support/trainer.js'

let directory: string
let run: RunFields

beforeEach(() => {
  directory = temporaryDirectory()
  run = { ...tinyRun(directory, packEvery(drawDocuments(48), 2)), epochs: 5 }
})

const mean = (values: number[]) => values.reduce((sum, value) => sum + value, 0) / values.length

describe('a run from start to end', () => {
  test('learns, tells of each step, and writes the weights', async () => {
    run.validationData = writeData(join(directory, 'validation'), packEvery(drawDocuments(9, { seed: 5 }), 2))
    run.validation.everySteps = 10
    const { code, events, stderr } = await train(run)
    expect(stderr).toBe('')
    expect(code).toBe(0)
    const losses = lossesOf(events)
    expect(losses).toHaveLength(30)
    expect(mean(losses.slice(-6))).toBeLessThan(mean(losses.slice(0, 6)) - 1)
    expect(events[0]).toMatchObject({ event: 'plan', processes: 1, totalSteps: 30, stepsPerEpoch: 6, packsPerStep: 4 })
    expect(events[1]).toMatchObject({ event: 'start', step: 0, resumedFrom: null })
    const validations = events.filter(({ event }) => event === 'validation')
    expect(validations.map(({ step }) => step)).toEqual([0, 10, 20, 30])
    expect(validations[3]?.loss).toBeLessThan(validations[1]?.loss as number)
    expect(validations[1]?.loss).toBeLessThan(validations[0]?.loss as number)
    expect(events.at(-1)).toMatchObject({ event: 'end', step: 30, reason: 'done' })
    expect(metricsOf(run.output)).toEqual(events)

    const steps = events.filter(({ event }) => event === 'step')
    const data = JSON.parse(readFileSync(join(run.data, 'meta.json'), 'utf8'))
    const firstEpoch = steps.slice(0, 6)
    for (const [field, total] of [
      ['tokens', data.tokens],
      ['trainedTokens', data.trainedTokens],
    ] as const) {
      expect(firstEpoch.reduce((sum, step) => sum + (step[field] as number), 0)).toBe(total)
    }
    expect(steps.map(({ epoch }) => epoch)).toEqual(steps.map((_, i) => expect.closeTo((i + 1) / 6, 10)))
    // Three warm-up steps from 0, then half a cosine.
    const rates = steps.map(({ learningRate }) => learningRate as number)
    expect(rates.slice(0, 4)).toEqual([0, 1e-3, 2e-3, 3e-3].map((rate) => expect.closeTo(rate, 12)))
    expect(rates[29]).toBeCloseTo(1.5e-3 * (1 + Math.cos((Math.PI * 26) / 27)), 12)

    const training = readdirSync(join(run.output, 'training'))
    expect(training.filter((name) => name.startsWith('events.out.tfevents.'))).toHaveLength(1)
    expect(training).not.toContain('export')
    const heartbeat = JSON.parse(readFileSync(join(run.output, 'training/heartbeat-0.json'), 'utf8'))
    expect(heartbeat).toMatchObject({
      rank: 0,
      phase: 'ended',
      step: 30,
      host: hostname(),
      boot: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
      pidNamespace: readlinkSync('/proc/self/ns/pid'),
    })
    // It began after this process, and less than an hour later.
    expect(heartbeat.started - startOf(process.pid)).toBeGreaterThan(0)
    expect(heartbeat.started - startOf(process.pid)).toBeLessThan(360_000)
  })

  test('exports every tensor of the model, rounded to nearest even, and shards within the limit', async () => {
    run.maxSteps = 3
    await train(run)
    const whole = readSafetensors(join(run.output, 'model.safetensors'))
    const start = readSafetensors(join(run.model, 'model.safetensors'))
    expect([...whole.keys()].sort()).toEqual([...start.keys()].sort())
    for (const [name, { shape, dtype }] of whole)
      expect({ shape, dtype }).toEqual({ shape: start.get(name)?.shape, dtype: 'F32' })

    for (const dtype of ['BF16', 'F16'] as const) {
      // Weights of the run before are replaced, whatever their files were called.
      const { output } = run
      const limit = 20_000
      await train({ ...run, export: { dtype, maxShardBytes: limit } })
      const index = JSON.parse(readFileSync(join(output, 'model.safetensors.index.json'), 'utf8'))
      const files = [...new Set<string>(Object.values(index.weight_map))].sort()
      expect(
        readdirSync(output)
          .filter((name) => name.endsWith('.safetensors'))
          .sort(),
      ).toEqual(files)
      expect(files[0]).toBe(`model-00001-of-0000${files.length}.safetensors`)
      const shards = files.map((file) => readSafetensors(join(output, file)))
      let total = 0
      for (const [i, shard] of shards.entries()) {
        const bytes = [...shard.values()].reduce((sum, { data }) => sum + data.length, 0)
        total += bytes
        expect(bytes).toBeLessThanOrEqual(limit)
        for (const [name, tensor] of shard) {
          expect(index.weight_map[name]).toBe(files[i])
          expect(tensor.dtype).toBe(dtype)
          const exact = decode('F32', (whole.get(name) as { data: Uint8Array }).data)
          expect(Buffer.compare(tensor.data, encode(dtype, exact))).toBe(0)
        }
      }
      expect(index.metadata.total_size).toBe(total)
      expect(Object.keys(index.weight_map).sort()).toEqual([...whole.keys()].sort())
    }
  })

  test('a run with no learning rate gives back the weights it began with', async () => {
    await train({ ...run, learningRate: 0, maxSteps: 2 })
    const bytes = (path: string) =>
      readSafetensors(join(path, 'model.safetensors')).get('model.embed_tokens.weight')?.data
    expect(bytes(run.output)).toEqual(bytes(run.model))
  })

  test('plain packing lets documents of a pack see each other, neat packing does not', async () => {
    const packs = packEvery(drawDocuments(48), 2)
    const alone = packEvery(drawDocuments(48), 1)
    const loss = async (name: string, data: string, micro: number) => {
      const result = await train({
        ...run,
        data,
        output: join(directory, name),
        maxSteps: 1,
        microBatchPacks: micro,
        gradientAccumulation: 1,
        lossNormalization: 'global_token_mean',
        validationData: data,
      })
      return result.events.find(({ event }) => event === 'validation')?.loss as number
    }
    const neat = await loss('neat', writeData(join(directory, 'a'), packs, { packing: 'neat' }), 1)
    const none = await loss('none', writeData(join(directory, 'b'), alone, { packing: 'none' }), 2)
    const plain = await loss('pack', writeData(join(directory, 'c'), packs, { packing: 'pack' }), 1)
    // Taken before the first step: these are losses of the same weights.
    expect(neat).toBeCloseTo(none, 6)
    expect(Math.abs(plain - neat)).toBeGreaterThan(1e-3)
  })
})

describe('many processes', () => {
  test.each(['micro_mean', 'global_token_mean'])(
    'have the loss curve of one process, at every ZeRO stage: %s',
    async (lossNormalization) => {
      Object.assign(run, { lossNormalization, maxSteps: 6, validationData: run.data })
      run.validation.everySteps = 4
      const one = computed((await train({ ...run, zeroStage: 0 })).events)
      const layouts =
        lossNormalization === 'micro_mean'
          ? [
              [2, 0],
              [2, 1],
              [2, 2],
              [2, 3],
              [4, 3],
            ]
          : [
              [2, 1],
              [4, 2],
            ]
      for (const [processes, zeroStage] of layouts as [number, number][]) {
        const output = join(directory, `expert-${processes}-${zeroStage}`)
        const result = await train({ ...run, output, zeroStage, gradientAccumulation: 4 / processes }, { processes })
        expect(result.code, result.stderr).toBe(0)
        const many = computed(result.events)
        expect(many).toHaveLength(one.length)
        for (const [i, event] of many.entries()) {
          const same = Object.entries(one[i] as object).map(([name, value]) => [
            name,
            typeof value === 'number' ? expect.closeTo(value, name === 'gradientNorm' ? 4 : 5) : value,
          ])
          expect(event).toEqual(Object.fromEntries(same))
        }
      }
    },
  )

  test('repeat themselves to the byte', async () => {
    const outputs = ['first', 'second'].map((name) => join(directory, name))
    const results: TrainerEvent[][] = []
    for (const output of outputs) {
      results.push(
        computed(
          (await train({ ...run, maxSteps: 8, output, gradientAccumulation: 2, threads: 2 }, { processes: 2 })).events,
        ),
      )
    }
    expect(results[1]).toEqual(results[0])
    const [first, second] = outputs.map((output) => readFileSync(join(output, 'model.safetensors')))
    expect(Buffer.compare(first as Buffer, second as Buffer)).toBe(0)
  })
})
