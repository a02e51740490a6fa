import { describe, expect, test } from 'vitest'
import { presets } from '../../lib/fusion/presets.js'
import { methodFromName, methodNames, methods, parameterOf } from '../../lib/recipe/methods.js'

const all = ['weight', 'density', 'lambda', 'normalize', 'rescale'] as const

/** Base, least inputs, and every parameter with its default; undefined must be given. */
const catalogue: Record<string, [base: string, least: number, most: number, defaults: Record<string, unknown>]> = {
  fuse: ['none', 2, 2, { preset: 'arcee', ...presets.arcee, nonFinite: 'error' }],
  linear: ['none', 1, 64, { weight: 1, normalize: true }],
  slerp: ['none', 2, 2, { t: undefined }],
  task_arithmetic: ['required', 1, 64, { weight: 1, normalize: false, lambda: 1 }],
  ties: ['required', 1, 64, { weight: 1, density: 1, normalize: true, rescale: false, lambda: 1 }],
  dare_linear: ['required', 1, 64, { weight: 1, density: 1, normalize: false, rescale: true, lambda: 1, seed: 0 }],
  dare_ties: ['required', 1, 64, { weight: 1, density: 1, normalize: false, rescale: true, lambda: 1, seed: 0 }],
  della: [
    'required',
    1,
    64,
    { weight: 1, density: 1, epsilon: 0.15, normalize: true, rescale: true, lambda: 1, seed: 0 },
  ],
  della_linear: [
    'required',
    1,
    64,
    { weight: 1, density: 1, epsilon: 0.15, normalize: false, rescale: true, lambda: 1, seed: 0 },
  ],
  breadcrumbs: ['required', 1, 64, { weight: 1, density: 1, gamma: 0.01, normalize: false, rescale: false, lambda: 1 }],
  breadcrumbs_ties: [
    'required',
    1,
    64,
    { weight: 1, density: 1, gamma: 0.01, normalize: false, rescale: false, lambda: 1 },
  ],
  model_stock: ['required', 2, 64, { filterWise: false }],
  sce: ['required', 2, 64, { selectTopk: 1 }],
  nearswap: ['none', 2, 2, { t: undefined }],
  nuslerp: ['optional', 2, 2, { weight: 1, rowWise: false, flatten: true }],
  multislerp: ['optional', 2, 64, { weight: 1, normalizeWeights: true, epsilon: 1e-8 }],
  karcher: ['none', 2, 64, { maxIterations: 10, tolerance: 1e-5 }],
  ram: ['required', 1, 64, { epsilon: 1e-5 }],
  passthrough: ['none', 1, 1, { scale: 1 }],
}

test('the catalogue is this, and nothing else', () => {
  expect(methodNames.toSorted()).toEqual(Object.keys(catalogue).toSorted())
})

test.each(Object.entries(catalogue))('%s', (name, [base, least, most, defaults]) => {
  const method = methods[name as keyof typeof methods]
  const found = Object.entries(method.parameters).map(([key, parameter]) => [key, parameter.default])
  expect(Object.fromEntries(found)).toEqual(defaults)
  expect(method).toMatchObject({ base, inputs: { least, most } })
  expect(method.summary).not.toBe('')
})

describe('each input has its own', () => {
  const perInput = new Set(['weight', 'density', 'epsilon of della', 'epsilon of della_linear', 'gamma', 'scale'])
  test.each(methodNames)('%s', (method) => {
    for (const [name, { perInput: own }] of Object.entries(methods[method].parameters)) {
      expect([name, own ?? false]).toEqual([name, perInput.has(name) || perInput.has(`${name} of ${method}`)])
    }
  })
})

test('names and aliases', () => {
  expect(methodFromName('arcee_fusion')).toBe('fuse')
  expect(methodFromName('fuse')).toBe('fuse')
  expect(methodFromName('Fuse')).toBeUndefined()
  expect(methodFromName('constructor')).toBeUndefined()
  expect(parameterOf('fuse', 'toString')).toBeUndefined()
  for (const name of all) expect(parameterOf('ties', name)?.meaning).toBe(parameterOf('dare_ties', name)?.meaning)
})
