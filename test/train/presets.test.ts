import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { recipeObject } from '../../lib/recipe/recipe.js'
import { resolveRun } from '../../lib/train/resolveRun.js'
import { trainingPresets } from '../../lib/train/trainingPresets.js'

/** train/run.sh of Qihoo360/TinyR1-32B-Preview with the arguments that its README gives for each domain. */
const published = {
  'tinyr1-math': { epochs: 5, accumulation: 3, schedule: 'constant_with_warmup', packing: 'pack', batch: 96 },
  'tinyr1-science': { epochs: 5, accumulation: 1, schedule: 'cosine', packing: 'neat', batch: 32 },
  'tinyr1-coding': { epochs: 15, accumulation: 3, schedule: 'constant_with_warmup', packing: 'neat', batch: 96 },
} as const

const run = (preset: string, processes = 32) => ({
  preset,
  model: 'base',
  output: 'expert',
  data: { sources: ['data.jsonl'] },
  launcher: { processes },
})

test.each(Object.entries(published))('%s is what its authors ran', (preset, row) => {
  const { training, data, launcher, notes } = resolveRun(recipeObject(run(preset)))
  expect(training).toMatchObject({
    numTrainEpochs: row.epochs,
    gradientAccumulationSteps: row.accumulation,
    lrSchedulerType: row.schedule,
    perDeviceTrainBatchSize: 1,
    learningRate: 1e-5,
    warmupRatio: 0.1,
    adamBeta1: 0.9,
    adamBeta2: 0.95,
    adamEpsilon: 1e-8,
    weightDecay: 0.01,
    maxGradNorm: 1,
    seed: 42,
    saveSteps: 200,
    lossNormalization: 'micro_mean',
    zeroStage: 3,
    recompute: 'full',
  })
  expect(data).toMatchObject({ packing: row.packing, cutoffLength: 16_384 })
  expect(training.perDeviceTrainBatchSize * training.gradientAccumulationSteps * launcher.processes).toBe(row.batch)
  expect(notes).toEqual([])
})

test.each(['math', 'coding'] as const)('the paper of %s differs from the script in the schedule alone', (domain) => {
  const [script, paper] = [trainingPresets[`tinyr1-${domain}`], trainingPresets[`tinyr1-${domain}-paper`]]
  expect(paper).toEqual({ ...script, training: { ...script.training, lrSchedulerType: 'constant', warmupRatio: 0 } })
})

test('a run of fewer processes is told that its steps are smaller, and how they would be the same', () => {
  const { notes } = resolveRun(recipeObject(run('tinyr1-math', 4)))
  expect(notes).toEqual([
    'A step of tinyr1-math has 96 packs, and one of this run 12: training.gradientAccumulationSteps 24 makes it the same',
  ])
})

test('what a run says itself comes before the preset', () => {
  const given = { ...run('tinyr1-science'), training: { learningRate: 2e-5 } }
  const { training, data } = resolveRun(recipeObject({ ...given, data: { ...given.data, packing: 'none' } }))
  expect([training.learningRate, training.lrSchedulerType, data.packing]).toEqual([2e-5, 'cosine', 'none'])
})

test('docs/sft.md has each preset', () => {
  const page = readFileSync('docs/sft.md', 'utf8')
  for (const name of Object.keys(trainingPresets)) expect(page).toContain(`\`${name}\``)
})
