/**
 * The tolerance of docs/methods/README.md.
 *
 * @typedef {import('./cases.js').GoldenCase} GoldenCase
 */
import { decode, ordinal } from '../support/floats.js'

/** Of the magnitudes that were added. 16-bit results of float32 sums that cancel are not held to more than F32 ones. */
const relative = { BF16: 1e-6, F16: 1e-6, F32: 1e-6, F64: 1e-12 }

/**
 * What the first wrong element is, if there is one.
 *
 * @param {Pick<GoldenCase, 'outputDtype' | 'exact' | 'expected' | 'magnitude' | 'undecided'>} golden
 * @param {Uint8Array} bytes of the result @returns {string | undefined}
 */
export function disagreement({ outputDtype, exact, expected, magnitude, undecided }, bytes) {
  if (bytes.length !== expected.length) return `Expected ${expected.length} bytes but received ${bytes.length}`
  const values = decode(outputDtype, bytes)
  for (let i = 0; i < values.length; i++) {
    if (undecided[i]) continue
    const apart = ordinal(outputDtype, bytes, i) - ordinal(outputDtype, expected, i)
    if (apart >= -1n && apart <= 1n) continue
    const error = Math.abs(Number(values[i]) - Number(exact[i]))
    if (error <= relative[outputDtype] * Number(magnitude[i])) continue
    return `Expected ${exact[i]} at ${i} but received ${values[i]} (magnitude ${magnitude[i]})`
  }
  return undefined
}
