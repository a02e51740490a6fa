/** A seeded generator (32-bit xorshift-multiply of a Weyl sequence): the same numbers on every machine. */
export class Random {
  /** @param {number} seed */
  constructor(seed) {
    this.state = seed >>> 0
    this.spare = Number.NaN
  }

  /** @returns {number} an integer in [0, 2³²) */
  bits() {
    this.state = (this.state + 0x9e3779b9) >>> 0
    let z = this.state
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
    return (z ^ (z >>> 16)) >>> 0
  }

  /** @returns {number} in (0, 1) */
  uniform() {
    return (this.bits() + 0.5) * 2 ** -32
  }

  /** @param {number} bound @returns {number} an integer in [0, bound) */
  below(bound) {
    return Math.floor(this.uniform() * bound)
  }

  /** @returns {number} standard normal, by Box and Muller's polar pairs */
  normal() {
    if (!Number.isNaN(this.spare)) {
      const value = this.spare
      this.spare = Number.NaN
      return value
    }
    const radius = Math.sqrt(-2 * Math.log(this.uniform()))
    const angle = 2 * Math.PI * this.uniform()
    this.spare = radius * Math.sin(angle)
    return radius * Math.cos(angle)
  }

  /** @template T @param {readonly T[]} items @returns {T} */
  pick(items) {
    return /** @type {T} */ (items[this.below(items.length)])
  }
}
