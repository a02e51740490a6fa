import { describe, expect, test } from 'vitest'
import { BranchMergeError } from '../../lib/errors.js'
import { bindTensors } from '../../lib/recipe/bindTensors.js'
import { recipeText, toRecipe } from '../../lib/recipe/mergekit.js'
import { mergekitMethodName } from '../../lib/recipe/mergekitDocument.js'
import { methodNames, methods } from '../../lib/recipe/methods.js'
import { parseRecipe } from '../../lib/recipe/readRecipe.js'
import { resolveRecipe } from '../../lib/recipe/resolveRecipe.js'

const arcee = `
models:
  - model: /m/coding
  - model: /m/math
merge_method: arcee_fusion
base_model: /m/math
dtype: bfloat16
`

function problemsOf(text: string): string[] {
  try {
    toRecipe(text, 'm.yml')
  } catch (error) {
    if (!(error instanceof BranchMergeError) || error.code !== 'ERR_RECIPE') throw error
    return error.message
      .split('\n')
      .slice(1)
      .map((line) => line.slice(2))
  }
  throw new Error('Expected a refusal')
}

test('arcee_fusion: Left is base_model, whatever the order', () => {
  const { recipe, notes } = toRecipe(arcee)
  expect(recipe).toEqual({
    models: { math: { path: '/m/math', dtype: 'bfloat16' }, coding: { path: '/m/coding', dtype: 'bfloat16' } },
    steps: [{ name: 'merged', method: 'fuse', inputs: ['math', 'coding'] }],
    output: { dtype: 'bfloat16', tokenizer: 'math' },
    intermediate: 'storage',
  })
  expect(notes).toEqual([
    'mergekit computes in bfloat16, rounding after every operation; here it is float32, rounded once',
    expect.stringContaining("chosen values are the model's bits"),
    'arcee_fusion: mergekit writes float32 here in spite of dtype: bfloat16; branchmerge writes bfloat16',
  ])
})

test('the base need not be listed; out_dtype is what is written', () => {
  const { recipe, notes } = toRecipe(
    'models: [{model: b}]\nmerge_method: arcee_fusion\nbase_model: a\ndtype: float32\nout_dtype: bfloat16',
  )
  expect(recipe.models).toEqual({ a: { path: 'a', dtype: 'float32' }, b: { path: 'b', dtype: 'float32' } })
  expect(recipe.steps).toEqual([{ name: 'merged', method: 'fuse', inputs: ['a', 'b'] }])
  expect(recipe.output).toEqual({ dtype: 'bfloat16', tokenizer: 'a' })
  expect(notes).toHaveLength(1)
})

test('parameters of models, of the merge and defaults; int8_mask changes nothing', () => {
  const { recipe, notes } = toRecipe(`
models:
  - model: base
  - {model: a, parameters: {weight: 0.3, density: 0.5}}
  - {model: b, parameters: {weight: 0.7}}
merge_method: ties
base_model: base
parameters: {density: 0.9, normalize: 1, lambda: 1.2, int8_mask: true}
tokenizer_source: base
`)
  expect(recipe.steps).toEqual([
    {
      name: 'merged',
      method: 'ties',
      base: 'base',
      inputs: ['a', 'b'],
      options: { weight: [0.3, 0.7], density: [0.5, 0.9], normalize: true, lambda: 1.2 },
    },
  ])
  expect(recipe.expect).toEqual({ sameTokenizer: true })
  expect(notes).toEqual([
    'int8_mask is left out: it is how mergekit stores masks and changes no result',
    expect.stringContaining('rows of padding are lost; here they are kept'),
  ])
})

test('filters and gradients become rules, each model by itself', () => {
  const { recipe } = toRecipe(`
models:
  - model: a
    parameters:
      weight:
        - {filter: mlp, value: [0, 1]}
        - {filter: self_attn, value: 0.25}
        - value: 0.5
  - model: b
    parameters: {weight: [1, 0]}
merge_method: linear
parameters:
  normalize:
    - {filter: mlp, value: false}
`)
  expect(recipe.steps?.[0]?.options).toEqual({ weight: [0.5, { gradient: [1, 0] }] })
  expect(recipe.rules).toEqual([
    { match: '*mlp*', options: { weight: [{ gradient: [0, 1] }, null] } },
    { match: '*self_attn*', options: { weight: [0.25, null] } },
    { match: '*mlp*', options: { normalize: false } },
  ])
  const resolved = resolveRecipe(recipe)
  const names = [0, 1, 2].flatMap((i) => [`layers.${i}.mlp.up.weight`, `layers.${i}.self_attn.q.weight`])
  const { parametersFor, problems } = bindTensors(resolved, ['norm.weight', ...names])
  expect(problems).toEqual([])
  expect(parametersFor(resolved.root, 'layers.1.mlp.up.weight')).toEqual({ weight: [0.5, 0.5], normalize: false })
  expect(parametersFor(resolved.root, 'layers.2.self_attn.q.weight')).toEqual({ weight: [0.25, 0], normalize: true })
  expect(parametersFor(resolved.root, 'norm.weight')).toEqual({ weight: [0.5, 1], normalize: true })
})

test('a filter of one model falls through to the value of the merge', () => {
  const { recipe } = toRecipe(`
models:
  - {model: a, parameters: {weight: [{filter: mlp, value: 0.1}]}}
  - {model: b}
merge_method: linear
parameters: {weight: [{filter: norm, value: 0.2}, {filter: '*', value: 0.3}]}
`)
  expect(recipe.steps?.[0]?.options).toEqual({ weight: 0.3 })
  expect(recipe.rules).toEqual([
    { match: '*mlp*', options: { weight: [0.1, null] } },
    { match: '*norm*', options: { weight: [0.2, null] } },
    { match: '*norm*', options: { weight: [null, 0.2] } },
  ])
})

test('the published form of slerp: one slice of all layers, t by filter', () => {
  const { recipe, notes } = toRecipe(`
slices:
  - sources:
      - {model: org/left-7B, layer_range: [0, 32]}
      - {model: org/right-7B, layer_range: [0, 32]}
merge_method: slerp
base_model: org/left-7B
parameters:
  t:
    - {filter: self_attn, value: [0, 0.5, 0.3, 0.7, 1]}
    - {filter: mlp, value: [1, 0.5, 0.7, 0.3, 0]}
    - value: 0.5
dtype: bfloat16
`)
  expect(recipe.steps).toEqual([
    { name: 'merged', method: 'slerp', inputs: ['left-7B', 'right-7B'], options: { t: 0.5 } },
  ])
  expect(recipe.rules).toEqual([
    { match: '*self_attn*', options: { t: { gradient: [0, 0.5, 0.3, 0.7, 1] } } },
    { match: '*mlp*', options: { t: { gradient: [1, 0.5, 0.7, 0.3, 0] } } },
  ])
  expect(recipe.expect).toEqual({ layers: 32 })
  expect(notes).toContainEqual(expect.stringContaining('org/left-7B is not here and taken for a name on the Hub'))
  expect(notes).toContain('a filter that matches no tensor is an error here; mergekit passes over it')
  expect(() => resolveRecipe(recipe)).not.toThrow()
})

describe('every method by its name in mergekit', () => {
  test.each(methodNames)('%s', (method) => {
    const { base, inputs, parameters } = methods[method]
    const models = ['a', 'b', 'c'].slice(0, Math.max(inputs.least, 1))
    const pair = ['fuse', 'slerp', 'nearswap'].includes(method)
    const values: [string, unknown][] = Object.entries(parameters)
      .filter(([, { mergekit }]) => mergekit !== null)
      .map(([name, parameter]) => [parameter.mergekit ?? name, parameter.default ?? 0.5])
    const document = {
      merge_method: mergekitMethodName(method),
      models: models.map((model) => ({ model })),
      ...(base === 'required' ? { base_model: 'base' } : pair ? { base_model: 'b' } : {}),
      parameters: Object.fromEntries(values),
    }
    const { recipe, notes } = toRecipe(JSON.stringify(document))
    const resolved = resolveRecipe(recipe)
    expect(resolved.root.method).toBe(method)
    expect(resolved.models.map(({ name }) => name)).toEqual(
      base === 'required' ? ['base', ...models] : pair ? ['b', 'a'] : models,
    )
    expect(notes.some((note) => note.includes('other random numbers'))).toBe('seed' in parameters)
  })
})

describe('several documents', () => {
  const chain = (first: string, second: string) => `
name: mid
models: [{model: /m/math}]
merge_method: arcee_fusion
base_model: /m/science
${first}
---
models: [{model: mid}]
merge_method: arcee_fusion
base_model: /m/coding
${second}
`
  test('become steps in the order they need', () => {
    const documents = chain('dtype: bfloat16', 'dtype: bfloat16').split('---')
    for (const text of [documents.join('---'), documents.toReversed().join('\n---\n')]) {
      const { recipe } = toRecipe(text)
      expect(recipe.steps).toEqual([
        { name: 'mid', method: 'fuse', inputs: ['science', 'math'] },
        { name: 'merged', method: 'fuse', inputs: ['coding', 'mid'] },
      ])
      expect(recipe).toMatchObject({ intermediate: 'storage', output: { dtype: 'bfloat16', tokenizer: 'coding' } })
      expect(resolveRecipe(recipe).models.map(({ dtype }) => dtype)).toEqual(['BF16', 'BF16', 'BF16'])
    }
  })

  test('how results are kept in between', () => {
    const between = (first: string, second = first) => {
      const { recipe, notes } = toRecipe(chain(first, second))
      const models = Object.values(recipe.models ?? {})
      const dtype = typeof models[0] === 'object' ? models[0].dtype : undefined
      return [dtype, recipe.intermediate, notes.filter((note) => note.startsWith('results between')).length]
    }
    expect(between('')).toEqual([undefined, 'storage', 0])
    expect(between('dtype: float32')).toEqual(['float32', 'float32', 0])
    expect(between('dtype: float32', 'dtype: float32\nout_dtype: bfloat16')).toEqual(['float32', 'float32', 0])
    expect(between('dtype: float32\nout_dtype: bfloat16')).toEqual([undefined, 'storage', 1])
    expect(between('dtype: bfloat16\nout_dtype: float32')).toEqual(['bfloat16', 'storage', 0])
    expect(between('dtype: bfloat16\nout_dtype: float16')).toEqual(['bfloat16', 'storage', 1])
    expect(between('out_dtype: bfloat16')).toEqual([undefined, 'storage', 1])
  })

  test('rules are of their step, and tokenizers are those of models', () => {
    const { recipe } = toRecipe(`
name: mid
models: [{model: a}]
merge_method: slerp
base_model: b
parameters: {t: [{filter: mlp, value: 0.1}, {value: 0.2}]}
---
name: end
models: [{model: c}]
merge_method: slerp
base_model: mid
parameters: {t: 0.5}
`)
    expect(recipe.rules).toEqual([{ match: '*mlp*', options: { t: 0.1 }, step: 'mid' }])
    expect(recipe.output).toEqual({ tokenizer: 'b' })
  })

  test.each([
    ['two results', `${arcee}\n---\nname: x${arcee}`, 'Expected one final merge but found one without a name, x'],
    ['two without a name', `${arcee}\n---${arcee}`, 'Expected the key name: only one merge can be without one'],
    ['one name twice', `name: x${arcee}\n---\nname: x${arcee}`, 'Expected the name x once'],
    [
      'a circle',
      `name: x${arcee.replace('/m/coding', 'y')}\n---\nname: y${arcee.replace('/m/coding', 'x')}`,
      'The merge x needs its own result',
    ],
    [
      'several dtypes',
      chain('dtype: bfloat16', 'dtype: float32'),
      'Expected one dtype for all merges but found bfloat16 and float32',
    ],
  ])('%s', (_, text, problem) => {
    expect(problemsOf(text).join('\n')).toContain(problem)
  })
})

describe('what is not supported is refused by name, and so is what mergekit does not know', () => {
  const models = 'models: [{model: a}, {model: b}]\n'
  const linear = `${models}merge_method: linear\nparameters: {weight: 1}\n`
  const ties = 'models: [{model: a}, {model: b}]\nbase_model: c\nmerge_method: ties\n'
  const cases: [text: string, problem: string][] = [
    [`${linear}tokenizer_source: union`, 'm.yml:4:19: the union of tokenizers is not supported'],
    [`${linear}tokenizer: {source: union}`, 'm.yml:4:21: the union of tokenizers is not supported'],
    [`${linear}tokenizer: {source: a, tokens: {x: {source: b}}}`, 'm.yml:4:24: tokens: embeddings of single tokens'],
    [`${linear}tokenizer: {source: a, pad_to_multiple_of: 8}`, 'pad_to_multiple_of: vocabularies are not padded'],
    [`${linear}tokenizer_source: base`, 'Expected the key base_model for the tokenizer of base'],
    [`${linear}tokenizer_source: x`, 'the tokenizer of x is not supported: it must be that of a model that is merged'],
    [`${linear}chat_template: auto`, 'm.yml:4:1: chat_template: a new chat template is not written'],
    [`${linear}dtype: int64`, 'm.yml:4:8: "int64" is not supported: expected one of bfloat16, float16, float32'],
    [`${linear}dtypes: float32`, 'm.yml:4:1: mergekit ignores the unknown key dtypes: remove it, or is it dtype?'],
    [`${linear}base_model: c`, 'm.yml:4:13: mergekit adds base_model to the models of linear'],
    ['modules: {text: {}}\nmerge_method: linear', 'm.yml:1:1: modules: models of several modules are not supported'],
    [models, 'merge_method undefined is not supported: supported are arcee_fusion, linear'],
    [`${models}merge_method: ramplus_tl\nbase_model: a`, 'm.yml:2:15: merge_method "ramplus_tl" is not supported'],
    [`${models}merge_method: fuse`, 'm.yml:2:15: merge_method "fuse" is not supported'],
    [`${models}merge_method: arcee_fusion`, 'Expected the key base_model for arcee_fusion'],
    [`${models}merge_method: arcee_fusion\nbase_model: c`, 'Expected 2 inputs for fuse but received 3 (c, a, b)'],
    [
      'models: [{model: a+lora}]\nmerge_method: passthrough',
      'm.yml:1:18: a+lora adds an adapter, which is not supported',
    ],
    [
      'models: [{model: a@main}]\nmerge_method: passthrough',
      'm.yml:1:18: a@main names a revision, which is not supported',
    ],
    ['models: [{model: {model: a, lora: b}}]\nmerge_method: passthrough', 'Expected the path of a model: adapters'],
    ['models: [{modle: a}]\nmerge_method: passthrough', 'Expected the key model'],
    ['models: [{model: a}, {model: a}]\nmerge_method: linear', 'm.yml:1:22: a is listed twice: mergekit takes it once'],
    ['models: []\nmerge_method: linear', 'Expected a list that is not empty'],
    ['- 1', 'Expected keys with values'],
    ['', 'Expected a mergekit configuration'],
    [
      'slices: [{sources: [{model: a, layer_range: [0, 8]}]}, {sources: [{model: b, layer_range: [8, 16]}]}]\nmerge_method: passthrough',
      'm.yml:1:9: 2 slices are not supported',
    ],
    [
      'slices: [{sources: [{model: a, layer_range: [4, 8]}]}]\nmerge_method: passthrough',
      'layer_range [4,8] is not supported',
    ],
    ['slices: [{sources: [{model: a}]}]\nmerge_method: passthrough', 'layer_range undefined is not supported'],
    [
      'slices: [{sources: [{model: a, layer_range: [0, 8]}, {model: b, layer_range: [0, 9]}]}]\nmerge_method: linear',
      'layer_range must be the same for all models but is [0, 8] and [0, 9]',
    ],
    [`${models}slices: []\nmerge_method: linear`, 'Expected one of models and slices but found models and slices'],
    [`${models}merge_method: linear`, 'mergekit demands weight for linear'],
    [`${ties}parameters: {weight: [{filter: mlp, value: 1}]}`, 'mergekit demands weight for ties'],
    [`${models}merge_method: slerp\nbase_model: a`, 'mergekit demands t for slerp'],
    [
      `${ties}parameters: {weight: 1, density: 2}`,
      'm.yml:4:34: Expected a number from 0 to 1 for density but received 2',
    ],
    [`${ties}parameters: {weight: 1, lambda: x}`, "for lambda but received 'x' of type string"],
    [
      `${ties}parameters: {weight: 1, wieght: 2}`,
      'm.yml:4:25: mergekit ignores the unknown key wieght: remove it, or is it',
    ],
    [`${ties}parameters: {weight: 1, density: "half"}`, "for density but received 'half' of type string"],
    [
      `${ties}parameters: {weight: [{filter: 'a*', value: 1}, {value: 1}]}`,
      'filter "a*" is not supported: mergekit takes * and ? literally',
    ],
    [`${ties}parameters: {weight: [{value: 1, fitler: mlp}]}`, 'mergekit ignores fitler beside value and filter'],
    [`${ties}parameters: {weight: [a, b]}`, 'Expected numbers, or entries with value and filter'],
    [`${ties}parameters: {weight: {value: 1}}`, 'for weight but received { value: 1 }'],
    ...['slerp', 'arcee_fusion', 'ties', 'sce', 'nuslerp', 'ram'].map((method): [string, string] => [
      `slices: [{sources: [{model: a, layer_range: [0, 8]}, {model: b, layer_range: [0, 8]}]}]\nmerge_method: ${method}\nbase_model: c`,
      `m.yml:3:13: mergekit does not add base_model to the sources of a slice, and ${method} fails without it: list c there`,
    ]),
    [
      'slices: [{sources: [{model: a, layer_range: [0, 8]}]}]\nmerge_method: passthrough\nbase_model: c\ntokenizer_source: base',
      'm.yml:4:19: the tokenizer of c is not supported: it must be that of a model that is merged',
    ],
  ]
  test.each(cases)('%j', (text, problem) => {
    expect(problemsOf(text).join('\n')).toContain(problem)
  })

  test('all at once', () => {
    const text = `${models}merge_method: arcee_fusion\nbase_model: c+d\ntokenizer_source: union\ndtype: int64\nfoo: 1\n`
    expect(problemsOf(text)).toHaveLength(5)
  })
})

describe('what changes nothing in mergekit is left out, with a note', () => {
  const models = 'models: [{model: a}, {model: b}]\n'
  const slerp = `${models}merge_method: slerp\nbase_model: a\n`
  const ties = 'models: [{model: a}, {model: b}]\nbase_model: c\nmerge_method: ties\n'
  const taskArithmetic = `${models}base_model: c\nmerge_method: task_arithmetic\n`
  const fusion = `${models}merge_method: arcee_fusion\nbase_model: a\n`
  const stock = `${models}merge_method: model_stock\nbase_model: c\n`
  const slice = 'slices: [{sources: [{model: a, layer_range: [0, 8]}, {model: b, layer_range: [0, 8]}]'
  const cases: [plain: string, more: string, note: string][] = [
    [
      `${slerp}parameters: {t: 0.5}`,
      `${slerp}parameters: {t: 0.5, int8_mask: true}`,
      'int8_mask is left out: mergekit ignores it for slerp',
    ],
    [`${slerp}parameters: {t: 0.5}`, `${slerp}parameters: {t: "0.5"}`, 't: the text "0.5" is read as 0.5'],
    [
      `${slerp}parameters: {t: [0, 0.5]}`,
      `${slerp}parameters: {t: ["0", "5e-1"]}`,
      't: the text "5e-1" is read as 0.5',
    ],
    [
      `${slerp}parameters: {t: 0.5}`,
      `${slerp}parameters: {t: 0.5}\nint8_mask: true`,
      'int8_mask is left out: mergekit reads it among parameters only',
    ],
    [
      `${slerp}parameters: {t: 0.5}`,
      'models: [{model: a, parameters: {t: 1}}, {model: b}]\nmerge_method: slerp\nbase_model: a\nparameters: {t: 0.5}',
      't of one model is left out: mergekit ignores it, as t is of the whole slerp',
    ],
    [
      `${slerp}parameters: {t: 0.5}\ndtype: float16`,
      `${slerp}parameters: {t: 0.5}\ndtype: torch.float16`,
      'torch.float16 is read as float16',
    ],
    [stock, `${stock}parameters: {normalize: true}`, 'normalize is left out: mergekit ignores it for model_stock'],
    [fusion, `${fusion}parameters: {lambda: 2}`, 'lambda is left out: mergekit ignores it for arcee_fusion'],
    [fusion, `${fusion}parameters: {int8_mask: true}`, 'int8_mask is left out: mergekit ignores it for arcee_fusion'],
    [
      `${ties}parameters: {weight: 1}`,
      `${ties}parameters: {weight: 1, gamma: 0.1}`,
      'gamma is left out: mergekit ignores it for ties',
    ],
    [
      `${ties}parameters: {weight: 1}`,
      `${ties}parameters: {weight: [{value: 1}, {filter: mlp, value: 2}]}`,
      'weight: what is behind a value without a filter is left out',
    ],
    [
      `${ties}parameters: {weight: 1, normalize: false}`,
      `${ties}parameters: {weight: 1, normalize: "no"}`,
      'normalize: the text "no" is read as false',
    ],
    [
      'models: [{model: a, parameters: {weight: 1}}, {model: b}]\nmerge_method: ties\nbase_model: b',
      'models: [{model: a, parameters: {weight: 1}}, {model: b, parameters: {weight: 1, density: 1}}]\nmerge_method: ties\nbase_model: b',
      'weight of b is left out: mergekit ignores it of the base',
    ],
    [
      `${taskArithmetic}parameters: {weight: 1}`,
      `${taskArithmetic}parameters: {weight: 1, density: 0.5}`,
      'density is left out: task_arithmetic keeps every difference, so it changes nothing in mergekit either',
    ],
    [
      `${slice}}]\nmerge_method: linear\nparameters: {weight: 1}`,
      `${slice}, residual_weight: 1}]\nmerge_method: linear\nparameters: {weight: 1}`,
      'residual_weight is left out: mergekit does not use it',
    ],
    [
      `${slice}}]\nmerge_method: linear\nparameters: {weight: 1}`,
      `${slice.replaceAll('8]', '"8"]')}}]\nmerge_method: linear\nparameters: {weight: 1}\nmodels: null\nchat_template: null`,
      'layer_range: the text "8" is read as a number',
    ],
  ]
  test.each(cases)('%j, %j', (plain, more, note) => {
    const { recipe, notes } = toRecipe(more)
    expect(recipe).toEqual(toRecipe(plain).recipe)
    expect(notes).toContain(note)
    expect(toRecipe(plain).notes).not.toContain(note)
    expect(() => resolveRecipe(recipe)).not.toThrow()
  })
})

test('linear of one model, which mergekit copies', () => {
  const { recipe, notes } = toRecipe('models: [{model: a, parameters: {weight: 0.3}}]\nmerge_method: linear')
  expect(recipe.steps).toEqual([{ name: 'merged', method: 'linear', inputs: ['a'], options: { weight: 0.3 } }])
  expect(notes).toEqual([expect.stringContaining('linear of one model: nothing is mixed')])
  expect(() => resolveRecipe(recipe)).not.toThrow()
})

test.each(['multislerp', 'linear', 'karcher'])(
  '%s of a slice does not take a base in that is no source; of models it does, or is refused',
  (method) => {
    const sources = '[{model: a, layer_range: [0, 8]}, {model: b, layer_range: [0, 8]}]'
    const weights = method === 'karcher' ? '' : 'parameters: {weight: 1}'
    const { recipe, notes } = toRecipe(
      `slices: [{sources: ${sources}}]\nmerge_method: ${method}\nbase_model: c\n${weights}`,
    )
    expect(recipe.models).toEqual({ a: 'a', b: 'b' })
    expect(recipe.steps?.[0]).toMatchObject({ method, inputs: ['a', 'b'] })
    expect(recipe.steps?.[0]).not.toHaveProperty('base')
    expect(recipe.output?.tokenizer).toBe('a')
    expect(notes).toContainEqual(expect.stringContaining(`${method}: c is not merged`))
    const whole = `models: [{model: a}, {model: b}]\nmerge_method: ${method}\nbase_model: c\n${weights}`
    if (method === 'multislerp') expect(toRecipe(whole).recipe.steps?.[0]?.base).toBe('c')
    else
      expect(problemsOf(whole)).toEqual([
        expect.stringContaining(`mergekit adds base_model to the models of ${method}`),
      ])
  },
)

test('sce: where mergekit weighs models alike', () => {
  const { notes } = toRecipe('models: [{model: a}, {model: b}]\nmerge_method: sce\nbase_model: c')
  expect(notes).toEqual([expect.stringContaining('add up to less than 1e-6, mergekit weighs all models alike')])
})

test('YAML merge keys share parameters', () => {
  const { recipe } = toRecipe(`
models:
  - {model: m, parameters: &p {weight: 0.3, density: 0.5}}
  - {model: s, parameters: {<<: *p, weight: 0.4}}
merge_method: dare_ties
base_model: base
`)
  expect(recipe.steps?.[0]?.options).toEqual({ weight: [0.3, 0.4], density: 0.5 })
})

test('models that share the last part of their path, and odd names', () => {
  const { recipe } = toRecipe(
    'models: [{model: /x/m}, {model: /y/m}, {model: /z/a b}, {model: merged}]\nmerge_method: linear\nparameters: {weight: 1}',
  )
  expect(recipe.models).toEqual({ m: '/x/m', 'm-2': '/y/m', 'a-b': '/z/a b', 'merged-2': 'merged' })
  expect(resolveRecipe(recipe).models.map(({ path }) => path)).toEqual(['/x/m', '/y/m', '/z/a b', 'merged'])
})

test('the text of a converted recipe is that recipe, with the notes above', () => {
  const { recipe, notes } = toRecipe(arcee)
  const text = recipeText(recipe, notes)
  expect(text).toMatch(/^# mergekit computes in bfloat16/)
  expect(parseRecipe(text, 'recipe.yaml').value).toEqual(recipe)
  expect(resolveRecipe(parseRecipe(text, 'recipe.yaml'))).toEqual(resolveRecipe(recipe))
})
