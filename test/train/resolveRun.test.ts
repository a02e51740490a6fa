import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, test } from 'vitest'
import { parseOverride } from '../../lib/recipe/overrides.js'
import { parseRecipe } from '../../lib/recipe/readRecipe.js'
import { recipeObject } from '../../lib/recipe/recipe.js'
import { resolveRun } from '../../lib/train/resolveRun.js'

const text = `model: base
output: out
data:
  sources: [a.jsonl]
`
const refusal = (more: string, overrides: string[] = []): string => {
  try {
    resolveRun(parseRecipe(text + more, 'run.yaml'), overrides.map(parseOverride))
  } catch (error) {
    expect(error).toMatchObject({ code: 'ERR_RECIPE' })
    return (error as Error).message
  }
  return 'taken'
}

describe('a run that is wrong', () => {
  test('on the command line alone is a wrong command line', () => {
    const wrong = (more: string) => () =>
      resolveRun(parseRecipe(text + more, 'run.yaml'), [parseOverride('training.seed=-1')])
    expect(wrong('')).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }))
    expect(wrong('training: {numEpochs: 1}')).toThrow(expect.objectContaining({ code: 'ERR_RECIPE' }))
    const unknown = () => resolveRun(parseRecipe(text, 'run.yaml'), [parseOverride('trianing.seed=1')])
    expect(unknown).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }))
    expect(unknown).toThrow('--set trianing.seed: Unknown key "trianing": did you mean training?')
    expect(() => parseOverride('training.seed=[')).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }))
  })

  test('has every problem listed, with line, column and the nearest name', () => {
    expect(
      refusal(`traning: {}
training:
  learning_rate: 1e-5
  numTrainEpochs: 1.5
  lrSchedulerType: cosin
launcher:
  hosts: [a, "b c"]
  slurm: {time: "4", partion: gpu}
`),
    ).toBe(
      [
        'run.yaml has 7 problems:',
        '  run.yaml:5:1: Unknown key "traning": did you mean training?',
        '  run.yaml:7:3: Unknown key "learning_rate": did you mean learningRate?',
        '  run.yaml:8:19: Expected an integer from 1 to 1000000 for training.numTrainEpochs but received 1.5 of type number',
        "  run.yaml:9:20: Expected one of constant, constant_with_warmup, cosine, linear for training.lrSchedulerType but received 'cosin' of type string",
        "  run.yaml:11:14: Expected NAME or NAME:PROCESSES for launcher.hosts[1] but received 'b c' of type string",
        '  run.yaml:12:17: Expected more than signalSeconds (300 s) for launcher.slurm.time but received 4: lower signalSeconds, or ask for more',
        '  run.yaml:12:22: Unknown key "partion": did you mean partition?',
      ].join('\n'),
    )
  })

  test('has problems of its data and of --set among them, each with its place', () => {
    const message = refusal('training: {seed: -1}\n', ['data.packing=neatly', 'launcher.processes=0'])
    expect(message).toContain('run.yaml:5:18: Expected an integer from 0')
    expect(message).toMatch(/--set data\.packing: Expected .*'neatly'/)
    expect(message).toContain('--set launcher.processes: Expected an integer from 1 to 65536')
  })

  test('says what is missing', () => {
    expect(() => resolveRun(recipeObject({ model: 'base' }))).toThrow(
      /Expected the key output[\s\S]*Expected the key data/,
    )
    expect(() => resolveRun(recipeObject(null))).toThrow('Expected an object with model, output and data for the run')
  })

  test.each(['30', '5:00', '0-1', '1:00:00', 'UNLIMITED'])('the time limit %s is long enough', (time) => {
    expect(refusal(`launcher: {slurm: {time: "${time}", signalSeconds: 240}}\n`)).toBe('taken')
  })

  test('of LLaMA-Factory is told how it becomes one', () => {
    expect(() => resolveRun(parseRecipe('model_name_or_path: x\nstage: sft\n', 'lf.yaml'))).toThrow(
      'branchmerge convert lf.yaml --out run.yaml',
    )
  })
})

describe('a run that is right', () => {
  test('paths start from its file', () => {
    const run = resolveRun(parseRecipe(text, '/runs/math/run.yaml'))
    expect([run.model, run.output, run.data.sources[0]?.paths]).toEqual([
      '/runs/math/base',
      '/runs/math/out',
      ['/runs/math/a.jsonl'],
    ])
  })

  test('~ is the home directory in every path', () => {
    const tildes = `model: ~/base
output: ~/out
data: {sources: [~/a.jsonl, {path: ~/b.jsonl}], tokenizer: ~/base, template: ~/t.jinja, cache: ~/cache}
`
    const { model, output, data } = resolveRun(parseRecipe(tildes, '/runs/run.yaml'))
    const at = (name: string) => join(homedir(), name)
    expect([model, output, data.tokenizer, data.template, data.cache]).toEqual(
      ['base', 'out', 'base', 't.jinja', 'cache'].map(at),
    )
    expect(data.sources.flatMap(({ paths }) => paths)).toEqual([at('a.jsonl'), at('b.jsonl')])
    const set = resolveRun(parseRecipe(text, '/runs/run.yaml'), [parseOverride('output=~/other')])
    expect(set.output).toBe(at('other'))
    expect(() => resolveRun(parseRecipe(text, '/runs/run.yaml'), [parseOverride('model=~you/base')])).toThrow(
      'Expected ~/ for your home directory, or a path without ~, but received ~you/base',
    )
  })

  test('what is written for a job means the same, wherever it is read', () => {
    const more = 'preset: tinyr1-math\ntraining: {seed: 5}\nlauncher: {processes: 4, memory: 8GB}\n'
    const { options, ...run } = resolveRun(parseRecipe(text + more, 'sub/run.yaml'), [
      parseOverride('training.maxSteps=9'),
    ])
    const again = resolveRun(parseRecipe(JSON.stringify(options), '/elsewhere/options.json'))
    expect(again).toMatchObject({ training: { ...run.training, maxSteps: 9 }, launcher: run.launcher })
    const absolute = {
      ...run.data,
      sources: run.data.sources.map((source) => ({ ...source, paths: source.paths.map((path) => resolve(path)) })),
    }
    expect(again.data).toEqual(absolute)
    expect([again.model, again.output]).toEqual([run.model, run.output])
  })

  test('an override is read as YAML', () => {
    const overrides = ['training.learningRate=2e-5', 'training.maxGradNorm=null', 'data.validation={count: 5}']
    const { training, data } = resolveRun(parseRecipe(text, 'run.yaml'), overrides.map(parseOverride))
    expect([training.learningRate, training.maxGradNorm, data.validation]).toEqual([2e-5, null, { count: 5 }])
    expect(() => parseOverride('training.seed')).toThrow('Expected KEY=VALUE')
  })
})

test('the example of docs/sft.md is a run, for the schema that editors see, too', () => {
  const [, example] = /```yaml\n(# yaml-language-server.*?)```/s.exec(
    readFileSync('docs/sft.md', 'utf8'),
  ) as unknown as [string, string]
  const { value } = parseRecipe(example, 'run.yaml')
  expect(resolveRun(recipeObject(value)).launcher.slurm).toMatchObject({ nodes: 16, mpi: 'pmix' })
  const schema = (name: string) => JSON.parse(readFileSync(`recipes/${name}.schema.json`, 'utf8'))
  const ajv = new Ajv2020({ strict: true, allowUnionTypes: true, strictRequired: false })
  const validate = ajv.addSchema(schema('data'), 'data.schema.json').compile(schema('run'))
  expect([validate(value), validate.errors]).toEqual([true, null])
  expect(validate({ ...(value as object), data: { sources: [] } })).toBe(false)
})
