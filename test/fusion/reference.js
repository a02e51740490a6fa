/**
 * The definition of docs/fusion.md in float64, slow and plain: what the engine is compared with.
 *
 * Its divergence is conditioned in its own way. With a = x − max x and b = y − max y, the softmaxes are
 * p = eᵃ/Zx and q = eᵇ/Zy, so ln(p/q) = w = (a − b) − c with c = ln(Zx/Zy) = log1p(Σ q·expm1(a − b)). Then
 * p − q = q·expm1(w) without cancellation, and since both softmaxes sum to one, with P = p + ε and Q = q + ε,
 * Σ P·ln(P/Q) = Σ [P·ln(P/Q) − (p − q)], each term of which is non-negative and of second order.
 *
 * @typedef {import('../support/floats.js').FloatDtype} FloatDtype
 *
 * @typedef {object} ReferenceOptions
 * @property {'row' | 'tensor'} scope
 * @property {'right||left' | 'left||right'} divergence
 * @property {'abs' | 'signed'} score
 * @property {'ge' | 'gt' | 'soft'} gate
 * @property {number} lambda
 * @property {number} epsilon
 * @property {'lower' | 'linear'} quantile
 * @property {'all' | 'changed'} population
 *
 * @typedef {object} TensorPair
 * @property {FloatDtype} dtype
 * @property {number[]} shape
 * @property {Uint8Array} left
 * @property {Uint8Array} right
 *
 * @typedef {object} ReferenceResult
 * @property {Uint8Array} fused bytes of the output dtype
 * @property {Uint8Array} mask 1 where Right is taken (soft gate: where the weight is positive)
 * @property {Uint8Array} undecided 1 where a hard gate's score is within a relative 2e-6 of a threshold that is not 0
 * @property {Float64Array} kl one divergence per row
 * @property {number} q1
 * @property {number} median
 * @property {number} q3
 * @property {number} threshold
 * @property {number} kept
 * @property {number} undecidedCount how many scores are that near, under any gate: what `kept` may be off by
 * @property {boolean} degenerate the threshold is 0 although a value changed
 *
 * @typedef {Float32Array | Float64Array} Values
 */

import { byteSize, decode, encode } from '../support/floats.js'

export const undecidedRelative = 2e-6

/** A sum in which rounding errors are collected and added last (Neumaier). */
class Sum {
  constructor() {
    this.total = 0
    this.lost = 0
  }

  /** @param {number} value */
  add(value) {
    const next = this.total + value
    this.lost += Math.abs(this.total) >= Math.abs(value) ? this.total - next + value : value - next + this.total
    this.total = next
  }

  get value() {
    return this.total + this.lost
  }
}

/** What a − b lost in rounding (Knuth's exact difference). @param {number} a @param {number} b */
function lostByDifference(a, b) {
  const difference = a - b
  const part = difference - a
  const lost = a - (difference - part) - (b + part)
  return Number.isFinite(lost) ? lost : 0
}

/** (x − maxX) − (y − maxY) to the last place. @param {number} x @param {number} maxX @param {number} y @param {number} maxY */
function shiftedDifference(x, maxX, y, maxY) {
  const a = x - maxX
  const b = y - maxY
  return a - b + (lostByDifference(a, b) + (lostByDifference(x, maxX) - lostByDifference(y, maxY)))
}

/** w·eʷ − eʷ + 1 = Σ_{k≥2} (k−1)·wᵏ/k!. @param {number} w */
function excessOfLogRatio(w) {
  if (Math.abs(w) > 0.25) return w * Math.exp(w) - Math.expm1(w)
  let sum = 0
  let power = w
  for (let k = 2; k <= 14; k++) {
    power *= w / k
    sum += (k - 1) * power
  }
  return sum
}

/** (1+t)·ln(1+t) − t = Σ_{k≥2} (−t)ᵏ/(k·(k−1)), for |t| ≤ 1/8. @param {number} t */
function excessOfRatio(t) {
  let sum = 0
  let power = -t
  for (let k = 2; k <= 20; k++) {
    power *= -t
    sum += power / (k * (k - 1))
  }
  return sum
}

/**
 * One term P·ln(P/Q) − (p − q) of the divergence.
 *
 * @param {number} p @param {number} q @param {number} w ln(p/q) @param {number} epsilon
 */
function divergenceTerm(p, q, w, epsilon) {
  const small = Math.abs(w) <= 1
  if (epsilon === 0) return small ? q * excessOfLogRatio(w) : p * w - (p - q)
  const difference = small ? q * Math.expm1(w) : p - q
  const denominator = q + epsilon
  const t = difference / denominator
  if (Math.abs(t) <= 0.125) return denominator * excessOfRatio(t)
  return (p + epsilon) * Math.log((p + epsilon) / denominator) - difference
}

/**
 * KL(softmax(x) + ε ‖ softmax(y) + ε) of elements [begin, end).
 *
 * @param {Values} x @param {Values} y @param {number} begin @param {number} end @param {number} epsilon
 * @returns {number}
 */
export function divergence(x, y, begin, end, epsilon) {
  let maxX = Number.NEGATIVE_INFINITY
  let maxY = Number.NEGATIVE_INFINITY
  for (let i = begin; i < end; i++) {
    maxX = Math.max(maxX, /** @type {number} */ (x[i]))
    maxY = Math.max(maxY, /** @type {number} */ (y[i]))
  }
  const sumX = new Sum()
  const sumY = new Sum()
  const shift = new Sum()
  for (let i = begin; i < end; i++) {
    const xi = /** @type {number} */ (x[i])
    const yi = /** @type {number} */ (y[i])
    const u = Math.exp(yi - maxY)
    sumX.add(Math.exp(xi - maxX))
    sumY.add(u)
    shift.add(u * Math.expm1(shiftedDifference(xi, maxX, yi, maxY)))
  }
  const zx = sumX.value
  const zy = sumY.value
  const ratio = shift.value / zy
  // Where the rows are far apart the shift overflows or cancels, and c is large enough to take directly.
  const c = ratio > -0.5 && Number.isFinite(ratio) ? Math.log1p(ratio) : Math.log(zx) - Math.log(zy)
  const kl = new Sum()
  for (let i = begin; i < end; i++) {
    const xi = /** @type {number} */ (x[i])
    const yi = /** @type {number} */ (y[i])
    const w = shiftedDifference(xi, maxX, yi, maxY) - c
    kl.add(divergenceTerm(Math.exp(xi - maxX) / zx, Math.exp(yi - maxY) / zy, w, epsilon))
  }
  return kl.value
}

/**
 * A quartile of ascending values. @param {Float64Array} sorted @param {number} q @param {'lower' | 'linear'} quantile
 */
export function quantileOf(sorted, q, quantile) {
  if (sorted.length === 0) return 0
  const position = q * (sorted.length - 1)
  const index = Math.floor(position)
  const lower = /** @type {number} */ (sorted[index])
  if (quantile === 'lower' || index === position) return lower
  return lower + (Number(sorted[index + 1]) - lower) * (position - index)
}

/**
 * The fusion of one pair of finite tensors.
 *
 * @param {TensorPair} pair @param {ReferenceOptions} options @param {FloatDtype} [outputDtype]
 * @returns {ReferenceResult}
 */
export function fuseReference(pair, options, outputDtype = pair.dtype) {
  const left = decode(pair.dtype, pair.left)
  const right = decode(pair.dtype, pair.right)
  const n = left.length
  const columns = options.scope === 'tensor' ? n : (pair.shape.at(-1) ?? 1)
  const kl = rowDivergences(left, right, columns, options)
  const scores = scoresOf(left, right, columns, kl, options)
  const { q1, median, q3, threshold } = thresholdOf(scores, left, right, options)

  // Under one KL for all, the gate compares deltas: the common factor must not blur a tie.
  const hardTensor = options.scope === 'tensor' && options.gate !== 'soft'
  const compared = hardTensor ? deltasOf(left, right, options) : scores
  const limit = hardTensor ? thresholdOf(compared, left, right, options).threshold : threshold
  const mask = maskOf(compared, limit, left, right, options)
  const marks = new Uint8Array(n)
  if (threshold !== 0)
    compared.forEach((value, i) => {
      marks[i] = isNear(value, limit) ? 1 : 0
    })
  const fused =
    options.gate === 'soft'
      ? softGate(left, right, scores, threshold, mask, outputDtype)
      : hardGate(pair, left, right, mask, outputDtype)
  // A limit that is not 0 makes a threshold that is not 0, be it too small for float64.
  const zero = limit === 0 || kl.every((value) => value === 0)
  return {
    fused,
    mask,
    undecided: options.gate === 'soft' ? new Uint8Array(n) : marks,
    kl,
    q1,
    median,
    q3,
    threshold,
    kept: countOnes(mask),
    undecidedCount: countOnes(marks),
    degenerate: zero && left.some((value, i) => value !== right[i]),
  }
}

/** @param {number} value @param {number} limit */
function isNear(value, limit) {
  return Math.abs(value - limit) <= undecidedRelative * Math.abs(limit)
}

/** @param {Uint8Array} mask */
function countOnes(mask) {
  let count = 0
  for (const value of mask) count += value
  return count
}

/**
 * @param {Float64Array} compared @param {number} limit @param {Values} left @param {Values} right
 * @param {ReferenceOptions} options
 */
function maskOf(compared, limit, left, right, options) {
  const mask = new Uint8Array(compared.length)
  for (let i = 0; i < mask.length; i++) {
    const value = /** @type {number} */ (compared[i])
    const passes = options.gate === 'ge' ? value >= limit : value > limit
    if (passes && (options.population === 'all' || left[i] !== right[i])) mask[i] = 1
  }
  return mask
}

/** @param {Values} left @param {Values} right @param {number} columns @param {ReferenceOptions} options */
function rowDivergences(left, right, columns, options) {
  const [x, y] = options.divergence === 'right||left' ? [right, left] : [left, right]
  const rows = left.length === 0 ? 0 : left.length / columns
  const kl = new Float64Array(rows)
  for (let row = 0; row < rows; row++) kl[row] = divergence(x, y, row * columns, (row + 1) * columns, options.epsilon)
  return kl
}

/** @param {Values} left @param {Values} right @param {ReferenceOptions} options */
function deltasOf(left, right, options) {
  const deltas = new Float64Array(left.length)
  for (let i = 0; i < deltas.length; i++) {
    const delta = /** @type {number} */ (left[i]) - /** @type {number} */ (right[i])
    deltas[i] = options.score === 'abs' ? Math.abs(delta) : delta
  }
  return deltas
}

/**
 * @param {Values} left @param {Values} right @param {number} columns @param {Float64Array} kl
 * @param {ReferenceOptions} options
 */
function scoresOf(left, right, columns, kl, options) {
  const scores = deltasOf(left, right, options)
  for (let row = 0, i = 0; row < kl.length; row++) {
    const factor = /** @type {number} */ (kl[row])
    for (let column = 0; column < columns; column++, i++) scores[i] = factor * /** @type {number} */ (scores[i])
  }
  return scores
}

/**
 * @param {Float64Array} scores @param {Values} left @param {Values} right @param {ReferenceOptions} options
 */
function thresholdOf(scores, left, right, options) {
  const sorted = options.population === 'all' ? scores.slice() : scores.filter((_, i) => left[i] !== right[i])
  sorted.sort()
  const q1 = quantileOf(sorted, 0.25, options.quantile)
  const median = quantileOf(sorted, 0.5, options.quantile)
  const q3 = quantileOf(sorted, 0.75, options.quantile)
  return { q1, median, q3, threshold: median + options.lambda * (q3 - q1) }
}

/**
 * @param {TensorPair} pair @param {Values} left @param {Values} right @param {Uint8Array} mask
 * @param {FloatDtype} outputDtype
 */
function hardGate(pair, left, right, mask, outputDtype) {
  if (outputDtype !== pair.dtype) {
    const values = Float64Array.from(mask, (taken, i) => Number(taken ? right[i] : left[i]))
    return encode(outputDtype, values)
  }
  const size = byteSize[pair.dtype]
  const fused = pair.left.slice()
  for (let i = 0; i < mask.length; i++) {
    if (mask[i])
      for (let byte = i * size; byte < (i + 1) * size; byte++) fused[byte] = /** @type {number} */ (pair.right[byte])
  }
  return fused
}

/**
 * @param {Values} left @param {Values} right @param {Float64Array} scores @param {number} threshold
 * @param {Uint8Array} mask @param {FloatDtype} outputDtype
 */
function softGate(left, right, scores, threshold, mask, outputDtype) {
  const values = new Float64Array(left.length)
  for (let i = 0; i < values.length; i++) {
    const l = /** @type {number} */ (left[i])
    const weight = mask[i] ? /** @type {number} */ (scores[i]) - threshold : 0
    values[i] = weight === 0 ? l : l + (Number(right[i]) - l) * weight
  }
  return encode(outputDtype, values)
}
