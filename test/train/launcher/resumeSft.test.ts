import {
  appendFileSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readRecipe, type SftOptions, sft } from '../../../lib/index.js'
import { resolveRun } from '../../../lib/train/resolveRun.js'
import { planSft } from '../../../lib/train/runTraining.js'
import { describeChanges } from '../../../lib/train/trainingOrigin.js'
import { stampFiles } from '../../support/directoryContents.js'
import { runCommand } from '../../support/runCommand.js'
import { type DoubleScript, doubleEnv, newRun } from '../../support/sftRun.js'

type Run = Awaited<ReturnType<typeof newRun>>

const edit = (path: string, from: string | RegExp, to: string) => {
  const text = readFileSync(path, 'utf8')
  const changed = text.replace(from, to)
  expect(changed).not.toBe(text)
  writeFileSync(path, changed)
}
const editConfig = ({ model }: Run, change: object) => {
  const path = join(model, 'config.json')
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...change }))
}
/** Another value for one weight, in a file of the same size and header. */
const editWeights = ({ model }: Run) => {
  const path = join(model, 'model.safetensors')
  const bytes = readFileSync(path)
  bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 0x40
  writeFileSync(path, bytes)
}

const training = 'training: {saveSteps: 2, learningRate: 1e-3}\nexport: {dtype: float32}'

const weights = (output: string) => statSync(join(output, 'model.safetensors'), { bigint: true }).mtimeNs

/** A run by the double of the trainer, in this process. */
async function train({ file }: Run, script: DoubleScript = {}, options: SftOptions = {}) {
  const before = { ...process.env }
  Object.assign(process.env, doubleEnv(script))
  try {
    return await sft(file, options)
  } finally {
    process.env = before
  }
}
const again = { resume: true }
/** A trainer that would be started fails. */
const untrained: DoubleScript = { fail: 'error', at: 1 }

const changes: [string, (run: Run) => void, RegExp][] = [
  [
    'other data',
    ({ directory }) => edit(join(directory, 'data.jsonl'), '0 + 1', '1 + 0'),
    /data: [0-9a-f]{8}… then, [0-9a-f]{8}… now/,
  ],
  [
    'another configuration of the model',
    (run) => editConfig(run, { rope_theta: 77 }),
    /rope_theta of the model's config\.json: \d+ then, 77 now/,
  ],
  ['other weights in the same place', editWeights, /tensors of the model: /],
  ['another seed', ({ file }) => edit(file, 'saveSteps', 'seed: 3, saveSteps'), /seed: 42 then, 3 now/],
]
const optionChanges: typeof changes = [
  ['another learning rate', ({ file }) => edit(file, '1e-3', '2e-3'), /learningRate: 0\.001 then, 0\.002 now/],
  ['another dtype', ({ file }) => edit(file, 'float32', 'bfloat16'), /export\.dtype: F32 then, BF16 now/],
]

describe('a finished output is done already', () => {
  test('with the same inputs and options, wherever the model lies and whoever touched it', async () => {
    const run = await newRun(training)
    const { output, model, file } = run
    await train(run)
    const before = weights(output)
    for (const change of [
      () => {},
      () => utimesSync(join(model, 'model.safetensors'), 1, 1),
      () => {
        renameSync(model, `${model}-moved`)
        edit(file, 'model: base', 'model: base-moved')
      },
      () => appendFileSync(file, 'launcher: {threads: 1}\n'),
    ]) {
      change()
      expect(await train(run, untrained, again)).toMatchObject({ reason: 'done', steps: 6 })
    }
    expect(weights(output)).toEqual(before)
  })

  test.for([...changes, ...optionChanges])('and not with %s', async ([, change, message]) => {
    const run = await newRun(training)
    await train(run)
    const before = stampFiles(run.output)
    change(run)
    const refusal = { code: 'ERR_OUTPUT_EXISTS', message: expect.stringMatching(message) }
    await expect(train(run, {}, again)).rejects.toMatchObject(refusal)
    expect(stampFiles(run.output)).toEqual(before)
  })
})

/** A run that was cut off behind its first snapshot. */
async function cutOff(): Promise<Run> {
  const run = await newRun(training)
  await expect(train(run, { fail: 'error', at: 3 })).rejects.toMatchObject({ code: expect.any(String) })
  expect(existsSync(join(run.output, 'training', 'checkpoints', 'step-00000002'))).toBe(true)
  return run
}

describe('a run that was cut off', () => {
  test.for(changes)('is not continued with %s, and nothing is touched', async ([, change, message]) => {
    const run = await cutOff()
    const before = stampFiles(run.output)
    change(run)
    const refusal = { code: 'ERR_RESUME', message: expect.stringMatching(message) }
    await expect(train(run, {}, again)).rejects.toMatchObject(refusal)
    expect(stampFiles(run.output)).toEqual(before)
  })

  test('is refused once, without advice that leads nowhere', async () => {
    const run = await cutOff()
    const [, change, message] = changes[0] as (typeof changes)[number]
    change(run)
    const { code, stderr } = await runCommand(['sft', run.file, '--resume'], { env: doubleEnv() })
    expect([code, stderr.match(new RegExp(message, 'g'))?.length]).toEqual([1, 1])
    expect(stderr).toMatch(
      /Use the same ones, or another output directory to start from the beginning\..*\[ERR_RESUME\]/s,
    )
    expect(stderr).not.toContain('--resume')
  })

  test.for(optionChanges)('goes on with %s, and says so', async ([, change, message]) => {
    const run = await cutOff()
    change(run)
    const { changed } = await planSft(resolveRun(await readRecipe(run.file)), {
      ...again,
      place: 'here',
      signal: undefined,
      onProgress: () => {},
    })
    expect(describeChanges(changed)).toMatch(message)
    await train(run, {}, again)
    // Its options are now those with which it was finished.
    expect(await train(run, untrained, again)).toMatchObject({ reason: 'done' })
  })

  test('is not continued without the record of what it began with', async () => {
    const run = await cutOff()
    rmSync(join(run.output, 'training', 'origin.json'))
    await expect(train(run, {}, again)).rejects.toMatchObject({
      code: 'ERR_RESUME',
      message: expect.stringContaining('origin.json'),
    })
  })
})

test('the trainer itself tells what changed, and the summary keeps it', async () => {
  const steps = 'training: {numTrainEpochs: 2, saveSteps: 5, learningRate: 1e-3}\nlauncher: {threads: 1}'
  const run = await newRun(steps)
  const stop = new AbortController()
  const stopped = sft(run.file, {
    signal: stop.signal,
    onProgress: (progress) => {
      if (progress.phase === 'training' && progress.event.event === 'checkpoint') stop.abort(new Error('enough'))
    },
  })
  await expect(stopped).rejects.toThrow('enough')
  edit(run.file, '1e-3', '2e-3')
  const { code, stdout, stderr } = await runCommand(['sft', run.file, '--resume'])
  expect([code, stderr]).toEqual([
    0,
    expect.stringMatching(/Continuing after step \d+, .*; changed since then: learningRate\n/),
  ])
  expect(stderr).toContain('Changed since the run began: learningRate: 0.001 then, 0.002 now')
  expect(stdout).toMatch(/changed\s+on the way: learningRate/)
  expect(statSync(join(run.output, 'model.safetensors')).size).toBeGreaterThan(0)
})
