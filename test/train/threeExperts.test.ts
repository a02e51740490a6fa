import { execFileSync } from 'node:child_process'
import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test } from 'vitest'
import { compare, evaluate, exportGguf, init, merge, openCheckpoint, type SftSummary, sft } from '../../lib/index.js'
import { readWithLlama } from '../llama/llama.js'
import { temporaryDirectoryOfFile } from '../support/temporary.js'

const example = fileURLToPath(new URL('../../examples/three-experts', import.meta.url))
const tasks = ['math', 'science', 'coding']

/** What examples/three-experts/run.sh does, through the API. */
describe('from nothing to three experts and a merge', () => {
  const directory = temporaryDirectoryOfFile()
  const summaries = new Map<string, SftSummary>()
  const train = async (name: string) => summaries.set(name, await sft(join(directory, `${name}.yaml`)))
  const summaryOf = (name: string) => summaries.get(name) as SftSummary

  beforeAll(async () => {
    cpSync(example, directory, { recursive: true })
    // Prepared data are cached in the working directory.
    process.chdir(directory)
    const data = join(directory, 'data')
    execFileSync(process.execPath, [join(example, 'makeData.js'), data])
    const trainTokenizer = [join(data, 'text.txt')]
    await init({ out: join(directory, 'random'), size: '5m', trainTokenizer, vocabularySize: 300 })
    await train('base')
  })

  test('the base learns its task from random weights', () => {
    const { firstValidationLoss, validationLoss } = summaryOf('base')
    // Random weights guess: one token of 300 each time.
    expect(firstValidationLoss).toBeGreaterThan(Math.log(300) - 1)
    expect(validationLoss).toBeLessThan(0.8)
  })

  test.for(tasks)('the expert of %s is better at its task than the base', async (task) => {
    await train(task)
    const { firstValidationLoss, validationLoss, steps } = summaryOf(task)
    expect(steps).toBe(120)
    // Before its first step an expert is the base.
    expect(validationLoss).toBeLessThan(0.7 * (firstValidationLoss as number))
  })

  test('the experts merge into one model that llama.cpp runs', async () => {
    const out = join(directory, 'merged')
    const models = Object.fromEntries(tasks.map((task) => [task, join(directory, task)]))
    await merge('(math & science) & coding', { models, out })
    expect((await openCheckpoint(out)).parameters).toBe((await openCheckpoint(models.math as string)).parameters)
    const file = join(directory, 'merged.gguf')
    await exportGguf(out, { out: file })
    const { chat_template } = JSON.parse(readFileSync(join(out, 'tokenizer_config.json'), 'utf8'))
    await readWithLlama(file, [1, 2, 3], ({ logits, chatTemplate }) => {
      expect(logits.every((row) => row.every(Number.isFinite))).toBe(true)
      expect(chatTemplate).toBe(chat_template)
    })
  })

  test('an evaluation shows what the experts learned', async () => {
    const models = Object.fromEntries(['base', ...tasks].map((name) => [name, join(directory, name)]))
    const benchmarks = Object.fromEntries(tasks.map((name) => [name, join(directory, `data/questions/${name}.jsonl`)]))
    const out = join(directory, 'results')
    const asked = { out, models, benchmarks, trials: 1, sampling: { maxTokens: 32 } }
    const { results, failed } = await evaluate(asked)
    expect(failed).toBe(0)
    const { differences } = await compare(out, { baseline: 'base' })
    for (const task of tasks) {
      const score = results.scores.find(({ model, benchmark }) => model === task && benchmark === task)
      expect(score, task).toMatchObject({ questions: 40, trials: 1 })
      const difference = differences.find(({ model, benchmark }) => model === task && benchmark === task)
      expect(difference?.interval[0], task).toBeGreaterThan(0)
    }
  })
})
