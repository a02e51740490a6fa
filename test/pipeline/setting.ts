import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { onTestFinished } from 'vitest'
import { beginEvents, ScriptedServer, streamOf, withProbe } from '../support/scriptedServer.js'
import { temporaryDirectory } from '../support/temporary.js'
import { tinyModel } from '../support/tinyModel.js'

let made: Promise<string> | undefined

/** A model of random weights, made once for all tests of a file. */
function base(): Promise<string> {
  made ??= (async () => {
    const directory = mkdtempSync(join(tmpdir(), 'branchmerge-base-'))
    process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
    return await tinyModel({ directory })
  })()
  return made
}

const lines = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('')

export const additions = (count: number, first = 0): object[] =>
  Array.from({ length: count }, (_, i) => ({
    id: `q${first + i}`,
    question: `What is ${first + i} + 5?`,
    answers: [`${first + i + 5}`],
    answer: first + i + 5,
    grader: 'integer',
  }))

export const writeRows = (path: string, rows: readonly object[]): void => writeFileSync(path, lines(rows))

const training = (data: string): string => `
      model: base
      data: {sources: [${data}], cutoffLength: 64, packing: none, cache: cache}
      training: {maxSteps: 3, learningRate: 1e-2, saveSteps: 1}
      launcher: {threads: 1}`

/** A pipeline with every kind of step but a teacher's. */
export const pipelineText = (models: string): string => `# yaml-language-server: $schema=recipes/pipeline.schema.json
out: results
steps:
  numbers:
    select:
      sources: [{path: rows.jsonl, map: {question: question, answers: answers, reference: answer}}]
      steps: [{duplicates: {of: question}}]
  left:
    sft:${training(`'\${numbers}'`)}
  right:
    sft:${training('other.jsonl')}
  merged:
    merge:
      models: {left: '\${left}', right: '\${right}'}
      expression: left & right
      options: {lambda: 1.5}
    threads: 1
  fused:
    fuse: {left: '\${left}', right: '\${right}', preset: paper}
  scores:
    evaluate:
      models: ${models}
      benchmarks: {sums: questions.jsonl}
      trials: 1
      sampling: {maxTokens: 4}
  table:
    compare: {evaluations: ['\${scores}'], samples: 100}
`

/** The models are asked themselves, through llama.cpp. */
export const embedded = `{left: '\${left}', merged: '\${merged}'}`

/** A server is asked, which is quicker; that the steps hang on each other is the same. */
export const served = (url: string): string =>
  `{first: {urls: ['${url}'], model: served, tokenizer: '\${left}'}, second: {urls: ['${url}'], model: served, tokenizer: '\${merged}'}}`

/** In the order of the file, which is one in which they can run. */
export const allSteps = ['numbers', 'left', 'right', 'merged', 'fused', 'scores', 'table']

/** A directory with a model, data, questions and pipeline.yaml. */
export async function newPipeline(text: string): Promise<{ cwd: string; file: string; out: string }> {
  const cwd = temporaryDirectory()
  cpSync(await base(), join(cwd, 'base'), { recursive: true })
  writeRows(join(cwd, 'rows.jsonl'), additions(12))
  writeRows(
    join(cwd, 'other.jsonl'),
    Array.from({ length: 12 }, (_, i) => ({
      messages: [
        { role: 'user', content: `${i} - ${i}` },
        { role: 'assistant', content: '0' },
      ],
    })),
  )
  writeRows(join(cwd, 'questions.jsonl'), additions(3, 100))
  const file = join(cwd, 'pipeline.yaml')
  writeFileSync(file, text)
  return { cwd, file, out: join(cwd, 'results') }
}

/** Contents of all files below a directory, by their paths. */
export function filesBelow(directory: string): Map<string, string> {
  const found = new Map<string, string>()
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (statSync(path).isFile()) found.set(relative(directory, path), readFileSync(path, 'latin1'))
  }
  return found
}

/** A server that says the same to everything. */
export async function newServer(): Promise<ScriptedServer> {
  const server = await ScriptedServer.start(
    withProbe((_, response) => {
      beginEvents(response)
      response.end(streamOf(['\\boxed{105}']))
    }),
  )
  onTestFinished(() => server.stop())
  return server
}
