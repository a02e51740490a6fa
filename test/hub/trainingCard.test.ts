import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse } from 'yaml'
import { push, type SftProgress, sft, writeGradient } from '../../lib/index.js'
import { sums, writeLines } from '../data/support.js'
import { HubServer, hubFile, hubFiles } from '../support/hubServer.js'
import { runCommand } from '../support/runCommand.js'
import { newRun } from '../support/sftRun.js'
import { temporaryDirectory, temporaryDirectoryOfFile } from '../support/temporary.js'

let server: HubServer
const cache = temporaryDirectoryOfFile()
beforeAll(async () => {
  server = await HubServer.start()
  const { endpoint, token } = server
  Object.assign(process.env, { HF_ENDPOINT: endpoint, HF_HUB_CACHE: cache, HF_HOME: cache, HF_TOKEN: token })
})
afterAll(() => server.close())

const training = { numTrainEpochs: 1, learningRate: 1e-3, perDeviceTrainBatchSize: 4, saveSteps: null }

/** A model and data on the Hub, and a run of them with a file of this machine beside. */
async function publishedRun(name: string) {
  const { directory, model } = await newRun()
  const card = hubFile('README.md', '---\nlicense: apache-2.0\n---\n# A base\n')
  const base = server.add(`org/${name}`, [...hubFiles(model), card]).refs.get('main') as string
  const rows = readFileSync(writeLines(join(directory, 'sums.jsonl'), sums(12)), 'utf8')
  const data = server.add(`org/${name}-sums`, [hubFile('sums.jsonl', rows)], { kind: 'dataset' }).refs.get('main')
  const run = {
    model: `org/${name}`,
    output: join(directory, 'expert'),
    data: {
      sources: [`org/${name}-sums`, { path: join(directory, 'data.jsonl'), name: 'mine' }],
      cutoffLength: 128,
      validation: { count: 2 },
      cache: join(directory, 'data'),
    },
    training,
    launcher: { threads: 1 },
  }
  return { run, base, data: data as string, output: run.output }
}

const cardIn = (output: string, name = 'README.md') => readFileSync(join(output, name), 'utf8')

test('the card of a training has its model and data by commit, its settings and its losses', async () => {
  const { run, base, data, output } = await publishedRun('carded-base')
  const summary = await sft(run)
  const text = cardIn(output)
  const [, front = '', body = ''] = /^---\n(.*?)\n---\n(.*)$/s.exec(text) ?? []
  expect(parse(front)).toEqual({
    base_model: ['org/carded-base'],
    base_model_relation: 'finetune',
    datasets: ['org/carded-base-sums'],
    library_name: 'transformers',
    license: 'apache-2.0',
    tags: ['sft', 'branchmerge'],
  })
  expect(body).toContain('# Fine-tune of org/carded-base\n')
  expect(body).toContain(`https://huggingface.co/org/carded-base/tree/${base}`)
  expect(body).toContain(`https://huggingface.co/datasets/org/carded-base-sums/tree/${data}`)
  expect(body).toMatch(/\| `mine` \| local files \| 24 \|/)
  const [, settings = ''] = /```yaml\n(.*?)```/s.exec(body) ?? []
  expect(parse(settings)).toMatchObject({ training, data: { cutoffLength: 128, validation: { count: 2 } } })
  expect(body).toContain(
    `| training loss | ${summary.firstLoss?.toPrecision(4)} | ${summary.loss?.toPrecision(4)} |\n| validation loss |`,
  )
  // Nothing of this machine.
  expect(text).not.toContain('/tmp')
  expect(text).not.toContain(server.token)
  const provenance = JSON.parse(readFileSync(join(output, 'training', 'provenance.json'), 'utf8'))
  expect(provenance).toMatchObject({
    model: `hf://models/org/carded-base@${base}`,
    sources: [{ files: [{ origin: `hf://datasets/org/carded-base-sums/sums.jsonl@${data}` }] }, { name: 'mine' }],
  })
  // Done already: the card is what it was, and what people write into it stays.
  await sft(run, { resume: true })
  expect(cardIn(output)).toBe(text)
  appendFileSync(join(output, 'README.md'), '\nMine.\n')
  const notes: string[] = []
  const onProgress = (progress: SftProgress) => {
    if (progress.phase === 'log') notes.push(progress.line)
  }
  await sft(run, { resume: true, onProgress })
  expect(cardIn(output)).toBe(`${text}\nMine.\n`)
  expect(cardIn(output, 'README.branchmerge.md')).toBe(text)
  expect(notes.join('\n')).toContain('was written by people and stays; the card is README.branchmerge.md')
  await push(output, 'org/trained')
  const pushed = server.repositories.get('models/org/trained')
  const sent = pushed?.commits.get(pushed.refs.get('main') as string)?.map(({ path }) => path)
  expect(sent).toEqual(expect.arrayContaining(['README.md', 'model.safetensors', 'config.json']))
  expect(sent?.filter((path) => path.startsWith('training/'))).toEqual([])
})

test('--no-card leaves none', async () => {
  const { file, output } = await newRun('training: {maxSteps: 1}\nlauncher: {threads: 1}')
  const { code, stderr } = await runCommand(['sft', file, '--no-card'])
  expect({ code, stderr }).toMatchObject({ code: 0 })
  expect(existsSync(join(output, 'model.safetensors'))).toBe(true)
  expect(existsSync(join(output, 'README.md'))).toBe(false)
})

test('a gradient takes a model and data by name', async () => {
  const { run } = await publishedRun('gradient-base')
  const out = join(temporaryDirectory(), 'gradient')
  const { model, packs } = await writeGradient(run, { out, packs: 1 })
  expect({ model, packs }).toEqual({ model: 'hf://models/org/gradient-base', packs: 1 })
})
