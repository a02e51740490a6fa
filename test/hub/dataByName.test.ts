import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fetchData } from '../../lib/data/fetchData.js'
import { fetchEvaluation } from '../../lib/evaluate/fetchEvaluation.js'
import { resolveEvaluation } from '../../lib/evaluate/resolveEvaluation.js'
import { prepareData, previewData } from '../../lib/index.js'
import { recipeObject } from '../../lib/recipe/recipe.js'
import { fetchSelection } from '../../lib/select/run/fetchSelection.js'
import { resolveSelection } from '../../lib/select/run/resolveSelection.js'
import { resolveRun, withLocalData } from '../../lib/train/resolveRun.js'
import { plainChatml, sums, writeLines, writeModel } from '../data/support.js'
import { HubServer, hubFile, hubFiles } from '../support/hubServer.js'
import { temporaryDirectory, temporaryDirectoryOfFile } from '../support/temporary.js'
import { drawModel, safetensorsBytes } from '../support/writeCheckpoint.js'

let server: HubServer
const directory = temporaryDirectoryOfFile()
const rows = (name: string, count: number, first: number) =>
  readFileSync(writeLines(join(directory, name), sums(count, first)), 'utf8')
const first = rows('a.jsonl', 30, 0)

beforeAll(async () => {
  server = await HubServer.start()
  const cache = join(directory, 'cache')
  Object.assign(process.env, { HF_ENDPOINT: server.endpoint, HF_HUB_CACHE: cache, HF_HOME: cache })
})
afterAll(() => server.close())

function publish(name: string): string {
  const model = hubFiles(writeModel({ template: plainChatml })).filter(({ lfs }) => !lfs)
  const weights = hubFile('model.safetensors', safetensorsBytes(drawModel()))
  const { refs } = server.add(`org/${name}`, [...model, weights])
  const files = [
    hubFile('data/a.jsonl', first),
    hubFile('data/b.jsonl', rows('b.jsonl', 20, 30)),
    hubFile('README.md', '# Sums'),
  ]
  server.add(`org/${name}-sums`, files, { kind: 'dataset' })
  return refs.get('main') as string
}

test('data is prepared and shown by the names of a model and a data set, without weights', async () => {
  publish('prepare')
  const cache = temporaryDirectory()
  const model = 'org/prepare'
  const whole = await prepareData({ model, sources: ['org/prepare-sums'], cutoffLength: 256, cache })
  expect(whole.sources[0]?.rows).toBe(50)
  const part = await prepareData({
    model,
    sources: [{ path: 'hf://datasets/org/prepare-sums/data/a*.jsonl', name: 'a' }],
    cutoffLength: 256,
    cache,
  })
  expect(part.sources[0]?.rows).toBe(30)
  const { samples } = await previewData({ model, sources: ['hf://datasets/org/prepare-sums@main/data/b.jsonl'] })
  expect(samples[0]?.row).toBe(0)
  expect(server.requests.filter(({ path }) => path.startsWith('store'))).toEqual([])
})

test('a training is made of what its names are now, and its run file names that', async () => {
  const commit = publish('train')
  const run = resolveRun(
    recipeObject({ model: 'org/train', output: join(directory, 'expert'), data: { sources: ['org/train-sums'] } }),
  )
  const local = withLocalData(run, await fetchData(run.model, run.data, 'model', { signal: undefined }))
  expect(local.model).toContain(join('models--org--train', 'snapshots', commit))
  expect(local.options.model).toBe(local.model)
  expect(readFileSync(join(local.model, 'model.safetensors'))).toHaveLength(safetensorsBytes(drawModel()).length)
  expect(local.data.sources[0]?.paths.map((path) => path.split('/').at(-1))).toEqual(['a.jsonl', 'b.jsonl'])
})

test('an evaluation takes models and benchmarks by name, and records the commit', async () => {
  const commit = publish('asked')
  const evaluation = resolveEvaluation(
    recipeObject({
      out: join(directory, 'results'),
      models: { asked: 'org/asked' },
      benchmarks: { sums: 'hf://datasets/org/asked-sums/data/a.jsonl' },
    }),
  )
  const { signal } = new AbortController()
  const { models, benchmarks } = await fetchEvaluation(evaluation, signal)
  expect(models[0]?.place).toBe(`hf://models/org/asked@${commit}`)
  expect(models[0]?.spec).toMatchObject({ path: expect.stringContaining(`snapshots/${commit}`) })
  expect(readFileSync(benchmarks[0]?.spec.path as string, 'utf8')).toBe(first)
  const whole = {
    ...evaluation,
    benchmarks: [{ ...evaluation.benchmarks[0], spec: { name: 'x', path: 'hf://datasets/org/asked-sums' } }],
  }
  await expect(fetchEvaluation(whole as typeof evaluation, signal)).rejects.toMatchObject({ code: 'ERR_BENCHMARK' })
})

test('a selection takes sources and its tokenizer by name', async () => {
  publish('select')
  const selection = resolveSelection(
    recipeObject({
      sources: [{ path: 'org/select-sums', map: { messages: 'messages' } }],
      tokenizer: 'org/select',
      steps: [],
    }),
  )
  const { sources, tokenizer } = await fetchSelection(selection, new AbortController().signal)
  expect(sources[0]?.paths.map((path) => path.split('/').at(-1))).toEqual(['a.jsonl', 'b.jsonl'])
  expect(readFileSync(join(tokenizer as string, 'tokenizer.json'), 'utf8')).toContain('"model"')
})
