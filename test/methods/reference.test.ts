import { describe, expect, test } from 'vitest'
import { expectationOf, type MethodName, refusedCases } from './cases.js'
import type { Outcome, Problem } from './reference/problem.js'
import { references } from './reference/references.js'
import { elect } from './reference/taskVectors.js'
import { keepByRank, keepLargest, keepMiddle, keepRandom, rankedProbabilities } from './reference/thinning.js'
import { streamKey, uniform, xxh64 } from './reference/uniform.js'
import { absoluteSum, dot, norm } from './reference/vectors.js'

interface Tiny {
  inputs: number[][]
  base?: number[]
  shape?: number[]
  dtype?: Problem['dtype']
  name?: string
}

function outcomeOf(method: MethodName, { inputs, base, shape, dtype = 'F64', name = 'w' }: Tiny, parameters: object) {
  const problem: Problem = {
    dtype,
    shape: shape ?? [inputs[0]?.length ?? 0],
    name,
    inputs: inputs.map((input) => Float64Array.from(input)),
  }
  if (base !== undefined) problem.base = Float64Array.from(base)
  return (references[method] as (problem: Problem, parameters: object) => Outcome)(problem, parameters)
}

const merge = (method: MethodName, tensors: Tiny, parameters: object) =>
  Array.from(outcomeOf(method, tensors, parameters).result)

function expectClose(actual: number[], expected: number[]) {
  expect(actual).toHaveLength(expected.length)
  actual.forEach((value, i) => {
    expect(value).toBeCloseTo(Number(expected[i]), 12)
  })
}

const bytes = (text: string) => new TextEncoder().encode(text)
const kept = (mask: boolean[]) => mask.flatMap((keep, i) => (keep ? [i] : []))
/** Values without a pattern, in (−½, ½). */
const noise = (size: number, seed: number) =>
  Array.from({ length: size }, (_, i) => uniform(streamKey(seed, 'noise', 0), i) - 0.5)

describe('random numbers', () => {
  test('XXH64 as published', () => {
    expect(xxh64(bytes(''))).toBe(0xef46db3751d8e999n)
    expect(xxh64(bytes('abc'))).toBe(0x44bc2cf5ad770999n)
    expect(xxh64(bytes('The quick brown fox jumps over the lazy dog'))).toBe(0x0b242d361fda71bcn)
  })

  test('SplitMix64 as published, from key 0', () => {
    expect(uniform(0n, 0)).toBe(Number(0xe220a8397b1dcdafn >> 11n) * 2 ** -53)
    expect(uniform(0n, 1)).toBe(Number(0x6e789e6aa1b965f4n >> 11n) * 2 ** -53)
  })

  test.each([
    [0, '', 0, 0, 0xfa97369f1362dc35n, 0.8581533010130556],
    [42, 'model.layers.0.self_attn.q_proj.weight', 1, 12345, 0x00c856c5adc08987n, 0.13224369566730698],
    [2 ** 32 - 1, 'lm_head.weight', 2, 2 ** 32, 0x02bc724409c0af6bn, 0.5347446172740101],
  ])('the page: seed %d, tensor "%s", input %d, element %d', (seed, name, input, element, key, u) => {
    expect(streamKey(seed, name, input)).toBe(key)
    expect(uniform(key, element)).toBe(u)
  })

  test('are uniform, and independent between inputs, names and seeds', () => {
    const n = 4000
    const mask = (seed: number, name: string, input: number) =>
      keepRandom(new Float64Array(n), 0.3, streamKey(seed, name, input))
    const first = mask(0, 'w', 0)
    // Six standard deviations of a binomial count.
    expect(Math.abs(kept(first).length - 0.3 * n)).toBeLessThan(6 * Math.sqrt(n * 0.21))
    for (const other of [mask(1, 'w', 0), mask(0, 'v', 0), mask(0, 'w', 1)]) {
      const both = first.filter((keep, i) => keep && other[i]).length
      expect(Math.abs(both - 0.09 * n)).toBeLessThan(6 * Math.sqrt(n * 0.09 * 0.91))
    }
  })
})

describe('thinning out', () => {
  test('keeps the largest magnitudes and all that equal the last of them', () => {
    const values = Float64Array.of(1, -4, 2, 0, -2)
    expect(kept(keepLargest(values, 0.2))).toEqual([1])
    expect(kept(keepLargest(values, 0.4))).toEqual([1, 2, 4])
    expect(kept(keepLargest(values, 0.8))).toEqual([0, 1, 2, 4])
    expect(kept(keepLargest(values, 0.19))).toEqual([])
    expect(kept(keepLargest(values, 1))).toEqual([0, 1, 2, 3, 4])
  })

  test('keeps the middle', () => {
    const values = Float64Array.of(10, -1, 9, 2, -8, 3, 7, 4, -6, 5)
    const magnitudes = (density: number, gamma: number) =>
      kept(keepMiddle(values, density, gamma))
        .map((i) => Math.abs(Number(values[i])))
        .sort((a, b) => a - b)
    expect(magnitudes(0.5, 0.2)).toEqual([4, 5, 6, 7, 8])
    expect(magnitudes(0.5, 0)).toEqual([6, 7, 8, 9, 10])
    // Density comes before gamma: nothing is left to drop from the bottom, and less from the top.
    expect(magnitudes(0.8, 0.5)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    expect(magnitudes(1, 0.5)).toHaveLength(10)
    expect(magnitudes(0, 0)).toEqual([])
    expect(kept(keepMiddle(Float64Array.of(2, 2, -2, 2), 0.25, 0.25))).toEqual([0, 1, 2, 3])
  })

  test('keeps by rank in the row, equals by index', () => {
    expectClose(rankedProbabilities(Float64Array.of(3, -1, 2), 0.5, 0.1), [0.6, 0.4, 0.5])
    expectClose(rankedProbabilities(Float64Array.of(2, -2, 2), 0.5, 0.1), [0.4, 0.5, 0.6])
    expectClose(rankedProbabilities(Float64Array.of(7), 0.5, 0.1), [0.5])
    expectClose(rankedProbabilities(Float64Array.of(7, 1), 1, 0.1), [1, 1])
    expectClose(rankedProbabilities(Float64Array.of(7, 1), 0, 0.1), [0, 0])
  })

  test('ranks start again in each row', () => {
    const difference = Float64Array.from({ length: 8000 }, (_, i) => (i % 4) + 1)
    const mask = keepByRank(difference, 4, 0.5, 0.4, streamKey(3, 'w', 0))
    for (const rank of [0, 1, 2, 3]) {
      const share = kept(mask).filter((i) => i % 4 === rank).length / 2000
      expect(Math.abs(share - (0.1 + (0.8 * rank) / 3))).toBeLessThan(6 * Math.sqrt(0.25 / 2000))
    }
  })
})

describe('election', () => {
  const weights = [1, 1, 1]
  test.each([
    ['the larger sum wins', [3, -1, -1], true, 3],
    ['the mean is of those that agree', [3, -1, 1], true, 2],
    ['and their sum without normalising', [3, -1, 1], false, 4],
    ['a negative sum', [-3, 1, 0], true, -3],
    ['zero agrees with nobody', [0, 4, 0], true, 4],
    ['a sum of zero elects +', [2, -2, 0], true, 2],
    ['nothing to elect', [0, 0, 0], true, 0],
  ])('%s', (_, terms, normalize, expected) => {
    expect(elect(terms, weights, normalize).value).toBe(expected)
  })

  test('divides by the weights of those that agree', () => {
    expect(elect([0.5 * 4, 2 * 1, -1 * 3], [0.5, 2, 1], true).value).toBe(4 / 2.5)
  })

  test('does not divide by weights that cancel', () => {
    expect(elect([3, 2], [1, -1], true).value).toBe(5)
  })
})

const common = { weight: [1, 1], lambda: 1 }
const base = [1, 2, 3, 4]
const inputs = [
  [2, 2, 1, 8],
  [1, 5, 5, 5],
]

describe('task vectors', () => {
  test('task_arithmetic', () => {
    const tensors = { base, inputs }
    expect(merge('task_arithmetic', tensors, { ...common, normalize: false })).toEqual([2, 5, 3, 9])
    const half = { weight: [1, 3], lambda: 2, normalize: true }
    expect(merge('task_arithmetic', tensors, half)).toEqual([1.5, 6.5, 5, 7.5 + 0])
  })

  test('ties', () => {
    const parameters = { ...common, density: [1, 1], normalize: true, rescale: false }
    // Differences [1, 0, −2, 4] and [0, 3, 2, 1].
    expect(merge('ties', { base, inputs }, parameters)).toEqual([2, 5, 5, 6.5])
    expect(merge('ties', { base, inputs }, { ...parameters, density: [0.25, 0.5] })).toEqual([1, 5, 5, 8])
    expect(merge('ties', { base, inputs }, { ...parameters, density: [0, 0.2] })).toEqual(base)
  })

  test('rescaling restores the L1 norm', () => {
    const parameters = { weight: [1], lambda: 1, density: [0.5], normalize: false, rescale: true }
    // Of [1, 0, −2, 4], the larger two make up 6 of 7.
    expectClose(merge('ties', { base, inputs: inputs.slice(0, 1) }, parameters), [1, 2, 3 - 7 / 3, 4 + 14 / 3])
    for (const method of ['dare_linear', 'della_linear', 'breadcrumbs'] as const) {
      const more = { ...parameters, epsilon: [0.2], gamma: [0.1], seed: 5 }
      const difference = noise(200, 1)
      const merged = merge(method, { base: noise(200, 0).fill(0), inputs: [difference] }, more)
      expect(merged.filter((value) => value === 0).length).toBeGreaterThan(50)
      expect(absoluteSum(Float64Array.from(merged))).toBeCloseTo(absoluteSum(Float64Array.from(difference)), 10)
    }
  })

  test('breadcrumbs drops the largest and the smallest', () => {
    const difference = [10, -1, 9, 2, -8, 3, 7, 4, -6, 5]
    const parameters = { weight: [1], lambda: 1, density: [0.5], gamma: [0.2], normalize: false, rescale: false }
    const tensors = { base: new Array(10).fill(0), inputs: [difference] }
    const expected = [0, 0, 0, 0, -8, 0, 7, 4, -6, 5]
    expect(merge('breadcrumbs', tensors, parameters)).toEqual(expected)
    expect(merge('breadcrumbs_ties', tensors, parameters)).toEqual(expected)
  })

  test('drops by the numbers of the page', () => {
    const parameters = { ...common, density: [0.4, 0.7], normalize: false, rescale: false, seed: 9 }
    const ones = new Array(50).fill(1)
    const tensors = { base: new Array(50).fill(0), inputs: [ones, ones], name: 'a.weight' }
    const expected = ones.map(
      (_, i) =>
        Number(uniform(streamKey(9, 'a.weight', 0), i) < 0.4) + Number(uniform(streamKey(9, 'a.weight', 1), i) < 0.7),
    )
    expect(merge('dare_linear', tensors, parameters)).toEqual(expected)
    expect(merge('dare_ties', tensors, parameters)).toEqual(expected)
    expect(new Set(expected)).toEqual(new Set([0, 1, 2]))
  })

  test('differences are rounded to float32 once, unless the tensor is F64', () => {
    const tensors = { base: [1e-9], inputs: [[1]] }
    const parameters = { weight: [1e9], lambda: 1, normalize: false }
    expect(merge('task_arithmetic', { ...tensors, dtype: 'F32' }, parameters)).toEqual([1e9 + 1e-9])
    expect(merge('task_arithmetic', tensors, parameters)).toEqual([1e9 * (1 - 1e-9) + 1e-9])
  })

  const methods = [
    'task_arithmetic',
    'ties',
    'dare_linear',
    'dare_ties',
    'della',
    'della_linear',
    'breadcrumbs',
    'breadcrumbs_ties',
  ] as const
  const whole = { density: [1, 1], epsilon: [0.1, 0.1], gamma: [0.3, 0.3], normalize: false, rescale: true, seed: 1 }

  test.each(methods)('%s with density 1 is the combination alone', (method) => {
    const linearly = ['task_arithmetic', 'dare_linear', 'della_linear', 'breadcrumbs'].includes(method)
    const expected = linearly
      ? merge('task_arithmetic', { base, inputs }, { ...common, normalize: false })
      : merge('ties', { base, inputs }, { ...common, ...whole, rescale: false })
    expect(merge(method, { base, inputs }, { ...common, ...whole })).toEqual(expected)
  })

  test.each(methods)('%s of one input of weight 1 is the input, of none of it the base', (method) => {
    const one = { base, inputs: inputs.slice(0, 1) }
    expect(merge(method, one, { ...whole, weight: [1], lambda: 1, normalize: true })).toEqual(inputs[0])
    expect(merge(method, one, { ...whole, weight: [1], lambda: 0 })).toEqual(base)
    if (method !== 'task_arithmetic')
      expect(merge(method, one, { ...whole, density: [0], weight: [1], lambda: 1 })).toEqual(base)
  })

  test.each(methods)('%s of inputs equal to the base is the base', (method) => {
    const parameters = { ...whole, density: [0.5, 0.5], weight: [0.3, 0.9], lambda: 1, normalize: true }
    expect(merge(method, { base, inputs: [base, base] }, parameters)).toEqual(base)
  })
})

describe('linear', () => {
  test('means and sums', () => {
    expect(merge('linear', { inputs }, { weight: [1, 1], normalize: true })).toEqual([1.5, 3.5, 3, 6.5])
    expect(merge('linear', { inputs }, { weight: [2, -1], normalize: false })).toEqual([3, -1, -3, 11])
    expectClose(merge('linear', { inputs: [base, base] }, { weight: [0.1, 0.7], normalize: true }), base)
  })
})

describe('interpolation on the sphere', () => {
  const right = [
    [3, 0],
    [0, 4],
  ]
  const half = Math.SQRT1_2

  test('slerp of a right angle keeps the lengths it starts from', () => {
    expectClose(merge('slerp', { inputs: right }, { t: 0.5 }), [3 * half, 4 * half])
    expectClose(merge('slerp', { inputs: right }, { t: 1 / 3 }), [3 * Math.sin(Math.PI / 3), 4 * 0.5])
    expect(merge('slerp', { inputs }, { t: 0 })).toEqual(inputs[0])
    expect(merge('slerp', { inputs }, { t: 1 })).toEqual(inputs[1])
  })

  test('slerp is linear near 0° and 180°, and where there is no angle', () => {
    const near = [
      [1, 0],
      [2, 0.06],
    ]
    expectClose(merge('slerp', { inputs: near }, { t: 0.25 }), [1.25, 0.015])
    expectClose(
      merge(
        'slerp',
        {
          inputs: [
            [1, 2],
            [-2, -4],
          ],
        },
        { t: 0.5 },
      ),
      [-0.5, -1],
    )
    expectClose(
      merge(
        'slerp',
        {
          inputs: [
            [0, 0],
            [1, 4],
          ],
        },
        { t: 0.5 },
      ),
      [0.5, 2],
    )
    // At 2.5° the arc differs from the line by more than the tolerance.
    const apart = [
      [1, 0],
      [2, 0.09],
    ] as const
    const arc = merge('slerp', { inputs: apart.map((vector) => [...vector]) }, { t: 0.25 })
    expect(Math.abs(Number(arc[0]) - 1.25)).toBeGreaterThan(1e-5)
  })

  test('nuslerp: weights, vectors along either dimension, a base', () => {
    const flat = { weight: [2, 1], rowWise: false, flatten: true }
    expectClose(merge('nuslerp', { inputs: right }, flat), merge('slerp', { inputs: right }, { t: 1 / 3 }))
    const shape = [2, 2]
    const matrices = [
      [1, 0, 0, 1],
      [0, 1, 0, 1],
    ]
    // Rows: (1,0)→(0,1) at 90°, (0,1)→(0,1). Columns: (1,0)→(0,0), no angle; (0,1)→(1,1) at 45°.
    const weight = [1, 1]
    expectClose(merge('nuslerp', { inputs: matrices, shape }, { weight, rowWise: false, flatten: false }), [
      half,
      half,
      0,
      1,
    ])
    const s = Math.sin(Math.PI / 8) / half
    expectClose(merge('nuslerp', { inputs: matrices, shape }, { weight, rowWise: true, flatten: false }), [
      0.5,
      s,
      0,
      2 * s,
    ])
    const shifted = right.map((vector) => vector.map((value) => value + 1))
    expectClose(merge('nuslerp', { inputs: shifted, base: [1, 1] }, { ...flat, weight }), [1 + 3 * half, 1 + 4 * half])
    expectClose(
      merge(
        'nuslerp',
        {
          inputs: [
            [1, 2],
            [-2, -4],
          ],
        },
        { ...flat, weight },
      ),
      [-0.5, -1],
    )
  })

  test('multislerp is the mean direction times the mean norm', () => {
    const parameters = { weight: [1, 1], normalizeWeights: true, epsilon: 0 }
    expectClose(merge('multislerp', { inputs: right }, parameters), [3.5 * half, 3.5 * half])
    expectClose(merge('multislerp', { inputs: right, base: [0, 0] }, { ...parameters, weight: [5, 5] }), [
      3.5 * half,
      3.5 * half,
    ])
    expectClose(merge('multislerp', { inputs: [base, base] }, parameters), base)
    expectClose(merge('multislerp', { inputs: [base, base], base }, parameters), base)
    expectClose(
      merge(
        'multislerp',
        {
          inputs: [
            [1, 2],
            [-3, -6],
          ],
        },
        parameters,
      ),
      [-1, -2],
    )
    expectClose(
      merge(
        'multislerp',
        {
          inputs: [
            [0, 0],
            [3, 4],
          ],
        },
        parameters,
      ),
      [1.5, 2],
    )
  })

  test('the tangent step that multislerp leaves out moves nothing', () => {
    const vectors = [noise(40, 1), noise(40, 2), noise(40, 3)].map((vector) => Float64Array.from(vector))
    const weight = [0.5, 0.2, 0.3]
    const units = vectors.map((vector) => vector.map((value) => value / norm(vector)))
    const combined = (list: Float64Array[]) =>
      Float64Array.from(noise(40, 0), (_, i) => list.reduce((sum, v, m) => sum + Number(weight[m]) * Number(v[i]), 0))
    const average = combined(units)
    const mean = average.map((value) => value / norm(average))
    const tangent = combined(units.map((unit) => unit.map((value, i) => value - dot(unit, mean) * Number(mean[i]))))
    expect(norm(tangent)).toBeLessThan(1e-14)
  })

  test('karcher of two inputs is the middle of the arc, times the mean norm', () => {
    const parameters = { maxIterations: 10, tolerance: 1e-5 }
    expectClose(merge('karcher', { inputs: right }, parameters), [3.5 * half, 3.5 * half])
    const axes = [
      [2, 0, 0],
      [0, 3, 0],
      [0, 0, 4],
    ]
    expectClose(merge('karcher', { inputs: axes }, parameters), new Array(3).fill(3 / Math.sqrt(3)))
    expectClose(merge('karcher', { inputs: [base, base, base] }, parameters), base)
    expect(
      merge(
        'karcher',
        {
          inputs: [
            [0, 0],
            [0, 0],
          ],
        },
        parameters,
      ),
    ).toEqual([0, 0])
    expectClose(
      merge(
        'karcher',
        {
          inputs: [
            [0, 0],
            [3, 4],
          ],
        },
        parameters,
      ),
      [1.5, 2],
    )
    expectClose(
      merge(
        'karcher',
        {
          inputs: [
            [3, 4],
            [-3, -4],
          ],
        },
        parameters,
      ),
      [3, 4],
    )
  })

  test('karcher ends where the directions balance', () => {
    // All within 90° of each other, and not symmetric: the first guess is not the mean.
    const vectors = [
      [1, 0.1, 0],
      [0.9, 1, 0.1],
      [0.2, 0.1, 1],
    ]
    const once = { maxIterations: 1, tolerance: 0 }
    const first = merge('karcher', { inputs: vectors }, once)
    const last = Float64Array.from(merge('karcher', { inputs: vectors }, { ...once, maxIterations: 100 }))
    expect(Math.abs(Number(first[0]) - Number(last[0]))).toBeGreaterThan(1e-6)
    const mean = last.map((value) => value / norm(last))
    const logarithms = vectors.map((vector) => {
      const unit = Float64Array.from(vector, (value) => value / norm(Float64Array.from(vector)))
      const theta = Math.acos(dot(unit, mean))
      return unit.map((value, i) => (theta / Math.sin(theta)) * (value - dot(unit, mean) * Number(mean[i])))
    })
    for (const i of [0, 1, 2]) expect(logarithms.reduce((sum, log) => sum + Number(log[i]), 0)).toBeCloseTo(0, 12)
  })

  test('karcher stops at the tolerance', () => {
    const vectors = [
      [1, 0.1, 0],
      [0.9, 1, 0.1],
      [0.2, 0.1, 1],
    ]
    const start = merge('karcher', { inputs: vectors }, { maxIterations: 5, tolerance: 0.2 })
    const direction = vectors.map((vector) => Float64Array.from(vector)).map((v) => v.map((value) => value / norm(v)))
    const sum = [0, 1, 2].map((i) => direction.reduce((total, unit) => total + Number(unit[i]), 0))
    expect(Number(start[0]) / Number(start[1])).toBeCloseTo(Number(sum[0]) / Number(sum[1]), 12)
  })
})

describe('model_stock', () => {
  const origin = [0, 0, 0, 0]
  test('takes the base for a right angle, the mean for none', () => {
    expect(
      merge(
        'model_stock',
        {
          base: origin,
          inputs: [
            [1, 0, 0, 0],
            [0, 1, 0, 0],
          ],
        },
        { filterWise: false },
      ),
    ).toEqual(origin)
    expectClose(
      merge('model_stock', { base, inputs: [inputs[0] ?? [], inputs[0] ?? []] }, { filterWise: false }),
      inputs[0] ?? [],
    )
    expect(
      merge(
        'model_stock',
        {
          base: origin,
          inputs: [
            [1, 0, 0, 0],
            [-1, 0.5, 0, 0],
          ],
        },
        { filterWise: false },
      ),
    ).toEqual(origin)
    expect(merge('model_stock', { base, inputs: [base, base] }, { filterWise: false })).toEqual(base)
  })

  test('60° between two: t = 2/3', () => {
    const vectors = [
      [2, 0],
      [1, Math.sqrt(3)],
    ]
    expectClose(merge('model_stock', { base: [0, 0], inputs: vectors }, { filterWise: false }), [1, Math.sqrt(3) / 3])
  })

  test('three: the mean of pairwise cosines', () => {
    // cosines 1, 0 and 0, so t = 3·(1/3)/(1 + 2/3) = 3/5.
    const vectors = [
      [1, 0],
      [2, 0],
      [0, 3],
    ]
    expectClose(merge('model_stock', { base: [0, 0], inputs: vectors }, { filterWise: false }), [0.6, 0.6])
  })

  test('by row', () => {
    const vectors = [
      [1, 0, 3, 3],
      [0, 1, 3, 3],
    ]
    expectClose(
      merge('model_stock', { base: origin, inputs: vectors, shape: [2, 2] }, { filterWise: true }),
      [0, 0, 3, 3],
    )
  })
})

describe('sce', () => {
  const tensors = {
    base: [10, 10, 10],
    inputs: [
      [11, 10, 14],
      [11, 12, 6],
    ],
  }
  // Differences [1, 0, 4] and [1, 2, −4]; variations 0, 2 and 32; energies 17 and 21.
  test('selects all', () => {
    expectClose(merge('sce', tensors, { selectTopk: 1 }), [11, 12, 14])
  })

  test('selects part of what varies', () => {
    expectClose(merge('sce', tensors, { selectTopk: 0.5 }), [10, 10, 14])
    expectClose(merge('sce', tensors, { selectTopk: 0.49 }), [10, 10, 10])
    expectClose(merge('sce', tensors, { selectTopk: 0.99 }), [10, 10, 14])
    expectClose(merge('sce', tensors, { selectTopk: 0 }), [10, 10, 10])
  })

  test('weights by energy, after selecting', () => {
    const uneven = {
      base: [0, 0, 0],
      inputs: [
        [1, 3, 0],
        [3, 3, 1],
      ],
    }
    // Energies 10 and 19; only the second has the last element.
    expectClose(merge('sce', uneven, { selectTopk: 1 }), [(10 + 57) / 29, 3, 1])
    // Variations 2, 0 and 1/2: the first alone is selected, and energies are 1 and 9.
    expectClose(merge('sce', uneven, { selectTopk: 0.5 }), [(1 + 27) / 10, 0, 0])
  })

  test('equal inputs have no variance', () => {
    expect(
      merge(
        'sce',
        {
          base: [0, 1],
          inputs: [
            [2, 3],
            [2, 3],
          ],
        },
        { selectTopk: 0.9 },
      ),
    ).toEqual([0, 1])
    expect(
      merge(
        'sce',
        {
          base: [0, 1],
          inputs: [
            [2, 3],
            [2, 3],
          ],
        },
        { selectTopk: 1 },
      ),
    ).toEqual([2, 3])
    expect(merge('sce', { base, inputs: [base, base] }, { selectTopk: 1 })).toEqual(base)
  })
})

describe('element by element', () => {
  test('nearswap', () => {
    const tensors = {
      inputs: [
        [1, 1, 1, 1],
        [1.25, 2, -1, 1],
      ],
    }
    expect(merge('nearswap', tensors, { t: 0.25 })).toEqual([1.25, 1.25, 0.75, 1])
    expect(merge('nearswap', tensors, { t: 10 })).toEqual(tensors.inputs[1])
  })

  test('ram', () => {
    const tensors = {
      base: [1, 1, 1, 1],
      inputs: [
        [1, 3, 2, 1.25],
        [1, 1, 4, 1],
        [1, 1, 1, 1.125],
      ],
    }
    expect(merge('ram', tensors, { epsilon: 0 })).toEqual([1, 3, 3, 1.1875])
    expect(merge('ram', tensors, { epsilon: 0.125 })).toEqual([1, 3, 3, 1.25])
    expect(merge('ram', tensors, { epsilon: 1 })).toEqual([1, 3, 4, 1])
  })

  test('passthrough', () => {
    expect(merge('passthrough', { inputs: [base] }, { scale: [1] })).toEqual(base)
    expect(merge('passthrough', { inputs: [base] }, { scale: [-0.5] })).toEqual([-0.5, -1, -1.5, -2])
  })
})

test.each(refusedCases())('refuses weights or directions that cancel: $name', (refused) => {
  expect(() => expectationOf(refused)).toThrow(/Expected/)
})
