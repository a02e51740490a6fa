import { expect } from 'vitest'
import { fuseReference, type ReferenceOptions, type TensorPair } from '../fusion/reference.js'
import { type EngineResult, type EngineRun, fuseEverywhere } from './engine.js'
import { byteSize, decode, type FloatDtype, ordinal } from './floats.js'

/** The tolerances of docs/fusion.md. */
const relative = 2e-6
const absolute = 1e-18

export interface ExpectedFusion {
  fused: Uint8Array
  undecided: Uint8Array
  /** How many scores are close enough to the threshold for `kept` to be off by them. */
  undecidedCount: number
  kl: Float64Array
  q1: number
  median: number
  q3: number
  threshold: number
  kept: number
}

/** Runs the engine everywhere and compares it with the reference. */
export async function expectAgreement(pair: TensorPair, options: ReferenceOptions, run: EngineRun = {}) {
  const expected = fuseReference(pair, options, run.outputDtype)
  const actual = await fuseEverywhere(pair, options, run)
  expectFusion(actual, expected, pair, options, run.outputDtype)
  expect(actual.stats.degenerate, 'degenerate').toBe(expected.degenerate)
  return { actual, expected }
}

export function expectFusion(
  actual: EngineResult,
  expected: ExpectedFusion,
  pair: TensorPair,
  options: ReferenceOptions,
  outputDtype: FloatDtype = pair.dtype,
) {
  if (options.gate === 'soft') expectSoft(actual.fused, expected, pair, options, outputDtype)
  else expectDecided(actual.fused, expected, outputDtype)
  if (options.gate !== 'soft' && outputDtype === pair.dtype) expectBytesOfEitherSide(actual.fused, pair)
  expectStats(actual, expected)
}

function expectStats({ stats }: EngineResult, expected: ExpectedFusion) {
  for (const name of ['q1', 'median', 'q3', 'threshold'] as const) {
    expectNear(stats[name], expected[name], expected[name] === 0 ? absolute : 0, name)
  }
  const kl = expected.kl.slice().sort()
  if (kl.length > 0) {
    expectNear(stats.kl.min, kl[0] as number, absolute, 'smallest kl')
    expectNear(stats.kl.median, kl[Math.floor((kl.length - 1) / 2)] as number, absolute, 'median kl')
    expectNear(stats.kl.max, kl.at(-1) as number, absolute, 'largest kl')
  }
  if (stats.identical) return
  const off = Math.abs(stats.kept - expected.kept)
  expect(off, `kept ${stats.kept} against ${expected.kept}`).toBeLessThanOrEqual(expected.undecidedCount)
}

export function expectNear(actual: number, expected: number, floor: number, name: string) {
  const error = Math.abs(actual - expected)
  const scale = Math.max(relative * Math.abs(expected), floor)
  expect(
    error,
    `${name}: ${actual} against ${expected}, relative error ${error / Math.abs(expected)}`,
  ).toBeLessThanOrEqual(scale)
}

function elementDiffers(a: Uint8Array, b: Uint8Array, size: number, index: number): boolean {
  for (let byte = index * size; byte < (index + 1) * size; byte++) if (a[byte] !== b[byte]) return true
  return false
}

function expectDecided(fused: Uint8Array, expected: ExpectedFusion, dtype: FloatDtype) {
  expect(fused.length, 'bytes of the output').toBe(expected.fused.length)
  const size = byteSize[dtype]
  const wrong: number[] = []
  for (let i = 0; i < fused.length / size; i++) {
    if (!expected.undecided[i] && elementDiffers(fused, expected.fused, size, i)) wrong.push(i)
  }
  expect(wrong.length, `decided elements that differ, first at ${wrong.slice(0, 5)}`).toBe(0)
}

/** Whatever was chosen, it was copied: no output element is anything but Left's or Right's bytes. */
export function expectBytesOfEitherSide(fused: Uint8Array, { dtype, left, right }: TensorPair) {
  const size = byteSize[dtype]
  const wrong: number[] = []
  for (let i = 0; i < fused.length / size; i++) {
    if (elementDiffers(fused, left, size, i) && elementDiffers(fused, right, size, i)) wrong.push(i)
  }
  expect(wrong.length, `elements of neither side, first at ${wrong.slice(0, 5)}`).toBe(0)
}

/**
 * Within one unit in the last place. F64 shows more digits than the scores have: there, also as much as the tolerance of
 * the divergence moves the value, 2e-6 where it is computed in float32 and what float64 can do for F64 tensors.
 */
function expectSoft(
  fused: Uint8Array,
  expected: ExpectedFusion,
  pair: TensorPair,
  options: ReferenceOptions,
  dtype: FloatDtype,
) {
  expect(fused.length, 'bytes of the output').toBe(expected.fused.length)
  const left = decode(pair.dtype, pair.left)
  const right = decode(pair.dtype, pair.right)
  const [values, exact] = [decode(dtype, fused), decode(dtype, expected.fused)]
  const columns = options.scope === 'tensor' ? left.length : (pair.shape.at(-1) ?? 1)
  const weightError = dtype !== 'F64' ? 0 : pair.dtype === 'F64' ? 1e-13 : relative
  const wrong: number[] = []
  for (let i = 0; i < values.length; i++) {
    const distance = ordinal(dtype, fused, i) - ordinal(dtype, expected.fused, i)
    if (distance <= 1n && distance >= -1n) continue
    const delta = Math.abs(Number(right[i]) - Number(left[i]))
    const score = Number(expected.kl[Math.floor(i / columns)]) * delta
    const error = Math.abs(Number(values[i]) - Number(exact[i]))
    if (!(error <= weightError * delta * (score + Math.abs(expected.threshold)))) wrong.push(i)
  }
  expect(wrong.length, `elements off by more than one unit, first at ${wrong.slice(0, 5)}`).toBe(0)
}
