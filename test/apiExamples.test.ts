import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { expect, onTestFinished, test } from 'vitest'
import * as api from '../lib/index.js'
import { writeExperts } from './support/experts.js'
import { beginEvents, ScriptedServer, streamOf, withProbe } from './support/scriptedServer.js'
import { doubleEnv, newRun } from './support/sftRun.js'
import { temporaryDirectory } from './support/temporary.js'

const sections = readFileSync(new URL('../docs/api.md', import.meta.url), 'utf8').split(/^## /m)
const models = { math: 'path/math', science: 'path/science', coding: 'path/coding' }
const expression = '(math & science) & coding'

/** The code of a section of docs/api.md. */
function example(title: string): string {
  const text = sections.find((section) => section.startsWith(`${title}\n`)) ?? ''
  const [, code] = /^```ts\n([\s\S]*?)^```$/m.exec(text) ?? []
  if (code === undefined) throw new Error(`There is no example under ${title}`)
  return code
}

/** Runs code that has the package's exports and `models` in scope, and gives back the value of `result`. */
function run(code: string, result = 'undefined'): Promise<unknown> {
  const console = { log() {}, error() {} }
  const scope: Record<string, unknown> = { ...api, console, ...(/^const models\b/m.test(code) ? {} : { models }) }
  const names = Object.keys(scope)
  return new Function(...names, `return (async () => {${code}\nreturn ${result}})()`)(
    ...names.map((name) => scope[name]),
  )
}

/** A working directory with what the examples take for granted. */
function setting(): void {
  process.chdir(temporaryDirectory())
  mkdirSync('path')
  writeExperts('path')
  for (const [from, to] of [
    ['math', 'left'],
    ['science', 'right'],
    ['coding', 'model'],
  ]) {
    cpSync(`path/${from}`, `path/${to}`, { recursive: true })
  }
  for (const name of ['recipe', 'a', 'b']) writeFileSync(`${name}.yaml`, `expression: ${expression}\n`)
}

test.each(['fuse: two checkpoints', 'merge', 'openCheckpoint'])('%s', async (title) => {
  setting()
  await run(example(title))
})

test('devices', async () => {
  expect(await run(example('devices'), 'found')).toBeInstanceOf(Array)
})

test('fuse: two tensors in memory gives what its comment says', async () => {
  const code = example('fuse: two tensors in memory')
  const [, values, kept] = /\/\/ tensor\.data: (.*); stats\.kept: (.*)/.exec(code) ?? []
  expect(await run(code, '[[...tensor.data], stats.kept]')).toEqual([JSON.parse(values as string), Number(kept)])
})

test('mergePart, finishMerge, with the parts that the example leaves to other machines', async () => {
  setting()
  for (const part of [1, 3, 4]) await api.mergePart(expression, { models, out: 'path/merged', part, parts: 4 })
  await run(example('mergePart, finishMerge'))
})

test('batch, verify, reproduce', async () => {
  setting()
  await api.merge(expression, { models, out: 'path/merged' })
  expect(await run(example('batch, verify, reproduce'), '[results.map(({ status }) => status), problems]')).toEqual([
    ['done', 'done'],
    [],
  ])
})

test('plan tells what merge and fuse then do', async () => {
  setting()
  const record = '{ bytesToRead, diskBytes, notes, differences }'
  const planned = (await run(example('plan'), record)) as { bytesToRead: number; diskBytes: number; notes: string[] }
  expect(existsSync('path/merged')).toBe(false)
  const { bytesRead, bytesWritten } = await api.merge('recipe.yaml', { models, out: 'path/merged' })
  expect(planned).toMatchObject({ bytesToRead: bytesRead, notes: ['Not copied from math: README.md'] })
  expect(planned.diskBytes).toBeGreaterThan(bytesWritten)
})

test('plan.sft tells the steps and the command of a run, and trains nothing', async () => {
  const { file, output } = await newRun()
  Object.assign(process.env, doubleEnv())
  const phases = new Set<string>()
  const planned = await api.plan.sft(file, { onProgress: ({ phase }) => phases.add(phase) })
  expect(planned).toMatchObject({ plan: { totalSteps: 6 }, run: { output }, trainerRun: { resume: false } })
  expect(planned.command.join(' ')).toContain('trainerDouble.js')
  expect([...phases]).toEqual(['data'])
  expect(existsSync(output)).toBe(false)
  await expect(api.plan.sft(file, { slurm: true } as object)).rejects.toThrow('Unknown option')
})

test('convert, and the merge of the file itself has the same bytes', async () => {
  setting()
  const models = '[{model: path/math, parameters: {weight: 2}}, {model: path/science, parameters: {weight: 1}}]'
  writeFileSync('mergekit.yml', `merge_method: linear\nmodels: ${models}\ntokenizer_source: path/math\n`)
  const converted = await run(example('convert'), 'converted')
  expect(converted).toEqual(await api.convert('mergekit.yml', { out: 'recipe2.yaml' }))
  expect(converted).toMatchObject({
    recipe: { models: { math: 'path/math', science: 'path/science' }, steps: [{ options: { weight: [2, 1] } }] },
    notes: [expect.stringMatching(/^tokenizer_source: mergekit cuts embeddings/)],
  })
  await api.merge('mergekit.yml', { out: 'path/direct' })
  await api.merge('recipe2.yaml', { out: 'path/converted' })
  const tensors = async (path: string) =>
    (await api.openCheckpoint(path)).files.map(({ path: file }) => readFileSync(file))
  expect(await tensors('path/direct')).toEqual(await tensors('path/merged'))
  expect(await tensors('path/direct')).toEqual(await tensors('path/converted'))
  expect((await api.plan.merge('mergekit.yml', { out: 'x' })).notes).toEqual(
    expect.arrayContaining((converted as { notes: string[] }).notes),
  )
  await expect(api.convert('mergekit.yml', { out: 'recipe2.yaml' })).rejects.toMatchObject({
    code: 'ERR_OUTPUT_EXISTS',
  })
  await expect(api.sft('mergekit.yml')).rejects.toThrow(
    'Expected a run but mergekit.yml is a configuration of mergekit',
  )
})

test('report gives the fractions that the merge told, and draws them', async () => {
  setting()
  // A tensor that is the same on both sides says nothing of what was taken, and is not drawn.
  const kept = [0, 0]
  const onTensor = ({ steps }: api.MergedTensorStats) => {
    for (const [i, step] of steps.entries()) if (!step.identical) kept[i] = (kept[i] as number) + step.kept
  }
  const { merges } = await api.merge(expression, { models, out: 'path/merged', onTensor })
  const steps = (await run(example('report'), 'steps')) as { name: string; total: { kept: number } }[]
  expect(steps.map(({ name, total }) => [name, total.kept])).toEqual(merges.map(({ id }, i) => [id, kept[i]]))
  expect(readFileSync('merged.svg', 'utf8')).toMatch(/^<svg /)
  expect(await api.report('path/merged')).toMatchObject({ steps, notDrawn: [] })
})

test('merge without options, where the recipe has them', async () => {
  setting()
  const paths = { math: 'path/math', science: 'path/science' }
  const summary = await api.merge({ models: paths, expression: 'math & science', output: { path: 'path/alone' } })
  expect(summary.models).toEqual(['math', 'science'])
  expect(existsSync('path/alone/branchmerge.json')).toBe(true)
})

test('evaluate, regrade, compare', async () => {
  process.chdir(temporaryDirectory())
  const rows = [0, 1, 2, 3].map((i) => ({ id: i, question: `What is ${i} + 1?`, answer: i + 1, grader: 'integer' }))
  writeFileSync('questions.jsonl', rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  // The base always says 2; the merged model adds.
  const script = withProbe(
    ({ body }, response) => {
      const [, number] = /(\d) \+ 1/.exec(body.messages.at(-1).content) ?? []
      beginEvents(response)
      response.end(streamOf([`\\boxed{${body.model === 'base' ? 2 : Number(number) + 1}}`]))
    },
    { models: [{ id: 'base' }, { id: 'merged' }] },
  )
  const server = await ScriptedServer.start(script)
  onTestFinished(() => server.stop())
  const code = example('evaluate, regrade, compare').replace('http://localhost:8000/v1', server.url)
  const found = await run(code, '({ results, failed, changed, scores, differences })')
  expect(found).toMatchObject({
    failed: 0,
    changed: 0,
    scores: [
      { model: 'base', passAt1: 0.25 },
      { model: 'merged', passAt1: 1 },
    ],
    differences: [{ model: 'merged', baseline: 'base', delta: 0.75 }],
  })
  expect((found as { results: api.EvaluationResults }).results.scores).toHaveLength(2)
  const reason = new Error('enough')
  await expect(api.compare('results', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
  await expect(api.regrade('results', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
})

test('teach', async () => {
  process.chdir(temporaryDirectory())
  const rows = [0, 1, 2, 3].map((i) => ({ id: i, question: `What is ${i} + 1?`, answer: i + 1, grader: 'integer' }))
  writeFileSync('questions.jsonl', rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  const script = withProbe((_, response) => {
    beginEvents(response)
    response.end(streamOf(['\\boxed{2}']))
  })
  const server = await ScriptedServer.start(script)
  onTestFinished(() => server.stop())
  const code = example('teach').replace('http://localhost:8000/v1', server.url)
  const found = await run(code, '({ counts, failed })')
  // Three questions are asked as often as is allowed, and one is right at once.
  expect(found).toMatchObject({ failed: 0, counts: { answers: 25, accepted: 1, rejected: { 'wrong-answer': 24 } } })
  const reason = new Error('enough')
  const again = { questions: 'questions.jsonl', teacher: server.url, out: 'other.jsonl' }
  await expect(api.teach(again, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)
})

test('verifyMath', async () => {
  expect(await run(example('verifyMath'), '({ equal, rule, unsupported })')).toEqual({
    equal: true,
    rule: expect.any(String),
    unsupported: false,
  })
})
