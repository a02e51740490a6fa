import type { ChildProcess } from 'node:child_process'
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { buildFaults, faults } from '../../support/faults.js'
import { Random } from '../../support/random.js'
import { rounds } from '../../support/rounds.js'
import { temporaryDirectory } from '../../support/temporary.js'
import {
  computed,
  drawDocuments,
  lossesOf,
  metricsOf,
  packEvery,
  type RunFields,
  snapshotsOf,
  type TrainerEvent,
  type TrainerResult,
  tinyRun,
  tinySize,
  train,
  writeData,
  writeModel,
} from '../../support/trainer.js'

let directory: string
let run: RunFields

beforeAll(buildFaults)

// A step takes some milliseconds, so that a signal comes before the end.
beforeEach(() => {
  directory = temporaryDirectory()
  run = {
    ...tinyRun(directory, packEvery(drawDocuments(60, { length: 120 }), 2)),
    validationData: writeData(join(directory, 'validation'), packEvery(drawDocuments(6, { seed: 5 }), 2)),
    validation: { everySteps: 15 },
    epochs: 16,
    gradientAccumulation: 2,
  }
})

const weightsOf = (output: string) => readFileSync(join(output, 'model.safetensors'))
const damaged = (events: TrainerEvent[]) => events.filter(({ event }) => event === 'damaged')
const startOf = (events: TrainerEvent[]) => events.find(({ event }) => event === 'start') as TrainerEvent

/** The run without an interruption. */
async function straight(processes = 1) {
  const output = join(directory, `straight-${processes}`)
  const result = await train({ ...run, output }, { processes })
  expect(result.code, result.stderr).toBe(0)
  return { output, events: result.events }
}

/** Trains until a step, and then does something to the processes. */
const until = (step: number, act: (child: ChildProcess) => void, processes = 1): Promise<TrainerResult> =>
  train(run, {
    processes,
    onEvent: (event, child) => {
      if (event.event === 'step' && event.step === step) act(child)
    },
  })

const pidOf = (rank: number): number =>
  JSON.parse(readFileSync(join(run.output, `training/heartbeat-${rank}.json`), 'utf8')).pid

async function expectSame(
  processes: number,
  expected: { output: string; events: TrainerEvent[] },
  change: Partial<RunFields> = {},
) {
  const resumed = await train({ ...run, ...change }, { processes })
  expect(resumed.code, resumed.stderr).toBe(0)
  expect(computed(metricsOf(run.output))).toEqual(computed(expected.events))
  expect(Buffer.compare(weightsOf(run.output), weightsOf(expected.output))).toBe(0)
  return resumed
}

describe('a run that was stopped goes on as if it had not been', () => {
  test.each([
    ['SIGUSR1', 85, 'requeue'],
    ['SIGTERM', 85, 'requeue'],
    ['SIGINT', 130, 'interrupted'],
  ] as const)('by %s', async (signal, code, reason) => {
    const expected = await straight()
    const stopped = await until(20, (child) => child.kill(signal))
    expect(stopped.code, stopped.stderr).toBe(code)
    const end = stopped.events.at(-1) as TrainerEvent
    expect(end).toMatchObject({ event: 'end', reason })
    expect(end.step).toBeLessThan(240)
    expect(snapshotsOf(run.output)).toEqual([`step-${String(end.step).padStart(8, '0')}`])
    expect(existsSync(join(run.output, 'model.safetensors'))).toBe(false)
    // Products of this size are not divided among threads. Of others the bytes may differ, so it is told.
    const resumed = await expectSame(1, expected, { threads: 2 })
    expect(startOf(resumed.events)).toMatchObject({ step: end.step, changed: ['threads'] })
  })

  test('when standard input ends and it is attached', async () => {
    const expected = await straight()
    const stopped = await train(run, {
      args: ['--attached'],
      onEvent: ({ event, step }, child) => {
        if (event === 'step' && step === 20) child.stdin?.end()
      },
    })
    expect(stopped.code, stopped.stderr).toBe(85)
    expect(stopped.events.at(-1)).toMatchObject({ event: 'end', reason: 'requeue' })
    const resumed = await expectSame(1, expected)
    expect(startOf(resumed.events)).toMatchObject({ changed: [] })
  })

  test('with two processes, all of which hear a signal to any of them', async () => {
    Object.assign(run, { gradientAccumulation: 1, zeroStage: 2, epochs: 4 })
    run.checkpoint = { everySteps: 4, keep: 2 }
    const expected = await straight(2)
    const stopped = await until(4, () => process.kill(pidOf(1), 'SIGUSR1'), 2)
    expect(stopped.code, stopped.stderr).toBe(85)
    expect(stopped.events.at(-1)).toMatchObject({ event: 'end', reason: 'requeue' })
    // mpirun hands it on.
    const again = await until(16, (child) => child.kill('SIGUSR1'), 2)
    expect(again.code, again.stderr).toBe(85)
    const killed = await until(40, () => process.kill(pidOf(1), 'SIGKILL'), 2)
    expect(killed.code).not.toBe(0)
    expect(killed.events.at(-1)?.event).not.toBe('end')
    await expectSame(2, expected)
  })

  test('by kill -9 at any moment, again and again', async () => {
    run.checkpoint = { everySteps: 3, keep: 2 }
    const expected = await straight()
    const random = new Random(11)
    let last = 0
    let kills = 0
    for (;;) {
      let left = random.below(12)
      const killAtZero = (child: ChildProcess) => {
        if (left-- === 0) child.kill('SIGKILL')
      }
      const result = await train(run, { onStart: killAtZero, onEvent: (_, child) => killAtZero(child) })
      if (result.code === 0) break
      expect(result.signal).toBe('SIGKILL')
      const start = result.events.find(({ event }) => event === 'start')
      // At most the steps since the last snapshot are lost, and what is being written counts as not yet written.
      if (start) {
        expect(start.step).toBeGreaterThanOrEqual(last)
        last = snapshotsOf(run.output).reduce((latest, name) => Math.max(latest, Number(name.slice(5))), last)
      }
      expect(++kills).toBeLessThan(60)
      if (kills > rounds({ all: 8, quick: 2 })) break
    }
    expect(kills).toBeGreaterThan(0)
    await expectSame(1, expected)
    expect(snapshotsOf(run.output)).toHaveLength(2)
    const rest = readdirSync(join(run.output, 'training/checkpoints'))
    expect(rest.sort()).toEqual(snapshotsOf(run.output))
  })
})

describe('a snapshot', () => {
  test('of two processes goes on with one and with four', async () => {
    Object.assign(run, { gradientAccumulation: 2, epochs: 2, zeroStage: 3 })
    run.data = writeData(join(directory, 'whole-steps'), packEvery(drawDocuments(56, { length: 60 }), 2))
    run.checkpoint = { everySteps: 5, keep: 9 }
    const expected = await straight(2)
    const losses = lossesOf(expected.events)
    for (const processes of [1, 4]) {
      run.output = join(directory, `on-${processes}`)
      // As if it had been cut off behind step 10.
      cpSync(expected.output, run.output, { recursive: true })
      rmSync(join(run.output, 'model.safetensors'))
      for (const name of snapshotsOf(run.output)) {
        if (name !== 'step-00000010') rmSync(join(run.output, 'training/checkpoints', name), { recursive: true })
      }
      const resumed = await train({ ...run, gradientAccumulation: 4 / processes }, { processes })
      expect(resumed.code, resumed.stderr).toBe(0)
      expect(startOf(resumed.events)).toMatchObject({ step: 10, changed: ['gradientAccumulation', 'processes'] })
      const after = lossesOf(resumed.events)
      expect(after).toEqual(losses.slice(10).map((loss) => expect.closeTo(loss, 5)))
      expect(lossesOf(metricsOf(run.output))).toHaveLength(losses.length)
    }
  })

  test('that is damaged is set aside, and the one before is used', async () => {
    run.checkpoint = { everySteps: 30, keep: 3 }
    const expected = await straight()
    const stopped = await until(70, (child) => child.kill('SIGTERM'))
    expect(stopped.code).toBe(85)
    const snapshots = snapshotsOf(run.output)
    const [before, newest] = snapshots.slice(-2) as [string, string]
    const file = join(run.output, 'training/checkpoints', newest, 'state-00000.bin')
    const bytes = readFileSync(file)
    bytes.writeUInt8(bytes.readUInt8(5000) ^ 0x10, 5000)
    writeFileSync(file, bytes)
    const resumed = await expectSame(1, expected)
    expect(damaged(resumed.events)).toEqual([
      { event: 'damaged', path: expect.stringContaining(newest), reason: expect.stringContaining('expected the hash') },
    ])
    expect(startOf(resumed.events).resumedFrom).toContain(before)
    expect(existsSync(join(run.output, 'training/checkpoints', `${newest}.damaged`))).toBe(true)
  })

  test('that cannot be read is not damaged: nothing is renamed, begun or forgotten', async () => {
    run.checkpoint = { everySteps: 30, keep: 3 }
    const expected = await straight()
    await until(70, (child) => child.kill('SIGTERM'))
    const [before, metrics] = [snapshotsOf(run.output), metricsOf(run.output)]
    const failing = await train(run, { env: faults({ FAULT_READ: 'checkpoints/step-' }) })
    expect([failing.code, failing.errors[0]]).toMatchObject([
      1,
      {
        code: 'ERR_FILE_READ',
        message: expect.stringMatching(/Input\/output error\. The snapshot .* was left as it is/),
      },
    ])
    expect(failing.events.map(({ event }) => event)).toEqual(['plan'])
    expect(readdirSync(join(run.output, 'training/checkpoints')).sort()).toEqual(before)
    expect(metricsOf(run.output)).toEqual(metrics)
    await expectSame(1, expected)
  })

  test('of another version is not damaged, and is told of', async () => {
    run.checkpoint = { everySteps: 30, keep: 3 }
    const expected = await straight()
    await until(70, (child) => child.kill('SIGTERM'))
    const before = snapshotsOf(run.output)
    const file = join(run.output, 'training/checkpoints', before.at(-1) as string, 'manifest.json')
    const text = readFileSync(file, 'utf8')
    writeFileSync(file, text.replace('"format":1', '"format":2'))
    const failing = await train(run)
    expect([failing.code, failing.errors[0]]).toMatchObject([
      1,
      { code: 'ERR_FILE_READ', message: expect.stringMatching(/manifest\.json: the snapshot is of another version/) },
    ])
    expect(readdirSync(join(run.output, 'training/checkpoints')).sort()).toEqual(before)
    writeFileSync(file, text)
    await expectSame(1, expected)
  })

  test('knows no more than the metrics that were synced before it', async () => {
    run.checkpoint = { everySteps: 100, keep: 3 }
    const log = join(directory, 'synced')
    const done = await train(run, { env: faults({ FAULT_SYNC_LOG: log, FAULT_INTERRUPT: '1' }) })
    expect(done.code, done.stderr).toBe(0)
    const synced = readFileSync(log, 'utf8').split('\n')
    const [metrics, state] = ['training/metrics.jsonl', 'step-00000100.partial/state-00000.bin'].map((name) =>
      synced.findIndex((path) => path.endsWith(name)),
    ) as [number, number]
    expect(metrics).toBeGreaterThanOrEqual(0)
    expect(state).toBeGreaterThan(metrics)
    // And at the end, behind the weights.
    expect(synced.findLastIndex((path) => path.endsWith('training/metrics.jsonl'))).toBeGreaterThan(
      synced.findLastIndex((path) => path.endsWith('model.safetensors')),
    )
  })

  test('is not overwritten by a run that does not resume, nor used with other data, seed or model', async () => {
    await until(5, (child) => child.kill('SIGTERM'))
    const refusal = async (change: Partial<RunFields>) => {
      const result = await train({ ...run, ...change })
      expect(result.code).toBe(1)
      return result.errors[0]
    }
    const before = snapshotsOf(run.output)
    expect(await refusal({ resume: false })).toMatchObject({ code: 'ERR_OUTPUT_EXISTS' })
    expect(await refusal({ seed: 43 })).toMatchObject({ code: 'ERR_RESUME', message: expect.stringContaining('42') })
    const data = writeData(join(directory, 'other'), packEvery(drawDocuments(10), 1))
    expect(await refusal({ data })).toMatchObject({ code: 'ERR_RESUME', message: expect.stringContaining('test-10') })
    const model = writeModel(join(directory, 'larger'), { ...tinySize, layers: 3 })
    expect(await refusal({ model })).toMatchObject({ code: 'ERR_RESUME' })
    expect(snapshotsOf(run.output)).toEqual(before)
  })

  test('that cannot be written fails the run, and the one before goes on', async () => {
    run.checkpoint = { everySteps: 40, keep: 2 }
    const expected = await straight()
    const stopped = await until(10, (child) => child.kill('SIGTERM'))
    const [before] = snapshotsOf(run.output)
    // Larger than metrics and heartbeats, smaller than a snapshot.
    const full = await train(run, { shell: 'ulimit -f 100; exec "$@"' })
    expect(stopped.code).toBe(85)
    expect(full.code).toBe(1)
    expect(full.errors[0]).toMatchObject({
      code: 'ERR_OUTPUT_WRITE',
      message: expect.stringMatching(/step-\d+\.partial\/state-00000\.bin/),
    })
    expect(snapshotsOf(run.output)).toEqual([before])
    await expectSame(1, expected)
  })
})

/** Until no signal waits for the process. */
async function untilDelivered(pid: number): Promise<void> {
  while (!/^ShdPnd:\s*0+$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))) await setImmediate()
}

/** Ticks of a core that a process has used: fields 14 and 15 of its stat. */
function ticksOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return Number(fields[11]) + Number(fields[12])
}

/** Until it has computed for a quarter of a second: what it looked for before a step is behind it. */
async function untilInStep(pid: number): Promise<void> {
  const before = ticksOf(pid)
  while (ticksOf(pid) < before + 25) await setImmediate()
}

test('a second SIGINT ends the run at once, in the middle of a step', async () => {
  const stopped = await train(
    { ...run, validationData: null, gradientAccumulation: 20_000 },
    {
      onEvent: ({ event }, child) => {
        if (event !== 'start') return
        const pid = child.pid as number
        void untilInStep(pid).then(async () => {
          child.kill('SIGINT')
          // Two signals at once would be one.
          await untilDelivered(pid)
          child.kill('SIGINT')
        })
      },
    },
  )
  expect(stopped.code).toBe(130)
  expect(stopped.events.map(({ event }) => event)).toEqual(['plan', 'start'])
  expect(snapshotsOf(run.output)).toEqual([])
})

test('two runs do not write to one output', async () => {
  let second: Promise<TrainerResult> | undefined
  await until(20, (child) => {
    child.kill('SIGSTOP')
    second = train(run)
    void second.then(() => {
      child.kill('SIGCONT')
      child.kill('SIGTERM')
    })
  })
  expect((await second)?.errors[0]).toMatchObject({
    code: 'ERR_OUTPUT_EXISTS',
    message: expect.stringContaining('another training run is writing here'),
  })
})
