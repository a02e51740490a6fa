import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { ReferenceOptions, TensorPair } from '../fusion/reference.js'
import type { FloatDtype } from './floats.js'
import { readSafetensors, tensorOf } from './readSafetensors.js'

export interface GoldenCase {
  name: string
  preset: 'arcee' | 'paper' | 'paper-soft'
  pair: TensorPair
  options: ReferenceOptions
  expected: { q1: number; median: number; q3: number; threshold: number; kept: number; undecided: number }
  fused: Uint8Array
  mask: Uint8Array
  undecided: Uint8Array
  kl: Float64Array
}

const directory = fileURLToPath(new URL('../golden/', import.meta.url))

/** All cases of test/golden, by name. */
export function goldenCases(): GoldenCase[] {
  const names = readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name)
  return names.sort().map(readCase)
}

function readCase(name: string): GoldenCase {
  const read = (file: string) => readSafetensors(`${directory}${name}/${file}.safetensors`)
  const { options, ...expected } = JSON.parse(readFileSync(`${directory}${name}/case.json`, 'utf8'))
  const { preset, ...fields } = options
  const left = tensorOf(read('left'), 'w')
  const results = read('expected')
  return {
    name,
    preset,
    pair: {
      dtype: left.dtype as FloatDtype,
      shape: left.shape,
      left: left.data,
      right: tensorOf(read('right'), 'w').data,
    },
    options: { population: 'all', ...fields },
    expected,
    fused: tensorOf(results, 'fused').data,
    mask: tensorOf(results, 'mask').data,
    undecided: tensorOf(results, 'undecided').data,
    kl: new Float64Array(tensorOf(results, 'kl').data.buffer),
  }
}
