import { expect } from 'vitest'
import { fuseReference, type ReferenceOptions, type TensorPair } from '../fusion/reference.js'
import { type EngineResult, type EngineRun, fuseEverywhere } from './engine.js'
import { byteSize, type FloatDtype, ordinal } from './floats.js'

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
  if (options.gate === 'soft') expectWithinOneUnit(actual.fused, expected.fused, outputDtype)
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

function expectWithinOneUnit(fused: Uint8Array, expected: Uint8Array, dtype: FloatDtype) {
  expect(fused.length, 'bytes of the output').toBe(expected.length)
  const wrong: number[] = []
  for (let i = 0; i < fused.length / byteSize[dtype]; i++) {
    const distance = ordinal(dtype, fused, i) - ordinal(dtype, expected, i)
    if (distance > 1n || distance < -1n) wrong.push(i)
  }
  expect(wrong.length, `elements off by more than one unit, first at ${wrong.slice(0, 5)}`).toBe(0)
}
