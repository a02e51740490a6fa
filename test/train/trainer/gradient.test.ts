import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { decode, encode } from '../../support/floats.js'
import { Random } from '../../support/random.js'
import { readSafetensors } from '../../support/readSafetensors.js'
import { temporaryDirectory } from '../../support/temporary.js'
import {
  drawDocuments,
  packEvery,
  type RunFields,
  type TestDocument,
  tinyRun,
  tinySize,
  train,
  writeData,
  writeModel,
} from '../../support/trainer.js'

type Values = Map<string, number[]>

const packs = packEvery(drawDocuments(24), 2)

/** The gradient of a model on some packs, all of them at once. */
async function gradientOf(run: RunFields, name: string, given: TestDocument[][], args = ['--gradient=99']) {
  const own = { ...run, data: writeData(join(run.output, `../${name}-data`), given), output: `${run.output}-${name}` }
  const result = await train(own, { args })
  const event = result.events.find(({ event }) => event === 'gradient') as unknown as {
    packs: number
    tokens: number
    trainedTokens: number
    loss: number
    norm: number
  }
  const file = join(own.output, 'model.safetensors')
  const values: Values = new Map(
    existsSync(file) ? [...readSafetensors(file)].map(([tensor, { data }]) => [tensor, [...decode('F32', data)]]) : [],
  )
  return { ...result, event, values, output: own.output }
}

const dot = (x: Values, y: Values): number =>
  [...x].reduce(
    (sum, [name, values]) => sum + values.reduce((part, v, i) => part + v * (y.get(name)?.[i] as number), 0),
    0,
  )

describe('the gradient that the trainer writes', () => {
  test.each([true, false])(
    'is that of the mean loss, by differences along random directions (tied %s)',
    async (tied) => {
      const run = tinyRun(temporaryDirectory(), packs)
      const model = (change: (name: string, i: number) => number, name: string) =>
        writeModel(join(run.output, `../model-${name}`), { ...tinySize, tied }, (tensors) => {
          for (const [tensor, { dtype, shape, data }] of tensors) {
            const values = Array.from(decode('F32', data), (value, i) => value + change(tensor, i))
            tensors.set(tensor, { dtype, shape, data: encode('F32', values) })
          }
        })
      run.model = model(() => 0, 'base')
      const { event, values, code, stderr } = await gradientOf(run, 'base', packs)
      expect(code, stderr).toBe(0)
      expect(event.packs).toBe(packs.length)
      expect(event.tokens).toBe(packs.flat().reduce((sum, { tokens }) => sum + tokens.length, 0))
      expect([...values.keys()].includes('lm_head.weight')).toBe(!tied)
      expect(Math.sqrt(dot(values, values))).toBeCloseTo(event.norm, 6)
      for (const seed of [1, 2]) {
        const random = new Random(seed)
        const direction: Values = new Map(
          [...values].map(([name, { length }]) => [name, Array.from({ length }, () => random.normal())]),
        )
        const step = 1e-3
        const lossAt = async (sign: number) => {
          const along = (name: string, i: number) => sign * step * (direction.get(name)?.[i] as number)
          const moved = { ...run, model: model(along, `${seed}${sign}`) }
          return (await gradientOf(moved, `moved${seed}${sign}`, packs)).event.loss
        }
        const slope = ((await lossAt(1)) - (await lossAt(-1))) / (2 * step)
        expect(Math.abs(slope - dot(values, direction))).toBeLessThan(0.01 * event.norm)
      }
    },
  )

  test('of two batches together is the mean of theirs, weighted by trained tokens', async () => {
    const run = tinyRun(temporaryDirectory(), packs)
    const [whole, first, second] = [
      await gradientOf(run, 'whole', packs),
      await gradientOf(run, 'first', packs.slice(0, 5)),
      await gradientOf({ ...run, microBatchPacks: 3 }, 'second', packs.slice(5)),
    ]
    const [a, b] = [first.event.trainedTokens, second.event.trainedTokens]
    expect(whole.event.trainedTokens).toBe(a + b)
    expect(whole.event.loss).toBeCloseTo((a * first.event.loss + b * second.event.loss) / (a + b), 5)
    for (const [name, values] of whole.values) {
      const mean = values.map(
        (_, i) =>
          (a * (first.values.get(name)?.[i] as number) + b * (second.values.get(name)?.[i] as number)) / (a + b),
      )
      const difference = Math.max(...values.map((value, i) => Math.abs(value - (mean[i] as number))))
      expect([name, difference]).toEqual([name, expect.closeTo(0, 6)])
    }
  })

  test('has the norm that a first step of a training on the same packs has', async () => {
    const run = tinyRun(temporaryDirectory(), packs)
    const { event } = await gradientOf(run, 'gradient', packs)
    const trained = await train({
      ...run,
      gradientAccumulation: packs.length,
      lossNormalization: 'global_token_mean',
      maxSteps: 1,
    })
    const step = trained.events.find(({ event: name }) => name === 'step')
    expect(step?.gradNorm ?? step?.gradientNorm).toBeCloseTo(event.norm, 5)
    expect(step?.loss).toBeCloseTo(event.loss, 5)
  })

  test('is of so many packs of the first epoch', async () => {
    const run = tinyRun(temporaryDirectory(), packs)
    const { event, events } = await gradientOf(run, 'some', packs, ['--gradient=3'])
    expect(event.packs).toBe(3)
    expect(events.slice(0, 3)).toEqual([1, 2, 3].map((done) => ({ event: 'progress', packs: done, of: 3 })))
  })

  test('is not written where memory is too little or a value is not finite', async () => {
    const run = tinyRun(temporaryDirectory(), packs)
    const small = await gradientOf({ ...run, memoryBytes: 1000 }, 'small', packs)
    expect([small.code, small.errors[0]?.code]).toEqual([1, 'ERR_OUT_OF_MEMORY'])
    run.model = writeModel(join(run.output, '../infinite'), tinySize, (tensors) => {
      const { data } = tensors.get('model.norm.weight') as { data: Uint8Array }
      new Float32Array(data.buffer).fill(Number.POSITIVE_INFINITY)
    })
    const infinite = await gradientOf(run, 'infinite', packs)
    expect([infinite.code, infinite.errors[0]?.code]).toEqual([1, 'ERR_NON_FINITE'])
    expect(existsSync(infinite.output)).toBe(false)
  })

  test('is not written after a signal', async () => {
    const run = tinyRun(temporaryDirectory(), packs)
    const own = { ...run, output: `${run.output}-stopped` }
    const { code } = await train(own, {
      args: ['--gradient=12'],
      onEvent: (_, child) => child.kill('SIGTERM'),
    })
    // It may have had its last pack already.
    expect([0, 130]).toContain(code)
    expect(existsSync(own.output) ? readdirSync(own.output) : []).toEqual(code === 0 ? ['model.safetensors'] : [])
  })
})
