import { fromNative } from '../../lib/errors.js'
import { type NativeTensorStats, native } from '../../lib/native/native.js'
import type { ReferenceOptions, TensorPair } from '../fusion/reference.js'
import { byteSize, type FloatDtype } from './floats.js'

export const instructionSets = native.info().instructionSets
export const threadCounts = [1, 2, 7]

export interface EngineResult {
  fused: Uint8Array
  stats: NativeTensorStats
}

export interface EngineRun {
  threads?: number
  instructionSet?: string
  outputDtype?: FloatDtype
  nonFinite?: 'error' | 'left' | 'right'
}

/** One run of the native engine. */
export async function fuseNative(
  pair: TensorPair,
  options: ReferenceOptions,
  run: EngineRun = {},
): Promise<EngineResult> {
  const outputDtype = run.outputDtype ?? pair.dtype
  const elements = pair.left.length / byteSize[pair.dtype]
  // Filled with a pattern, so that an element the engine forgets is seen.
  const fused = new Uint8Array(elements * byteSize[outputDtype]).fill(0xa5)
  const job = native.mergeTensor(
    {
      name: 'tensor',
      dtype: pair.dtype,
      outputDtype,
      shape: pair.shape,
      operands: [pair.left, pair.right],
      out: fused,
    },
    { method: 'fuse', fusion: { ...options, nonFinite: run.nonFinite ?? 'error' } },
    run.threads ?? 2,
    run.instructionSet,
    undefined,
  )
  try {
    return { fused, stats: await job.promise }
  } catch (error) {
    throw fromNative(error)
  }
}

/** Runs on every instruction set and thread count; bytes and statistics must be the same to the bit. */
export async function fuseEverywhere(
  pair: TensorPair,
  options: ReferenceOptions,
  run: EngineRun = {},
): Promise<EngineResult> {
  let first: (EngineResult & { where: string }) | undefined
  for (const instructionSet of instructionSets) {
    for (const threads of threadCounts) {
      const where = `${instructionSet}, ${threads} threads`
      const result = { ...(await fuseNative(pair, options, { ...run, instructionSet, threads })), where }
      first ??= result
      expectSameBits(result, first)
    }
  }
  if (first === undefined) throw new Error('Expected at least one instruction set but the engine names none')
  return first
}

function expectSameBits(actual: EngineResult & { where: string }, first: EngineResult & { where: string }) {
  if (Buffer.compare(actual.fused, first.fused) !== 0) {
    const index = actual.fused.findIndex((byte, i) => byte !== first.fused[i])
    throw new Error(`Bytes differ between ${actual.where} and ${first.where}, first at byte ${index}`)
  }
  const [a, b] = [bitsOf(actual.stats), bitsOf(first.stats)]
  if (a !== b) throw new Error(`Statistics differ: ${actual.where} ${a}, ${first.where} ${b}`)
}

/** The statistics with every number in full: JSON alone would not tell −0 from 0, or NaN from nothing. */
function bitsOf(stats: NativeTensorStats): string {
  return JSON.stringify(stats, (_, value: unknown) =>
    Object.is(value, -0) || Number.isNaN(value) ? `${value} (-)` : value,
  )
}
