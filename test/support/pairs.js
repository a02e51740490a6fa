/**
 * Seeded pairs of tensors: what fine-tuning leaves behind, and what the fusion must survive.
 *
 * @typedef {import('./floats.js').FloatDtype} FloatDtype
 * @typedef {import('./random.js').Random} Random
 * @typedef {import('../fusion/reference.js').TensorPair} TensorPair
 * @typedef {(random: Random, row: number) => [left: number, right: number]} Draw one element of a row
 */

import { byteSize, encode } from './floats.js'

/** Weights of std 0.02 that one fine-tuning moved by `delta`. @param {number} delta @returns {Draw} */
export function fineTuned(delta) {
  return (random) => {
    const value = 0.02 * random.normal()
    return [value, value + delta * random.normal()]
  }
}

/** A fraction of the elements is the same on both sides. @param {Draw} draw @param {number} unchanged @returns {Draw} */
export function sparse(draw, unchanged) {
  return (random, row) => {
    const [left, right] = draw(random, row)
    return [left, random.uniform() < unchanged ? left : right]
  }
}

/** Two unrelated sides of std `scale`. @param {number} scale @returns {Draw} */
export function unrelated(scale) {
  return (random) => [scale * random.normal(), scale * random.normal()]
}

/** Few distinct values and few distinct deltas, all on a binary grid: ties everywhere. @returns {Draw} */
export function gridded() {
  return (random) => {
    const value = (random.below(9) - 4) / 64
    return [value, value + (random.below(5) - 2) / 1024]
  }
}

/** Weights and updates with heavy tails, some hundreds of times the usual size. @returns {Draw} */
export function heavyTailed() {
  return (random) => {
    const value = 0.02 * random.normal() * Math.exp(1.5 * Math.abs(random.normal()))
    return [value, value + 1e-4 * random.normal() * Math.exp(1.5 * Math.abs(random.normal()))]
  }
}

/** Every third row differs by the constant 2⁻¹⁰, exactly: its divergence is 0. @returns {Draw} */
export function offsetRows() {
  return (random, row) => {
    const value = (random.below(127) - 63) / 2048
    return [value, value + (row % 3 === 0 ? 2 ** -10 : (random.below(7) - 3) / 2048)]
  }
}

/** Zeros of both signs, subnormals of the dtype, and ordinary weights. @param {FloatDtype} dtype @returns {Draw} */
export function smallestValues(dtype) {
  const least = { BF16: 2 ** -133, F16: 2 ** -24, F32: 2 ** -149, F64: 2 ** -1074 }[dtype]
  /** @param {Random} random */
  const draw = (random) =>
    random.pick([0, -0, least * random.below(100), -least * random.below(100), 0.02 * random.normal()])
  return (random) => [draw(random), draw(random)]
}

/**
 * A pair of tensors, each value rounded once to the dtype.
 *
 * @param {Random} random @param {FloatDtype} dtype @param {number[]} shape @param {Draw} draw @returns {TensorPair}
 */
export function drawPair(random, dtype, shape, draw) {
  const n = shape.reduce((a, b) => a * b, 1)
  const columns = shape.at(-1) ?? 1
  const left = new Uint8Array(n * byteSize[dtype])
  const right = new Uint8Array(n * byteSize[dtype])
  // A row at a time, so that a tensor of 10⁸ elements needs no float64 copy.
  const size = columns * byteSize[dtype]
  const leftRow = new Float64Array(columns)
  const rightRow = new Float64Array(columns)
  for (let row = 0; row * columns < n; row++) {
    for (let column = 0; column < columns; column++) {
      const [l, r] = draw(random, row)
      leftRow[column] = l
      rightRow[column] = r
    }
    left.set(encode(dtype, leftRow), row * size)
    right.set(encode(dtype, rightRow), row * size)
  }
  return { dtype, shape, left, right }
}
