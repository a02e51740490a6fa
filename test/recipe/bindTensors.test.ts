import { describe, expect, test } from 'vitest'
import { presets } from '../../lib/fusion/presets.js'
import { bindTensors, layerOf } from '../../lib/recipe/bindTensors.js'
import type { Recipe } from '../../lib/recipe/recipe.js'
import { resolveRecipe } from '../../lib/recipe/resolveRecipe.js'
import { matchesPattern } from '../../lib/recipe/tensorPattern.js'
import { growth, proportional } from '../support/growth.js'
import { Random } from '../support/random.js'

const kinds = ['self_attn.q_proj.weight', 'mlp.up_proj.weight', 'input_layernorm.weight']
const tensors = [
  'model.embed_tokens.weight',
  ...Array.from({ length: 5 }, (_, i) => kinds.map((kind) => `model.layers.${i}.${kind}`)).flat(),
  'model.norm.weight',
  'lm_head.weight',
]
const layer = (i: number, kind = 'mlp.up_proj.weight') => `model.layers.${i}.${kind}`

function bind(recipe: Recipe, names: readonly string[] = tensors) {
  const resolved = resolveRecipe({ models: { base: 'b', left: 'l', right: 'r' }, ...recipe })
  return { ...bindTensors(resolved, names), merges: resolved.merges, root: resolved.root }
}

describe('rules', () => {
  test('for each option the first rule that matches and sets it wins', () => {
    const { problems, parametersFor, root } = bind({
      expression: 'ties(base, left, right; density=0.9)',
      options: { lambda: 2 },
      rules: [
        { match: '*.mlp.*', options: { density: 0.1 } },
        { layers: [1, 3], options: { density: 0.2, lambda: 3 } },
        { match: ['lm_head.*', '*norm*'], options: { normalize: false, density: 0.3 } },
      ],
    })
    expect(problems).toEqual([])
    const brief = (tensor: string) => {
      const { density, lambda, normalize } = parametersFor(root, tensor)
      return [density, lambda, normalize]
    }
    expect(brief('model.embed_tokens.weight')).toEqual([[0.9, 0.9], 2, true])
    expect(brief(layer(0))).toEqual([[0.1, 0.1], 2, true])
    expect(brief(layer(1))).toEqual([[0.1, 0.1], 3, true])
    expect(brief(layer(2, 'input_layernorm.weight'))).toEqual([[0.2, 0.2], 3, false])
    expect(brief(layer(3, 'input_layernorm.weight'))).toEqual([[0.3, 0.3], 2, false])
    expect(brief('lm_head.weight')).toEqual([[0.3, 0.3], 2, false])
  })

  test('rules win over the call, and null leaves an input to what is below', () => {
    const { parametersFor, root } = bind({
      expression: 'ties(base, left, right; weight=[0.5, 0.6])',
      rules: [
        { match: '*.mlp.*', options: { weight: [null, 0.1] } },
        { layers: [2, 5], options: { weight: [0.2, 0.3] } },
      ],
    })
    expect(parametersFor(root, layer(0)).weight).toEqual([0.5, 0.1])
    expect(parametersFor(root, layer(2)).weight).toEqual([0.2, 0.1])
    expect(parametersFor(root, layer(2, 'input_layernorm.weight')).weight).toEqual([0.2, 0.3])
  })

  test('a rule for one step, and one for every merge that knows the option', () => {
    const { parametersFor, merges, problems } = bind({
      steps: [{ name: 'mid', expression: 'left & right' }, { expression: 'mid & base' }],
      rules: [
        { match: '*', step: 'mid', options: { lambda: 0 } },
        { match: '*.mlp.*', options: { lambda: 9, gate: 'gt' } },
      ],
    })
    expect(problems).toEqual([])
    const brief = (tensor: string) =>
      merges.map((node) => [parametersFor(node, tensor).lambda, parametersFor(node, tensor).gate])
    expect(brief(layer(0))).toEqual([
      [0, 'gt'],
      [9, 'gt'],
    ])
    expect(brief('lm_head.weight')).toEqual([
      [0, 'ge'],
      [1.5, 'ge'],
    ])
  })

  test('fusion options: a preset by tensor, and what a stronger rule puts over it', () => {
    const { fusionOptionsFor, root } = bind({
      models: { left: 'l', right: 'r' },
      expression: 'fuse(left, right; lambda=1)',
      options: { nonFinite: 'left' },
      rules: [
        { match: '*.mlp.*', options: { epsilon: 0 } },
        { layers: [0, 2], options: { preset: 'paper-soft' } },
      ],
    })
    expect(fusionOptionsFor(root, 'lm_head.weight')).toEqual({ ...presets.arcee, lambda: 1, nonFinite: 'left' })
    expect(fusionOptionsFor(root, layer(3))).toEqual({ ...presets.arcee, lambda: 1, epsilon: 0, nonFinite: 'left' })
    expect(fusionOptionsFor(root, layer(1))).toEqual({ ...presets['paper-soft'], epsilon: 0, nonFinite: 'left' })
  })

  test('what matches nothing is a problem, with its place', () => {
    const { problems } = bind({
      models: { left: 'l', right: 'r' },
      expression: 'left & right',
      rules: [
        { match: ['*.mlp.*', '*.moe.*'], options: { lambda: 1 } },
        { layers: [3, 6], options: { lambda: 1 } },
        { match: 'lm_head.*', layers: [0, 2], options: { lambda: 1 } },
        { match: '*', options: { lambda: 1 } },
      ],
    })
    expect(problems).toEqual([
      'rules[0]: Expected a pattern that matches a tensor but "*.moe.*" matches none',
      'rules[1]: Expected layers within [0, 5] but received [3, 6]',
      'rules[2]: Expected a rule that matches a tensor but none has both this name and this layer',
    ])
  })

  test('values that are missing or do not fit together for a tensor are problems', () => {
    const { problems } = bind({
      steps: [{ name: 'x', expression: 'slerp(left, right)' }, { expression: 'della(base, x; density=0.5)' }],
      rules: [
        { match: '*.mlp.*', options: { t: 0.5 } },
        { match: '*norm*', options: { density: 0.1 } },
      ],
    })
    expect(problems).toEqual([
      'x: Expected t for slerp, for "model.embed_tokens.weight" and 12 more',
      'della(base, x; density=0.5): Expected density − epsilon and density + epsilon between 0 and 1 but received ' +
        'density 0.1, epsilon 0.15, for "model.layers.0.input_layernorm.weight" and 5 more',
    ])
  })

  test('weights that cancel for a tensor are problems, but where signs are elected, or nothing is divided', () => {
    const weights = { weight: [{ gradient: [1, 0] }, -0.5] }
    const cancel = { match: 'lm_head.*', options: { weight: [0.3, -0.3] } }
    const problemsOf = (method: string, options: object = {}) =>
      bind({ steps: [{ method, base: 'base', inputs: ['left', 'right'], options }], rules: [cancel] } as never).problems
    const text = 'Expected weights that do not cancel but received 0.3, -0.3: the result is divided by their sum'
    expect(problemsOf('task_arithmetic', { normalize: true })).toEqual([
      expect.stringContaining(`${text}, for "lm_head.weight"`),
    ])
    for (const method of ['task_arithmetic', 'dare_linear', 'ties', 'della', 'breadcrumbs_ties'])
      expect(problemsOf(method)).toEqual([])
    for (const method of ['dare_ties', 'breadcrumbs_ties']) expect(problemsOf(method, { normalize: true })).toEqual([])
    const middle = bind({
      models: { left: 'l', right: 'r' },
      steps: [{ method: 'linear', inputs: ['left', 'right'], options: weights }],
    } as never).problems
    expect(middle).toEqual([expect.stringContaining('received 0.5, -0.5')])
  })
})

describe('gradients', () => {
  test('linear from the first layer to the last; the first value outside of layers', () => {
    const { parametersFor, root, problems } = bind({
      models: { left: 'l', right: 'r' },
      expression: 'slerp(left, right; t=gradient(0, 1, 0.5))',
    })
    expect(problems).toEqual([])
    const t = (tensor: string) => parametersFor(root, tensor).t
    expect([0, 1, 2, 3, 4].map((i) => t(layer(i)))).toEqual([0, 0.5, 1, 0.75, 0.5])
    expect(t('lm_head.weight')).toBe(0)
  })

  test('by input, by rule, and in several stacks of layers', () => {
    const names = [...tensors, ...Array.from({ length: 3 }, (_, i) => `visual.blocks.${i}.mlp.up_proj.weight`)]
    const { parametersFor, root } = bind(
      {
        expression: 'ties(base, left, right)',
        options: { weight: [{ gradient: [1, 0] }, 0.25] },
        rules: [{ match: 'visual.*', options: { weight: [null, { gradient: [0, 8] }], lambda: { gradient: [1, 2] } } }],
      },
      names,
    )
    expect(parametersFor(root, layer(1)).weight).toEqual([0.75, 0.25])
    expect(parametersFor(root, 'visual.blocks.1.mlp.up_proj.weight')).toMatchObject({ weight: [0.5, 4], lambda: 1.5 })
  })

  test('a single layer is the last', () => {
    const recipe = { models: { left: 'l', right: 'r' }, expression: 'slerp(left, right; t=gradient(0, 1))' }
    const { parametersFor, root } = bind(recipe, ['h.0.attn.weight'])
    expect(parametersFor(root, 'h.0.attn.weight').t).toBe(1)
  })
})

test.each([
  ['model.layers.31.mlp.experts.7.up_proj.weight', { stack: 'model.layers', index: 31 }],
  ['h.0.attn.c_attn.weight', { stack: 'h', index: 0 }],
  ['transformer.h.11.ln_1.bias', { stack: 'transformer.h', index: 11 }],
  ['encoder.layer.2.x', { stack: 'encoder.layer', index: 2 }],
  ['visual.merger.mlp.0.weight', undefined],
  ['model.layers.weight', undefined],
  ['model.sublayers.3.weight', undefined],
  ['layers.3', undefined],
])('the layer of %s', (tensor, layerOfIt) => {
  expect(layerOf(tensor)).toEqual(layerOfIt)
})

describe('patterns', () => {
  const cases: [pattern: string, name: string, fits: boolean][] = [
    ['a', 'a', true],
    ['a', 'ab', false],
    ['*', '', true],
    ['*.mlp.*', 'model.layers.0.mlp.up', true],
    ['*.mlp.*', 'mlp.up', false],
    ['a*b*c', 'abbbcbc', true],
    ['a*b*c', 'abbbcb', false],
    ['?', '', false],
    ['a?c', 'a.c', true],
    ['a.c', 'abc', false],
    ['**', 'x', true],
    ['layers.1.*', 'layers.10.x', false],
    ['a*', '*', false],
    ['\\*', '\\x', true],
  ]
  test.each(cases)('%s and %s: %s', (pattern, name, fits) => expect(matchesPattern(pattern, name)).toBe(fits))

  test('agree with regular expressions', () => {
    const random = new Random(9)
    const text = (letters: readonly string[]) =>
      Array.from({ length: random.below(9) }, () => random.pick(letters)).join('')
    let matches = 0
    for (let i = 0; i < 20_000; i++) {
      const [pattern, name] = [text(['a', 'b', '*', '?', '.']), text(['a', 'b', '.'])]
      const source = pattern.replaceAll('.', '\\.').replaceAll('?', '.').replaceAll('*', '.*')
      const fits = new RegExp(`^${source}$`).test(name)
      expect(matchesPattern(pattern, name), `${pattern} on ${name}`).toBe(fits)
      matches += Number(fits)
    }
    expect(matches).toBeGreaterThan(500)
  })

  test('the time for a crafted pattern grows as the name does', async () => {
    const pattern = `${'*a'.repeat(2000)}b`
    const match = (length: number) => expect(matchesPattern(pattern, 'a'.repeat(length))).toBe(false)
    expect(await growth(match, 20_000)).toBeLessThan(proportional)
  })
})
