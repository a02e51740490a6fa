import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { checkPrepareOptions, resolveData } from '../../lib/data/options.js'
import { Problems } from '../../lib/recipe/problems.js'
import { readYaml, type YamlDocument } from '../../lib/recipe/readYaml.js'

const resolved = (data: object) => checkPrepareOptions({ model: 'm', ...data } as never).data

test('defaults', () => {
  expect(resolved({ sources: ['rows/math.jsonl.gz'] })).toEqual({
    sources: [
      {
        name: 'math',
        paths: ['rows/math.jsonl.gz'],
        format: 'auto',
        columns: {},
        tags: {},
        where: [],
        choose: [],
        reasoning: undefined,
        take: undefined,
        weight: 1,
      },
    ],
    tokenizer: undefined,
    template: 'checkpoint',
    system: undefined,
    think: 'target',
    missingThink: 'leave',
    train: 'assistant',
    maskHistory: false,
    cutoffLength: 16384,
    excessLengthStrategy: 'truncate',
    packing: 'neat',
    packingBatch: 1000,
    validation: undefined,
    seed: 42,
    maxBadRows: 0.01,
    cache: resolve('.branchmerge/data'),
  })
  expect(resolved({ sources: ['a'], template: 'deepseekr1' }).missingThink).toBe('target')
  expect(resolved({ sources: ['a'], template: 'deepseekr1', missingThink: 'leave' }).missingThink).toBe('leave')
})

test('paths start from the file, values are lists', () => {
  const problems = new Problems('run.yaml', () => ({ text: '', order: 0 }))
  const source = {
    path: ['a/*.parquet', '/b'],
    columns: { prompt: 'q', response: 'r' },
    where: { x: [1, null] },
    choose: { y: true },
  }
  const data = resolveData({ sources: [source], tokenizer: 't', template: 'x.jinja', cache: 'c' }, problems, {
    directory: '/run',
  })
  expect(problems.count).toBe(0)
  expect(data).toMatchObject({
    sources: [
      {
        name: '*',
        paths: ['/run/a/*.parquet', '/b'],
        format: 'columns',
        where: [['x', [1, null]]],
        choose: [['y', [true]]],
      },
    ],
    tokenizer: '/run/t',
    template: '/run/x.jinja',
    cache: '/run/c',
  })
})

test('all that is wrong is told at once, with its place in the file', () => {
  const text = `data:
  sources:
    - 5
    - { path: x, wher: 1, take: 0, weight: -1 }
    - { path: [3], where: { a: {} }, choose: { b: 1 } }
  validation: { fraction: 0.1, count: 3 }
  cutoffLength: 1
  pakking: neat
`
  const [document] = readYaml(text, 'run.yaml') as [YamlDocument]
  const { data: value } = document.value as { data: unknown }
  const problems = new Problems('run.yaml', document.locate)
  expect(resolveData(value, problems, { base: ['data'] })).toBeUndefined()
  expect(() => problems.throwIfAny()).toThrow(
    expect.objectContaining({
      code: 'ERR_RECIPE',
      message: [
        'run.yaml has 9 problems:',
        '  run.yaml:3:7: Expected a path, or an object with path for sources[0] but received 5 of type number',
        '  run.yaml:4:18: Unknown key "wher": did you mean where?',
        '  run.yaml:4:33: Expected an integer from 1 to 1000000000 for sources[1].take but received 0 of type number',
        '  run.yaml:4:44: Expected a number above 0 and at most 1000 for sources[1].weight but received -1 of type number',
        '  run.yaml:5:16: Expected a path for sources[2].path[0] but received 3 of type number',
        '  run.yaml:5:32: Expected a value or a list of values for sources[2].where.a but received {} of type object',
        '  run.yaml:6:15: Expected an object with either fraction or count',
        '  run.yaml:7:17: Expected an integer from 2 to 16777216 for cutoffLength but received 1 of type number',
        '  run.yaml:8:3: Unknown key "pakking": did you mean packing?',
      ].join('\n'),
    }),
  )
})

describe('what does not go together', () => {
  test.each([
    [{ sources: ['a/x.jsonl', 'b/x.json'] }, 'Expected another name than "x", which an earlier source has: set name'],
    [{ sources: [{ path: 'a', columns: { prompt: 'q' } }] }, 'Expected columns.prompt and columns.response'],
    [{ sources: [{ path: 'a', format: 'columns' }] }, 'Expected columns.prompt and columns.response'],
    [
      { sources: [{ path: 'a', format: 'alpaca', columns: { prompt: 'q', response: 'r' } }] },
      'Expected the format columns',
    ],
    [{ sources: [{ path: 'a', choose: { b: 1 } }] }, 'Expected choose only beside columns.response'],
    [{ sources: ['a'], template: 'vicuna' }, 'Expected checkpoint, chatml, qwen, deepseekr1, llama3 or a .jinja file'],
    [{ sources: ['a'], maskHistory: true, train: 'all' }, 'Expected no maskHistory beside train: all'],
  ])('%j', (data, message) => {
    expect(() => resolved(data)).toThrow(
      expect.objectContaining({ code: 'ERR_RECIPE', message: expect.stringContaining(message) }),
    )
  })
})

test('the schema documents every key of a source and of the section', () => {
  const schema = JSON.parse(readFileSync(new URL('../../recipes/data.schema.json', import.meta.url), 'utf8'))
  const page = readFileSync(new URL('../../docs/data.md', import.meta.url), 'utf8')
  const keys = [...Object.keys(schema.properties), ...Object.keys(schema.$defs.sourceObject.properties)]
  for (const key of keys.filter((name) => name !== '$schema')) expect(page, key).toContain(`\`${key}\``)
})
