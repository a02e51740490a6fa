import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fetchData } from '../../lib/data/fetchData.js'
import { fetchEvaluation } from '../../lib/evaluate/fetchEvaluation.js'
import { resolveEvaluation } from '../../lib/evaluate/resolveEvaluation.js'
import { convert, init, prepareData, previewData, selectData } from '../../lib/index.js'
import { recipeObject } from '../../lib/recipe/recipe.js'
import { fetchSelection } from '../../lib/select/run/fetchSelection.js'
import { resolveSelection } from '../../lib/select/run/resolveSelection.js'
import { fetchTeaching } from '../../lib/teach/fetchTeaching.js'
import { resolveTeaching } from '../../lib/teach/resolveTeaching.js'
import { readTeachingQuestions } from '../../lib/teach/teachingQuestions.js'
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
  const { models, benchmarks } = await fetchEvaluation(evaluation, { signal })
  expect(models[0]?.place).toBe(`hf://models/org/asked@${commit}`)
  expect(models[0]?.spec).toMatchObject({ path: expect.stringContaining(`snapshots/${commit}`) })
  expect(readFileSync(benchmarks[0]?.spec.path as string, 'utf8')).toBe(first)
  const whole = {
    ...evaluation,
    benchmarks: [{ ...evaluation.benchmarks[0], spec: { name: 'x', path: 'hf://datasets/org/asked-sums' } }],
  }
  await expect(fetchEvaluation(whole as typeof evaluation, { signal })).rejects.toMatchObject({ code: 'ERR_BENCHMARK' })
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
  const { sources, tokenizer } = await fetchSelection(selection, {})
  expect(sources[0]?.paths.map((path) => path.split('/').at(-1))).toEqual(['a.jsonl', 'b.jsonl'])
  expect(readFileSync(join(tokenizer as string, 'tokenizer.json'), 'utf8')).toContain('"model"')
})

test('a selection takes the questions that its rows must not hold by name', async () => {
  publish('contaminated')
  const questions = `${JSON.stringify({ question: 'What is 3 plus 4, and why is it that?' })}\n`
  server.add('org/asked-before', [hubFile('test.jsonl', questions)], { kind: 'dataset' })
  const out = join(temporaryDirectory(), 'rows.jsonl')
  const row = (question: string) => ({
    messages: [
      { role: 'user', content: question },
      { role: 'assistant', content: 'Seven.' },
    ],
  })
  const source = writeLines(join(temporaryDirectory(), 'rows.jsonl'), [
    row('What is 3 plus 4, and why is it that?'),
    row('What is the capital of France?'),
  ])
  const against = { name: 'before', path: 'hf://datasets/org/asked-before', column: 'question' }
  const downloads: number[] = []
  const { rows } = await selectData(
    {
      sources: [{ path: source, map: { messages: 'messages' } }],
      steps: [{ contamination: { benchmarks: [against] } }],
    },
    { out, onDownload: ({ bytesDone }) => downloads.push(bytesDone) },
  )
  expect(rows).toBe(1)
  expect(readFileSync(out, 'utf8')).toContain('France')
  expect(readFileSync(`${out}.rejected.jsonl`, 'utf8')).toContain('contaminated')
  expect(downloads.at(-1)).toBe(questions.length)
  expect(readFileSync(`${out}.selection.json`, 'utf8')).toContain('hf://datasets/org/asked-before')
})

test('a data set of several splits is not taken as a whole', async () => {
  const file = (path: string) => hubFile(path, first)
  const names = ['main/train-00000-of-00002.jsonl', 'main/train-00001-of-00002.jsonl', 'main/test-00000-of-00001.jsonl']
  server.add('org/splits', names.map(file), { kind: 'dataset' })
  server.add('org/plainly', [file('training/a.jsonl'), file('training/b.jsonl'), file('dev/a.jsonl')], {
    kind: 'dataset',
  })
  publish('split-model')
  const preview = (source: string) => previewData({ model: 'org/split-model', sources: [source] })
  await expect(preview('org/splits')).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: expect.stringContaining('main/test-00000-of-00001.jsonl'),
  })
  await expect(preview('hf://datasets/org/plainly')).rejects.toThrow('several: dev/a.jsonl, training/a.jsonl')
  const { samples } = await preview('hf://datasets/org/splits/main/train-*.jsonl')
  expect(samples).toHaveLength(1)
  expect((await preview('hf://datasets/org/plainly/training')).samples).toHaveLength(1)
})

test('a teaching takes teacher, questions and tokenizer by name', async () => {
  const commit = publish('teacher')
  server.add(
    'org/questions',
    [hubFile('a.jsonl', '{"question":"What is 1 + 1?"}\n'), hubFile('b.jsonl', '{"question":"What is 1 + 2?"}\n')],
    { kind: 'dataset' },
  )
  const teaching = resolveTeaching(
    recipeObject({
      questions: 'org/questions',
      teacher: { path: 'org/teacher' },
      out: join(directory, 'taught.jsonl'),
      tokenizer: 'org/teacher',
    }),
  )
  const downloads: number[] = []
  const { resolved, questions } = await fetchTeaching(teaching, {
    onProgress: ({ bytesTotal }) => downloads.push(bytesTotal),
  })
  expect(resolved.teacher).toMatchObject({
    place: `hf://models/org/teacher@${commit}`,
    spec: { path: expect.stringContaining(commit) },
  })
  expect(resolved.tokenizer).toContain(join('models--org--teacher', 'snapshots', commit))
  const { signal } = new AbortController()
  const read = await readTeachingQuestions(questions, { grader: undefined, limit: undefined }, signal)
  expect(read.questions.map(({ id }) => id)).toEqual(['1', '2'])
  expect(downloads.length).toBeGreaterThan(0)
})

test('a new model has the tokenizer and the configuration of names, whose weights are not fetched', async () => {
  publish('initial')
  const out = join(temporaryDirectory(), 'new')
  server.requests.length = 0
  const made = await init({ out, size: '1m', tokenizer: 'org/initial' })
  expect(made.vocabularySize).toBeGreaterThan(256)
  const tokenizer = readFileSync(join(writeModel({ template: plainChatml }), 'tokenizer.json'), 'utf8')
  expect(readFileSync(join(out, 'tokenizer.json'), 'utf8')).toBe(tokenizer)
  const { architectures: _, ...config } = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'))
  server.add('org/configured', [hubFile('config.json', JSON.stringify({ ...config, num_hidden_layers: 1 }))])
  const again = join(temporaryDirectory(), 'again')
  await init({ out: again, config: 'org/configured', tokenizer: 'hf://models/org/initial/tokenizer.json' })
  expect(JSON.parse(readFileSync(join(again, 'config.json'), 'utf8')).num_hidden_layers).toBe(1)
  expect(server.requests.filter(({ path }) => path.startsWith('store') || /safetensors/.test(path))).toEqual([])
  await expect(init({ out: join(directory, 'none'), size: '1m', tokenizer: 'org/nowhere' })).rejects.toMatchObject({
    code: 'ERR_HUB_NOT_FOUND',
    message: expect.stringContaining('There is no directory org/nowhere here'),
  })
})

test('a configuration of LLaMA-Factory may name models and data sets of the Hub', async () => {
  const place = temporaryDirectory()
  const info = {
    here: { hf_hub_url: 'org/train-sums', ms_hub_url: 'other/sums', folder: 'data' },
    part: { hf_hub_url: 'org/train-sums', subset: 'hard' },
    split: { hf_hub_url: 'org/train-sums', split: 'train_sft' },
  }
  mkdirSync(join(place, 'data'))
  writeFileSync(join(place, 'data', 'dataset_info.json'), JSON.stringify(info))
  const file = join(place, 'train.yaml')
  const write = (dataset: string, more = '') =>
    writeFileSync(
      file,
      `stage: sft\nfinetuning_type: full\nmodel_name_or_path: org/train\n${more}dataset_dir: ${join(place, 'data')}\n` +
        `dataset: ${dataset}\noutput_dir: ${join(place, 'expert')}\n`,
    )
  write('here', 'model_revision: v2\n')
  expect(await convert(file)).toMatchObject({
    run: {
      model: 'hf://models/org/train@v2',
      data: { sources: [{ path: 'hf://datasets/org/train-sums/data', name: 'here' }] },
    },
  })
  write('part')
  await expect(convert(file)).rejects.toThrow('subset "hard" of a data set on the Hub is not supported')
  write('split')
  await expect(convert(file)).rejects.toThrow('hf://datasets/org/train-sums/data/train_sft-*.parquet')
})
