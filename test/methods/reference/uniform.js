/**
 * The random numbers of docs/methods/README.md, in BigInt: a pure function of seed, tensor, input and element.
 */

const word = (1n << 64n) - 1n
const increment = 0x9e3779b97f4a7c15n

/** The finaliser of SplitMix64. @param {bigint} z */
function mix(z) {
  const first = ((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n) & word
  const second = ((first ^ (first >> 27n)) * 0x94d049bb133111ebn) & word
  return second ^ (second >> 31n)
}

const [prime1, prime2, prime3, prime4, prime5] = /** @type {const} */ ([
  11400714785074694791n,
  14029467366897019727n,
  1609587929392839161n,
  9650029242287828579n,
  2870177450012600261n,
])

/** @param {bigint} value @param {bigint} bits */
const rotate = (value, bits) => ((value << bits) | (value >> (64n - bits))) & word

/** @param {bigint} lane @param {bigint} input */
const round = (lane, input) => (rotate((lane + input * prime2) & word, 31n) * prime1) & word

/** @param {Uint8Array} bytes @param {number} at @param {number} size */
function little(bytes, at, size) {
  let value = 0n
  for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(/** @type {number} */ (bytes[at + i]))
  return value
}

/** XXH64 with seed 0. @param {Uint8Array} bytes @returns {bigint} */
export function xxh64(bytes) {
  let at = 0
  /** @type {bigint} */
  let hash = prime5
  if (bytes.length >= 32) {
    let lanes = [(prime1 + prime2) & word, prime2, 0n, word + 1n - prime1]
    for (; at + 32 <= bytes.length; at += 32) {
      const stripe = at
      lanes = lanes.map((lane, i) => round(lane, little(bytes, stripe + 8 * i, 8)))
    }
    hash = lanes.reduce((sum, lane, i) => sum + rotate(lane, /** @type {bigint} */ ([1n, 7n, 12n, 18n][i])), 0n) & word
    for (const lane of lanes) hash = ((hash ^ round(0n, lane)) * prime1 + prime4) & word
  }
  hash = (hash + BigInt(bytes.length)) & word
  for (; at + 8 <= bytes.length; at += 8)
    hash = (rotate(hash ^ round(0n, little(bytes, at, 8)), 27n) * prime1 + prime4) & word
  if (at + 4 <= bytes.length) {
    hash = (rotate(hash ^ ((little(bytes, at, 4) * prime1) & word), 23n) * prime2 + prime3) & word
    at += 4
  }
  for (; at < bytes.length; at++) hash = (rotate(hash ^ ((little(bytes, at, 1) * prime5) & word), 11n) * prime1) & word
  hash = ((hash ^ (hash >> 33n)) * prime2) & word
  hash = ((hash ^ (hash >> 29n)) * prime3) & word
  return hash ^ (hash >> 32n)
}

/**
 * The key of the numbers that one input draws for one tensor.
 *
 * @param {number} seed @param {string} name of the tensor @param {number} input its place among the inputs, from 0
 * @returns {bigint}
 */
export function streamKey(seed, name, input) {
  const seeded = mix((BigInt(seed) + increment) & word)
  const named = mix(((seeded ^ xxh64(new TextEncoder().encode(name))) + increment) & word)
  return mix(((named ^ BigInt(input)) + increment) & word)
}

/** The number in [0, 1) of an element. @param {bigint} key @param {number} element @returns {number} */
export function uniform(key, element) {
  return Number(mix((key + BigInt(element + 1) * increment) & word) >> 11n) * 2 ** -53
}
