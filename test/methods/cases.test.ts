import { describe, expect, test } from 'vitest'
import { disagreement } from './agreement.js'
import { expectationOf, type GoldenCase, goldenCases, methodNames, type Parameters } from './cases.js'

/** A change of each parameter that some case must notice, or the golden cases could not tell whether it is obeyed. */
function changed(golden: GoldenCase, key: string): Parameters {
  const value = golden.parameters[key]
  const altered = (number: number) => {
    if (key === 'density') return number === 1 ? 0.6 : 1 - number
    if (key === 't' || key === 'selectTopk') return number === 0.3 ? 0.6 : 0.3
    if (key === 'maxIterations') return number + 1
    return number + 0.11
  }
  if (typeof value === 'boolean') return { ...golden.parameters, [key]: !value }
  if (Array.isArray(value)) return { ...golden.parameters, [key]: value.map(altered) }
  return { ...golden.parameters, [key]: altered(Number(value)) }
}

function notices(golden: GoldenCase, key: string) {
  const parameters = changed(golden, key)
  if (parameters.rowWise && parameters.flatten) parameters.flatten = false
  if (golden.method.startsWith('della') && key === 'density') parameters.epsilon = golden.inputs.map(() => 0)
  if (key === 'seed') parameters.seed = 12
  return disagreement(golden, expectationOf({ ...golden, parameters }).expected) !== undefined
}

describe.each(methodNames)('golden cases of %s', (method) => {
  const cases = goldenCases(method)

  test('are the same at every call', () => {
    const bytesOf = ({ inputs, base, expected }: GoldenCase) =>
      Buffer.concat([...inputs, base ?? [], expected].map((part) => Uint8Array.from(part)))
    const again = goldenCases(method)
    expect(again.map(({ name }) => name)).toEqual(cases.map(({ name }) => name))
    expect(again.every((golden, i) => bytesOf(golden).equals(bytesOf(cases[i] as GoldenCase)))).toBe(true)
  })

  test('cover every dtype and shape, finite, and leave next to nothing undecided', () => {
    expect(new Set(cases.map(({ dtype }) => dtype)).size).toBe(4)
    expect(new Set(cases.map(({ shape }) => shape.join())).size).toBe(9)
    expect(cases.some(({ dtype, outputDtype }) => dtype !== outputDtype)).toBe(true)
    let elements = 0
    let undecided = 0
    for (const golden of cases) {
      expect(golden.exact.every(Number.isFinite), golden.name).toBe(true)
      expect(disagreement(golden, golden.expected), golden.name).toBeUndefined()
      elements += golden.exact.length
      undecided += golden.undecided.filter(Boolean).length
    }
    expect(undecided).toBeLessThan(1e-3 * elements)
  })

  test.each(Object.keys(cases[0]?.parameters ?? {}))('notice a change of %s', (key) => {
    expect(cases.some((golden) => notices(golden, key))).toBe(true)
  })

  test('notice inputs in another order, or another name', () => {
    const reversed = cases.some(({ inputs, ...golden }) => {
      const { expected } = expectationOf({ ...golden, inputs: inputs.toReversed() })
      return disagreement({ ...golden }, expected) !== undefined
    })
    const symmetric = ['karcher', 'model_stock', 'sce', 'ram', 'passthrough']
    expect(reversed).toBe(!symmetric.includes(method))
    const renamed = cases.some((golden) => {
      const { expected } = expectationOf({ ...golden, tensor: 'another' })
      return disagreement(golden, expected) !== undefined
    })
    expect(renamed).toBe(method.startsWith('dare') || method.startsWith('della'))
  })
})
