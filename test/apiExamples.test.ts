import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import * as api from '../lib/index.js'
import { writeExperts } from './support/experts.js'
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
