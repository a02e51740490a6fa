import { writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { BranchMergeError } from '../../lib/errors.js'
import { presets } from '../../lib/fusion/presets.js'
import { parseRecipe, readRecipe } from '../../lib/recipe/readRecipe.js'
import type { Recipe } from '../../lib/recipe/recipe.js'
import type { MergeNode, RecipeNode, ResolvedRecipe } from '../../lib/recipe/resolvedRecipe.js'
import { resolveRecipe } from '../../lib/recipe/resolveRecipe.js'
import { temporaryDirectory } from '../support/temporary.js'

const models = { math: 'm', science: 's', coding: 'c' }
const yaml = (text: string, options = {}) => resolveRecipe(parseRecipe(text, 'dir/recipe.yaml'), options)

/** The places and texts of a refusal. */
function problemsOf(resolve: () => unknown): string[] {
  try {
    resolve()
  } catch (error) {
    if (!(error instanceof BranchMergeError) || error.code !== 'ERR_RECIPE') throw error
    return error.message
      .split('\n')
      .slice(1)
      .map((line) => line.slice(2))
  }
  throw new Error('Expected a refusal')
}

function shape(node: RecipeNode): unknown {
  if (node.kind === 'model') return node.name
  const inputs = node.inputs.map(shape)
  return { [node.method]: node.base ? [shape(node.base), ...inputs] : inputs }
}

describe('trees', () => {
  test('an expression', () => {
    const recipe = resolveRecipe({ models, expression: '((math & science) & coding)' })
    expect(shape(recipe.root)).toEqual({ fuse: [{ fuse: ['math', 'science'] }, 'coding'] })
    expect(recipe.merges.map(({ id }) => id)).toEqual(['math & science', '(math & science) & coding'])
    expect(recipe.merges.at(-1)).toBe(recipe.root)
    expect(recipe.models).toEqual([
      { name: 'math', path: 'm', dtype: undefined, sha256: undefined },
      { name: 'science', path: 's', dtype: undefined, sha256: undefined },
      { name: 'coding', path: 'c', dtype: undefined, sha256: undefined },
    ])
    expect(recipe).toMatchObject({
      rules: [],
      output: { path: undefined, dtype: undefined, maxShardSize: undefined, tokenizer: 'math' },
      intermediate: 'storage',
      choices: { embeddings: 'refuse', names: 'equal', heads: 'equal', architectures: 'equal' },
      expect: {},
    })
  })

  test('steps by method and by expression, each with its options over the global ones', () => {
    const recipe = resolveRecipe({
      models: { base: 'b', ...models },
      options: { lambda: 0.9 },
      steps: [
        { name: 'mid', method: 'ties', base: 'base', inputs: ['math', 'science'], options: { density: 0.5 } },
        { name: 'end', expression: 'task_arithmetic(base, mid, dare_ties(base, coding, mid; density=0.1, lambda=2))' },
      ],
    })
    expect(shape(recipe.root)).toEqual({
      task_arithmetic: [
        'base',
        { ties: ['base', 'math', 'science'] },
        { dare_ties: ['base', 'coding', { ties: ['base', 'math', 'science'] }] },
      ],
    })
    expect(recipe.merges.map(({ id, step }) => [id, step])).toEqual([
      ['mid', 'mid'],
      ['end: dare_ties(base, coding, mid; density=0.1, lambda=2)', 'end'],
      ['end', 'end'],
    ])
    expect(recipe.merges.map(({ parameters }) => parameters)).toEqual([
      { weight: [1, 1], density: [0.5, 0.5], normalize: true, rescale: false, lambda: 0.9 },
      { weight: [1, 1], density: [0.1, 0.1], normalize: false, rescale: true, seed: 0, lambda: 2 },
      { weight: [1, 1], normalize: false, lambda: 0.9 },
    ])
    expect(recipe.output.tokenizer).toBe('base')
  })

  test('a step that is used twice, and equal parts of one expression, are one node', () => {
    const steps = [{ name: 'x', expression: 'math & science' }, { expression: '(x & coding) & (x & coding)' }]
    const { root, merges } = resolveRecipe({ models, steps })
    expect(merges).toHaveLength(3)
    expect(root.inputs[0]).toBe(root.inputs[1])
    expect((root.inputs[0] as MergeNode).inputs[0]).toBe(merges[0])
  })

  test('equal parts of two steps are two nodes: their options may differ', () => {
    const steps = [
      { name: 'x', expression: 'math & science', options: { lambda: 1 } },
      { name: 'y', expression: 'math & science' },
      { expression: 'x & y & coding' },
    ]
    const { merges } = resolveRecipe({ models, steps })
    expect(merges.map(({ parameters }) => parameters.lambda)).toEqual([1, 1.5, 1.5, 1.5])
  })

  test('a preset resets what is said below it, and what stands beside it applies', () => {
    const steps = [
      { name: 'x', expression: 'math & science', options: { preset: 'paper', epsilon: 0 } },
      { expression: 'x & fuse(x, coding; gate=gt)' },
    ]
    const { merges } = resolveRecipe({ models, options: { lambda: 3, nonFinite: 'left' }, steps })
    expect(merges.map(({ parameters }) => parameters)).toEqual([
      { preset: 'paper', ...presets.paper, epsilon: 0, nonFinite: 'left' },
      { preset: 'arcee', ...presets.arcee, lambda: 3, gate: 'gt', nonFinite: 'left' },
      { preset: 'arcee', ...presets.arcee, lambda: 3, nonFinite: 'left' },
    ])
  })

  test('an optional base', () => {
    const recipe = resolveRecipe({
      models: { base: 'b', ...models },
      steps: [
        { name: 'x', method: 'nuslerp', base: 'base', inputs: ['math', 'science'] },
        { expression: 'multislerp(x, coding, math)' },
      ],
    })
    expect(shape(recipe.root)).toEqual({ multislerp: [{ nuslerp: ['base', 'math', 'science'] }, 'coding', 'math'] })
    expect(recipe.root.base).toBeUndefined()
  })

  test('names that need quotes', () => {
    const recipe = resolveRecipe({
      models: { 'my model': 'a', "it's": 'b' },
      steps: [{ method: 'linear', inputs: ["'my model'", "'it''s'"], options: { weight: [0.25, 0.75] } }],
    })
    expect(shape(recipe.root)).toEqual({ linear: ['my model', "it's"] })
    expect(recipe.root.parameters.weight).toEqual([0.25, 0.75])
  })
})

describe('files', () => {
  const text = `
models:
  math: {path: ../math, dtype: bfloat16, sha256: "${'Ab'.repeat(32)}"}
  science:
    path: /abs/science
    sha256: {model.safetensors: "${'0'.repeat(64)}"}
  coding: coding
expression: math & science & coding
output: {path: out, dtype: float32, maxShardSize: 5GB, tokenizer: coding}
intermediate: float32
embeddings: common
expect: {architecture: Qwen2ForCausalLM, layers: 64, tensors: 771, parameters: 32763876352, dtype: bf16, sameTokenizer: true}
`.replace('dtype: bf16,', 'dtype: BF16,')

  function check(recipe: ResolvedRecipe, directory: string): void {
    expect(recipe.models).toEqual([
      { name: 'math', path: join(directory, '../math'), dtype: 'BF16', sha256: 'ab'.repeat(32) },
      { name: 'science', path: '/abs/science', dtype: undefined, sha256: { 'model.safetensors': '0'.repeat(64) } },
      { name: 'coding', path: join(directory, 'coding'), dtype: undefined, sha256: undefined },
    ])
    expect(recipe).toMatchObject({
      output: { path: join(directory, 'out'), dtype: 'F32', maxShardSize: '5GB', tokenizer: 'coding' },
      intermediate: 'float32',
      choices: { embeddings: 'common', names: 'equal', heads: 'equal', architectures: 'equal' },
      expect: {
        architecture: 'Qwen2ForCausalLM',
        layers: 64,
        tensors: 771,
        parameters: 32763876352,
        dtype: 'BF16',
        sameTokenizer: true,
      },
    })
  }

  test('~ is the home directory, in a file and in an object, and a name may begin with it', () => {
    const paths = { math: '~/models/math', science: './~/science', coding: '~coding' }
    const recipe = { models: paths, expression: 'linear(math, science, coding)', output: { path: '~' } }
    const places = ({ models, output }: ResolvedRecipe) => [...models.map(({ path }) => path), output.path]
    const home = join(homedir(), 'models/math')
    expect(places(resolveRecipe(recipe))).toEqual([home, './~/science', '~coding', homedir()])
    expect(places(yaml(JSON.stringify(recipe)))).toEqual([home, 'dir/~/science', 'dir/~coding', homedir()])
  })

  test('YAML: paths start from the file', async () => {
    const directory = temporaryDirectory()
    writeFileSync(join(directory, 'recipe.yaml'), text)
    check(resolveRecipe(await readRecipe(join(directory, 'recipe.yaml'))), directory)
  })

  test('JSON is the same, tabs and all', () => {
    const { value } = parseRecipe(text, 'recipe.yaml')
    check(resolveRecipe(parseRecipe(JSON.stringify(value, null, '\t'), 'dir/recipe.json')), 'dir')
  })

  test('paths that are passed replace those of the file and start from the working directory', () => {
    const recipe = yaml(text, { models: { math: 'elsewhere' } })
    expect(recipe.models[0]).toMatchObject({ name: 'math', path: 'elsewhere', dtype: 'BF16' })
    const passed = yaml('expression: a & b', { models: { a: 'x', b: 'y' } })
    expect(passed.models.map(({ path }) => path)).toEqual(['x', 'y'])
  })

  test('files of mergekit are converted, also several documents; their paths start from the working directory', () => {
    const text = 'name: mid\nmodels: [{ model: x/a }, { model: b }]\nmerge_method: linear\nparameters: {weight: 1}\n'
    const recipe = resolveRecipe(
      parseRecipe(`${text}---\n${text.replace('mid', 'end').replace('b', 'mid')}`, 'dir/m.yml'),
    )
    expect(recipe.merges.map(({ id }) => id)).toEqual(['mid', 'end'])
    expect(recipe.models.map(({ path }) => path)).toEqual(['hf://models/x/a', 'b'])
    expect(recipe.notes).toEqual([expect.stringContaining('x/a is not here')])
    expect(() => parseRecipe('models: [{ model: a }]\nmerge_method: linear', 'm.yml')).toThrow('m.yml has a problem')
    const object = { models: { a: 'a' }, merge_method: 'linear' } as Recipe
    expect(() => resolveRecipe(object)).toThrow('This is a configuration of mergekit: pass the path of its file')
  })

  test('no file, no text, several documents', async () => {
    const directory = temporaryDirectory()
    const path = join(directory, 'recipe.yaml')
    await expect(readRecipe(path)).rejects.toMatchObject({ code: 'ERR_FILE_READ' })
    writeFileSync(path, Buffer.from([0x61, 0xff]))
    await expect(readRecipe(path)).rejects.toThrow(`Expected UTF-8 text in ${path}`)
    writeFileSync(path, Buffer.alloc(2 ** 20 + 1, 0x20))
    await expect(readRecipe(path)).rejects.toMatchObject({ code: 'ERR_RECIPE' })
    expect(() => parseRecipe('', 'f')).toThrow('Expected one document in f but found 0')
    expect(() => parseRecipe('a: 1\n---\nb: 2', 'f')).toThrow('Expected one document in f but found 2')
  })
})

describe('everything that is wrong is named at once, with its place', () => {
  test('structure', () => {
    const text = `modles: {a: x}
models:
  a: {pth: x, dtype: int8}
  b: 7
  c: {sha256: abc}
steps:
  - expression: a & b
    method: ties
  - method: ties
  - expression: 5
  - base: a
options:
  lambda: [1, x]
  gamma: {gradient: [1]}
rules:
  - options: {lambda: 2}
  - {match: [], layers: [0, 1.5, 2], options: 1}
output: {maxShardSize: 5 gigs, tokeniser: a, dtype: F8_E4M3}
intermediate: float16
embeddings: both
expect: {layers: 0}
`
    expect(problemsOf(() => yaml(text))).toEqual([
      'dir/recipe.yaml:1:1: Unknown key "modles": did you mean models?',
      'dir/recipe.yaml:3:7: Unknown key "pth": did you mean path?',
      "dir/recipe.yaml:3:22: Expected one of BF16, F16, F32, F64 for models.a.dtype but received 'int8' of type string",
      'dir/recipe.yaml:4:6: Expected a path or an object for models.b but received 7 of type number',
      expect.stringMatching(
        /^dir\/recipe.yaml:5:15: Expected a SHA-256 as 64 .* for models.c.sha256 but received 'abc'/,
      ),
      'dir/recipe.yaml:7:5: Expected a step with either expression, or method and inputs',
      'dir/recipe.yaml:9:5: Expected a step with either expression, or method and inputs',
      'dir/recipe.yaml:10:17: Expected an expression for steps[2].expression but received 5 of type number',
      'dir/recipe.yaml:11:5: Expected a step with either expression, or method and inputs',
      "dir/recipe.yaml:13:15: Expected a number, {gradient: [...]} or null for options.lambda[1] but received 'x' of type string",
      expect.stringContaining('dir/recipe.yaml:14:21: Expected a list of 2 to 1024 numbers for options.gamma.gradient'),
      'dir/recipe.yaml:16:5: Expected a rule with match or layers',
      expect.stringContaining('dir/recipe.yaml:17:13: Expected a pattern of tensor names or a list of them'),
      expect.stringContaining(
        'dir/recipe.yaml:17:25: Expected two layer numbers, the first and the one after the last',
      ),
      expect.stringContaining('dir/recipe.yaml:17:29: Expected a layer number for rules[1].layers[1] but received 1.5'),
      expect.stringContaining('dir/recipe.yaml:17:47: Expected options by name for rules[1].options but received 1'),
      expect.stringContaining(
        "dir/recipe.yaml:18:24: Expected a number of bytes or a size as '5GB', '500MB' or '2GiB'",
      ),
      'dir/recipe.yaml:18:32: Unknown key "tokeniser": did you mean tokenizer?',
      expect.stringContaining('dir/recipe.yaml:18:53: Expected one of BF16, F16, F32, F64 for output.dtype'),
      expect.stringContaining('dir/recipe.yaml:19:15: Expected one of storage, float32 for intermediate'),
      expect.stringContaining('dir/recipe.yaml:20:13: Expected one of refuse, common, left, right for embeddings'),
      expect.stringContaining('dir/recipe.yaml:21:18: Expected a number for expect.layers but received 0'),
    ])
  })

  test('meaning, also beside faults of structure', () => {
    const text = `models:
  math: m
  science: s
  unused: u
  math2: {}
steps:
  - name: mid
    expression: math & scince
  - name: math
    method: slerp
    inputs: [mid, late]
  - expression: math2 & (late
  - name: late
    method: tyes
    inputs: [mid]
    options: {lamda: 1}
  - {name: late, method: karcher, base: mid, inputs: [mid]}
options: {lambda: -1}
output: {tokenizer: maths, dtype: 5}
`
    expect(problemsOf(() => yaml(text))).toEqual([
      'dir/recipe.yaml:8:24: Unknown model "scince": did you mean science?',
      '    math & scince',
      '           ^',
      'dir/recipe.yaml:9:11: Expected another name: "math" is a model',
      'dir/recipe.yaml:11:19: Expected an earlier step: "late" comes later or is this one',
      '    late',
      '    ^',
      'dir/recipe.yaml:12:5: Expected the key name: only the last step can be without one',
      'dir/recipe.yaml:12:30: Expected "&" or ")" but found the end',
      '    math2 & (late',
      '                 ^',
      'dir/recipe.yaml:14:13: Unknown method "tyes": did you mean ties?',
      'dir/recipe.yaml:17:12: Expected the name "late" once',
      'dir/recipe.yaml:17:35: Expected no base for karcher, only inputs',
      'dir/recipe.yaml:17:54: Expected 2 to 64 inputs for karcher but received 1',
      expect.stringContaining('dir/recipe.yaml:19:35: Expected one of BF16'),
    ])
  })

  const wrong: [name: string, recipe: Recipe, problem: string][] = [
    ['neither', { models }, 'recipe: Expected an object with either expression or steps'],
    [
      'both',
      { models, expression: 'math & science', steps: [{ expression: 'math & coding' }] },
      'Expected an object with either expression or steps',
    ],
    ['a model alone', { models, expression: 'math' }, 'expression: Expected a merge, as a & b; to copy a model'],
    [
      'models that are not there',
      { models, expression: 'math & science & coding & x' },
      'expression: Unknown model "x": add it to models or pass it (--model x=DIR)',
    ],
    [
      'a model without use',
      { models, expression: 'math & science' },
      'models.coding: Expected an expression or step to use the model "coding"',
    ],
    [
      'a step without use',
      {
        models,
        steps: [{ name: 'a', expression: 'math & coding' }, { expression: 'math & science & coding' }],
      },
      'steps[0]: Expected a later step to use the result "a"',
    ],
    [
      'a step by itself',
      { models, steps: [{ name: 'a', expression: 'math & science & coding & a' }] },
      'Expected an earlier step: "a" comes later or is this one',
    ],
    [
      'a wrong model name',
      { models: { ' x': 'y' }, expression: "' x' & ' x'" },
      'Expected a name of at most 200 characters',
    ],
    [
      'options without a method',
      { models, expression: 'math & science & coding', options: { lamda: 1 } },
      'options.lamda: Unknown option "lamda": did you mean lambda?',
    ],
    [
      'options of other methods',
      { models, expression: 'math & science & coding', options: { density: 1 } },
      'options.density: Unknown option "density": fuse has preset, scope',
    ],
    [
      'one name for two things',
      { models, expression: 'ties(math, science, coding) & math', options: { lambda: 1 } },
      'options.lambda: Expected lambda inside a step or a call: it means different things for ties and fuse',
    ],
    [
      'null outside of rules',
      { models, expression: 'linear(math, science, coding)', options: { weight: [1, null, 2] } },
      'options.weight: Expected a number for each input for weight: only rules can have null',
    ],
    [
      'a list of the wrong length',
      { models, expression: 'linear(math, science, coding)', options: { weight: [1, 2] } },
      'options.weight: Expected 3 values, one for each input, for weight but received [ 1, 2 ]',
    ],
    [
      'a value out of range',
      { models, expression: 'math & science & coding', rules: [{ match: '*', options: { lambda: -1 } }] },
      'rules[0].options.lambda: Expected a number from 0 to 1000000 for lambda but received -1',
    ],
    ['a missing value', { models, expression: 'slerp(math & science, coding)' }, 'expression: Expected t for slerp'],
    [
      'a rule for no step',
      { models, expression: 'math & science & coding', rules: [{ match: '*', step: 'x', options: { lambda: 1 } }] },
      'rules[0].step: Unknown step "x"',
    ],
    [
      'layers the wrong way round',
      { models, expression: 'math & science & coding', rules: [{ layers: [4, 4], options: { lambda: 1 } }] },
      'rules[0].layers: Expected the first layer before the last but received [4, 4]',
    ],
    [
      'a tokenizer of no model',
      { models, expression: 'math & science & coding', output: { tokenizer: 'maths' } },
      'output.tokenizer: Unknown model "maths": did you mean math?',
    ],
    [
      'values that do not fit together',
      { models, expression: 'della(math, science, coding; density=[0.1, 0.5])' },
      'Expected density − epsilon and density + epsilon between 0 and 1 but received density 0.1, epsilon 0.15',
    ],
    [
      'row-wise and flat',
      { models, expression: 'nuslerp(math, science; base=coding, rowWise=true)' },
      'Expected flatten: false with rowWise: true',
    ],
    ...[
      'linear(math, science, coding; weight=[0.5, 0.5, -1])',
      'linear(math, science, coding; weight=0)',
      'task_arithmetic(math, science, coding; weight=[0.3, -0.3], normalize=true)',
      'dare_linear(math, science, coding; weight=[0.3, -0.3], normalize=true)',
      'della_linear(math, science, coding; density=0.5, weight=[0.3, -0.3], normalize=true)',
      'breadcrumbs(math, science, coding; weight=[0.3, -0.3], normalize=true)',
      'nuslerp(math, science; base=coding, weight=[0.1, -0.1])',
      'multislerp(math, science, coding; weight=[1, -1.00000000001, 0])',
    ].map((expression): [string, Recipe, string] => [
      'weights that cancel',
      { models, expression },
      'Expected weights that do not cancel but received ',
    ]),
    [
      'a tiny epsilon of fuse',
      { models, expression: 'math & science & coding', options: { epsilon: 1e-31 } },
      'Expected 0 or a number from 1e-30 to 1 for epsilon but received 1e-31',
    ],
    [
      'no base',
      { models, steps: [{ method: 'ties', inputs: ['math', 'science', 'coding'] }] },
      'steps[0]: Expected the key base for ties',
    ],
    [
      'not an object',
      [] as Recipe,
      'recipe: Expected an object with either expression or steps for the recipe but received []',
    ],
    [
      'null',
      null as unknown as Recipe,
      'recipe: Expected an object with either expression or steps for the recipe but received null of type null',
    ],
    [
      'NaN',
      { models, expression: 'math & science & coding', options: { lambda: Number.NaN } },
      'but received NaN of type number',
    ],
  ]
  test.each(wrong)('%s', (_, recipe, problem) => {
    const lines = problemsOf(() => resolveRecipe(recipe)).filter((line) => !line.startsWith(' '))
    for (const line of lines) expect(line).toContain(problem)
  })

  test('a wrong name in one step does not hide those in the next, nor what is missing', () => {
    const steps = [
      { name: 'x', expression: 'math & scince' },
      { name: 'y', expression: 'x & codng' },
      { expression: 'slerp(math, science)', options: { lambda: 1 } },
    ]
    const lines = problemsOf(() => resolveRecipe({ models, steps, rules: [{ match: '*', step: 'end', options: {} }] }))
    expect(lines.filter((line) => !line.startsWith(' '))).toEqual([
      'steps[0].expression: Unknown model "scince": did you mean science?',
      'steps[1].expression: Unknown model "codng": did you mean coding?',
      'steps[2].options.lambda: Unknown option "lambda": slerp has t',
      'rules[0].step: Unknown step "end"',
      'steps[2]: Expected t for slerp, in slerp(math, science)',
    ])
  })

  test('models that are passed but not used, and wrong options', () => {
    const nothing = null as unknown as Record<string, string>
    expect(() => resolveRecipe({}, { models: nothing })).toThrow('Expected paths by name for models but received null')
    const recipe = { models, expression: 'math & science & coding' }
    const passed = () => resolveRecipe(recipe, { models: { maths: 'x' } })
    expect(problemsOf(passed)).toEqual([
      'recipe: Expected the recipe to use the model "maths" that was passed: did you mean math?',
    ])
    expect(() => resolveRecipe(recipe, { models: { math: '' } })).toThrow('Expected a path for models.math')
    expect(() => resolveRecipe(recipe, { model: {} } as object)).toThrow("Unknown option 'model': did you mean models?")
  })

  test('at most 50 problems are listed', () => {
    const options = Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`option${i}`, 1]))
    const lines = problemsOf(() => resolveRecipe({ models, expression: 'math & science & coding', options }))
    expect(lines).toHaveLength(51)
    expect(lines.at(-1)).toBe('and 10 more')
  })

  test('names of prototypes are names like others', () => {
    const text = 'models: {__proto__: a, constructor: b}\nexpression: __proto__ & constructor'
    expect(yaml(text).models.map(({ name }) => name)).toEqual(['__proto__', 'constructor'])
    const options = 'models: {a: a, b: b}\nexpression: a & b\noptions: {__proto__: 1, toString: 2}'
    expect(problemsOf(() => yaml(options))).toHaveLength(2)
  })
})
