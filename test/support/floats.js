/**
 * Floating-point formats of the tests, written apart from the engine's: decoding to, and rounding from, float64.
 *
 * @typedef {'BF16' | 'F16' | 'F32' | 'F64'} FloatDtype
 */

/** @type {Record<FloatDtype, number>} */
export const byteSize = { BF16: 2, F16: 2, F32: 4, F64: 8 }

const word = new DataView(new ArrayBuffer(8))

/** @param {number} bits @returns {number} */
export function decodeBf16(bits) {
  word.setUint32(0, bits << 16)
  return word.getFloat32(0)
}

/** @param {number} bits @returns {number} */
export function decodeF16(bits) {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 0x1f
  const fraction = bits & 0x3ff
  if (exponent === 0x1f) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  if (exponent === 0) return sign * fraction * 2 ** -24
  return sign * (1024 + fraction) * 2 ** (exponent - 25)
}

/**
 * Rounds to nearest, ties to even, once, to a binary format with `fractionBits` explicit bits.
 *
 * @param {number} value @param {number} fractionBits @param {number} minExponent @param {number} maxExponent
 */
function roundToFormat(value, fractionBits, minExponent, maxExponent) {
  if (value === 0 || !Number.isFinite(value)) return value
  word.setFloat64(0, value)
  const exponent = ((word.getUint16(0) >> 4) & 0x7ff) - 1023
  const quantum = 2 ** (Math.max(exponent, minExponent) - fractionBits)
  const scaled = Math.abs(value) / quantum
  const below = Math.floor(scaled)
  const rest = scaled - below
  const rounded = (below + (rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? 1 : 0)) * quantum
  const magnitude = rounded >= 2 ** (maxExponent + 1) ? Number.POSITIVE_INFINITY : rounded
  return value < 0 ? -magnitude : magnitude
}

/** @param {number} value @returns {number} the bits */
export function encodeBf16(value) {
  word.setFloat32(0, roundToFormat(value, 7, -126, 127))
  return word.getUint16(0)
}

/** @param {number} value @returns {number} the bits */
export function encodeF16(value) {
  if (Number.isNaN(value)) return 0x7e00
  const rounded = roundToFormat(value, 10, -14, 15)
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0
  const magnitude = Math.abs(rounded)
  if (magnitude === Number.POSITIVE_INFINITY) return sign | 0x7c00
  if (magnitude < 2 ** -14) return sign | (magnitude * 2 ** 24)
  word.setFloat32(0, magnitude)
  const bits = word.getUint32(0)
  return sign | ((bits >>> 13) - ((127 - 15) << 10))
}

/** Values of all bits, once they were asked for. @type {Partial<Record<FloatDtype, Float32Array>>} */
const tables = {}

/** @param {'BF16' | 'F16'} dtype @returns {Float32Array} */
function tableOf(dtype) {
  const toNumber = dtype === 'BF16' ? decodeBf16 : decodeF16
  tables[dtype] ??= Float32Array.from({ length: 65536 }, (_, bits) => toNumber(bits))
  return tables[dtype]
}

/**
 * The tensor's values, exact: in float32 where the format fits into it, else in float64.
 *
 * @param {FloatDtype} dtype @param {Uint8Array} bytes @returns {Float32Array | Float64Array}
 */
export function decode(dtype, bytes) {
  const aligned = bytes.slice()
  if (dtype === 'F64') return new Float64Array(aligned.buffer)
  if (dtype === 'F32') return new Float32Array(aligned.buffer)
  const table = tableOf(dtype)
  const words = new Uint16Array(aligned.buffer)
  const values = new Float32Array(words.length)
  for (let i = 0; i < words.length; i++) values[i] = /** @type {number} */ (table[/** @type {number} */ (words[i])])
  return values
}

/**
 * Rounds float64 values to the dtype, each once.
 *
 * @param {FloatDtype} dtype @param {ArrayLike<number>} values @returns {Uint8Array}
 */
export function encode(dtype, values) {
  if (dtype === 'F64') return new Uint8Array(Float64Array.from(values).buffer)
  if (dtype === 'F32') return new Uint8Array(Float32Array.from(values).buffer)
  const toBits = dtype === 'BF16' ? encodeBf16 : encodeF16
  const words = new Uint16Array(values.length)
  for (let i = 0; i < words.length; i++) words[i] = toBits(/** @type {number} */ (values[i]))
  return new Uint8Array(words.buffer)
}

/**
 * A number that counts the representable values up to this one, so that neighbours differ by 1 and ±0 are equal.
 *
 * @param {FloatDtype} dtype @param {Uint8Array} bytes @param {number} index @returns {bigint}
 */
export function ordinal(dtype, bytes, index) {
  const size = byteSize[dtype]
  let bits = 0n
  for (let i = size - 1; i >= 0; i--) bits = (bits << 8n) | BigInt(/** @type {number} */ (bytes[index * size + i]))
  const signBit = 1n << BigInt(size * 8 - 1)
  return bits & signBit ? -(bits ^ signBit) : bits
}
