import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import { openCheckpoint, sft } from '../../../lib/index.js'
import { looksComplete } from '../../support/directoryContents.js'
import { runCommand } from '../../support/runCommand.js'
import { newRun } from '../../support/sftRun.js'

/** The trainer itself: 24 additions, some dozens of steps. */
const training = (more = '') =>
  `training: {numTrainEpochs: 8, learningRate: 2e-3, saveSteps: 5, lrSchedulerType: cosine, warmupRatio: 0.1}\nlauncher: {threads: 1, ${more}}`

const eventsOf = (output: string) =>
  readFileSync(join(output, 'training', 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

describe('a training by the trainer itself', () => {
  test('learns, tells how far it is, and leaves an expert', async () => {
    const { file, output, model } = await newRun(training())
    const steps: number[] = []
    const summary = await sft(file, {
      onProgress: (progress) => {
        if (progress.phase === 'training' && progress.event.event === 'step') steps.push(progress.event.step as number)
      },
    })
    expect(summary.reason).toBe('done')
    expect(steps).toEqual(Array.from({ length: summary.totalSteps as number }, (_, i) => i + 1))
    expect(summary.loss as number).toBeLessThan(0.6 * (summary.firstLoss as number))
    const [before, after] = [await openCheckpoint(model), await openCheckpoint(output)]
    const shapes = ({ tensors }: typeof before) => tensors.map(({ name, shape, dtype }) => [name, shape, dtype]).sort()
    expect(shapes(after)).toEqual(shapes(before))
    for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
      expect(readFileSync(join(output, name))).toEqual(readFileSync(join(model, name)))
    }
  })

  const firstSnapshot = (output: string) => join(output, 'training', 'checkpoints', 'step-00000005')

  /** A run that is stopped in the middle: another one where it was done before the signal came. */
  async function stoppedRun() {
    for (let tries = 1; ; tries++) {
      const { file, output } = await newRun(training())
      const { code } = await runCommand(['sft', file], {
        onStart: async (child) => {
          while (child.exitCode === null && !existsSync(firstSnapshot(output))) await sleep(5)
          child.kill('SIGTERM')
        },
      })
      if (code !== 0 || tries === 10) return { file, output, code }
    }
  }

  test('stopped in the middle and resumed, gives the same bytes', async () => {
    const whole = await newRun(training())
    await sft(whole.file)
    const { file, output, code } = await stoppedRun()
    expect([code, looksComplete(output)]).toEqual([85, false])
    const resumed = await runCommand(['sft', file, '--resume', '--json'])
    expect([resumed.code, JSON.parse(resumed.stdout).reason]).toEqual([0, 'done'])
    expect(eventsOf(output).filter(({ event }) => event === 'start')).toHaveLength(2)
    const weights = (directory: string) => readFileSync(join(directory, 'model.safetensors'))
    expect(weights(output).equals(weights(whole.output))).toBe(true)
  })

  const endless = (more = '') => training(more).replace('numTrainEpochs: 8', 'numTrainEpochs: 2000')
  const phaseOf = (output: string) =>
    JSON.parse(readFileSync(join(output, 'training', 'heartbeat-0.json'), 'utf8')).phase
  /** The trainer has saved and ended by itself. */
  async function expectSaved(output: string) {
    await vi.waitFor(() => expect(phaseOf(output)).toBe('ended'), { timeout: 600_000, interval: 50 })
    const { event, reason, step } = eventsOf(output).at(-1)
    expect([event, reason]).toEqual(['end', 'requeue'])
    const name = `step-${String(step).padStart(8, '0')}`
    expect(existsSync(join(output, 'training', 'checkpoints', name, 'manifest.json'))).toBe(true)
  }

  test.each([
    ['SIGKILL', ''],
    ['SIGHUP', ''],
    ['SIGKILL', 'processes: 2'],
  ] as const)('its trainer saves and ends when %s ends the command (%s)', async (signal, more) => {
    const { file, output } = await newRun(endless(more))
    const killed = await runCommand(['sft', file], {
      onStart: (child) => {
        const timer = setInterval(() => {
          if (!existsSync(firstSnapshot(output))) return
          clearInterval(timer)
          child.kill(signal)
        }, 5)
      },
    })
    expect(killed.signal).toBe(signal)
    await expectSaved(output)
  })

  test.each([
    [
      'throws',
      () => {
        throw new Error('no more')
      },
    ],
    ['rejects', () => Promise.reject(new Error('no more'))],
  ])('an onProgress that %s ends it, saved, with that error', async (_, fail) => {
    const { file, output } = await newRun(endless())
    const running = sft(file, {
      onProgress: (progress) =>
        progress.phase === 'training' && progress.event.event === 'step' && progress.event.step === 7
          ? fail()
          : undefined,
    })
    await expect(running).rejects.toThrow('no more')
    await expectSaved(output)
  })

  test('two processes under mpirun have the losses of one with two micro-batches', async () => {
    const short = (more: string, accumulation: number) =>
      training(more).replace('numTrainEpochs: 8', `numTrainEpochs: 2, gradientAccumulationSteps: ${accumulation}`)
    const one = await newRun(short('', 2))
    const two = await newRun(short('processes: 2', 1))
    await sft(one.file)
    await sft(two.file)
    const losses = ({ output }: typeof one) =>
      eventsOf(output).flatMap(({ event, loss }) => (event === 'step' ? [loss] : []))
    const [expected, actual] = [losses(one), losses(two)]
    expect(actual).toHaveLength(expected.length)
    for (const [i, loss] of actual.entries()) expect(Math.abs(loss / expected[i] - 1)).toBeLessThan(1e-4)
  })

  test('a run that does not fit is refused with the numbers, and nothing is written', async () => {
    const { file, output } = await newRun(training('memory: 20MB'))
    const { code, stderr } = await runCommand(['sft', file])
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/fits the 20\.0 MB of a process .launcher\.memory. but it needs .*\[ERR_OUT_OF_MEMORY\]/s),
    ])
    expect(existsSync(output)).toBe(false)
  })

  test('what the trainer refuses keeps its words and its code', async () => {
    const { file, output, model } = await newRun(training())
    const config = join(model, 'config.json')
    writeFileSync(config, readFileSync(config, 'utf8').replace('"silu"', '"gelu"'))
    const { code, stderr } = await runCommand(['sft', file])
    expect([code, stderr]).toEqual([1, expect.stringMatching(/gelu.*\[ERR_MODEL_UNSUPPORTED\]/s)])
    expect(existsSync(output)).toBe(false)
  })
})
