import { createHash } from 'node:crypto'

/**
 * A number from 0 to 2^48 − 1 that only its parts determine. Whoever takes what has the smallest numbers draws at random, the same
 * on every machine and whatever else there is to draw from.
 */
export const priorityOf = (...parts: (string | number)[]): number =>
  createHash('sha256').update(parts.join('\0')).digest().readUIntBE(0, 6)
