/**
 * Holds the built package to the slow reference of the tests at 10⁸ elements: `node bench/accuracy.js [elements]`.
 * Takes some minutes and about 4 GB of memory. Exits with 1 where a tolerance of docs/fusion.md is not met.
 */
import { fuseReference } from '../test/fusion/reference.js'
import { drawPair, fineTuned } from '../test/support/pairs.js'
import { Random } from '../test/support/random.js'

/** @typedef {import('../test/fusion/reference.js').TensorPair} TensorPair */

// The built package, typed by its source: type-checking this file must not need a build.
const built = new URL('../dist/index.js', import.meta.url).href
const { fuse } = /** @type {typeof import('../lib/index.js')} */ (await import(built))

const relativeTolerance = 2e-6
const absoluteKlTolerance = 1e-18
const columns = 5120

/** @type {import('../test/fusion/reference.js').ReferenceOptions} */
const options = {
  scope: 'row',
  divergence: 'right||left',
  score: 'abs',
  gate: 'ge',
  lambda: 1.5,
  epsilon: 1e-8,
  quantile: 'lower',
  population: 'all',
}

/** @param {TensorPair} pair @param {number} row the row, as a pair of its own @returns {TensorPair} */
function rowOf(pair, row) {
  const size = columns * 2
  const range = /** @type {const} */ ([row * size, (row + 1) * size])
  return { ...pair, shape: [columns], left: pair.left.subarray(...range), right: pair.right.subarray(...range) }
}

/** @param {TensorPair} pair */
function fusePair({ dtype, shape, left, right }) {
  return fuse({ dtype, shape, data: left }, { dtype, shape, data: right }, options)
}

/** How far the engine's divergences are from the exact ones, row by row. @param {TensorPair} pair @param {Float64Array} kl */
async function largestKlError(pair, kl) {
  let largest = 0
  for (const [row, exact] of kl.entries()) {
    const { stats } = await fusePair(rowOf(pair, row))
    const error = Math.abs(stats.kl.max - exact)
    if (error > absoluteKlTolerance) largest = Math.max(largest, error / exact)
  }
  return largest
}

/** @param {Uint8Array} fused @param {{ fused: Uint8Array, undecided: Uint8Array }} expected */
function countDifferences(fused, expected) {
  const actualWords = new Uint16Array(fused.buffer, fused.byteOffset, fused.byteLength / 2)
  const expectedWords = new Uint16Array(expected.fused.buffer, expected.fused.byteOffset, expected.fused.byteLength / 2)
  let decided = 0
  let undecided = 0
  for (let i = 0; i < actualWords.length; i++) {
    if (actualWords[i] === expectedWords[i]) continue
    if (expected.undecided[i]) undecided++
    else decided++
  }
  return { decided, undecided }
}

/** @param {number} delta @param {number} elements */
async function measure(delta, elements) {
  const rows = Math.max(1, Math.round(elements / columns))
  const pair = drawPair(new Random(1), 'BF16', [rows, columns], fineTuned(delta))
  const expected = fuseReference(pair, options)
  const { tensor, stats } = await fusePair(pair)
  const { buffer, byteOffset, byteLength } = tensor.data
  const differences = countDifferences(new Uint8Array(buffer, byteOffset, byteLength), expected)
  return {
    'delta std': delta,
    elements: rows * columns,
    'median KL': expected.kl.slice().sort()[(rows - 1) >> 1],
    'largest KL error': await largestKlError(pair, expected.kl),
    'threshold error': Math.abs(stats.threshold - expected.threshold) / expected.threshold,
    undecided: expected.undecidedCount,
    'differ undecided': differences.undecided,
    'differ decided': differences.decided,
  }
}

const elements = Number(process.argv[2] ?? 1e8)
if (!(elements >= 1)) throw new Error(`Expected a number of elements of at least 1 but received ${process.argv[2]}`)

const table = []
for (const delta of [2e-3, 5e-4, 2e-4, 5e-5]) table.push(await measure(delta, elements))
console.table(
  table.map((line) =>
    Object.fromEntries(Object.entries(line).map(([name, value]) => [name, Number(Number(value).toPrecision(3))])),
  ),
)
const failed = table.some(
  (line) =>
    line['largest KL error'] > relativeTolerance ||
    line['threshold error'] > relativeTolerance ||
    line['differ decided'] > 0,
)
if (failed) {
  console.error(`A tolerance is not met: relative errors of ${relativeTolerance} at most, no decided element different`)
  process.exitCode = 1
}
