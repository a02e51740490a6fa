import { createHash } from 'node:crypto'

/**
 * An order of `count` things that only an id, a seed and a trial determine (Fisher–Yates), so that every model sees the same one:
 * at each place, which of the things stands there.
 */
export function permutation(count: number, id: string, seed: number, trial: number): number[] {
  const order = Array.from({ length: count }, (_, index) => index)
  const random = randomNumbers(`${id}\0${seed}\0${trial}`)
  for (let last = count - 1; last > 0; last--) {
    const other = random(last + 1)
    const moved = order[last] as number
    order[last] = order[other] as number
    order[other] = moved
  }
  return order
}

/** Numbers below a bound, each equally likely: SHA-256 of the key and a counter, of which what would favour some is left out. */
function randomNumbers(key: string): (bound: number) => number {
  let counter = 0
  return (bound) => {
    const limit = 2 ** 32 - (2 ** 32 % bound)
    for (;;) {
      const value = createHash('sha256').update(`${key}\0${counter++}`).digest().readUInt32BE(0)
      if (value < limit) return value % bound
    }
  }
}
