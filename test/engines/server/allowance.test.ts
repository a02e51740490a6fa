import { expect, test } from 'vitest'
import { Allowance } from '../../../lib/engines/server/allowance.js'

interface Answering {
  /** Pieces that this answer still has. */
  left: number
  /** Steps until its first piece. */
  wait: number
  isSilent: boolean
}

interface Simulated {
  /** Milliseconds of a step, in which every request that is worked on gets a piece. */
  step: number
  pieces: number
  /** Steps until the first piece of an answer. */
  latency?: number
  /** Answers that are worked on at the same time; the others wait within the server. */
  slots?: number
  /** Pieces in a step of all answers together. */
  capacity?: number
}

/** The limits that a server like this is given over so many steps, with more to ask than it can take. */
function limitsOver(steps: number, most: number, server: Simulated, allowance = new Allowance(most)): number[] {
  const { step, pieces, latency = 0, slots = Number.POSITIVE_INFINITY, capacity = Number.POSITIVE_INFINITY } = server
  const active: Answering[] = []
  const limits: number[] = []
  const ask = () => {
    while (active.length < allowance.limit) active.push({ left: pieces, wait: latency, isSilent: true })
  }
  let turn = 0
  for (let now = 0; limits.length < steps; now += step) {
    ask()
    const worked = active.slice(0, slots)
    // Those that are not reached in this step are first in the next.
    const count = Math.min(capacity, worked.length)
    const reached = Array.from({ length: count }, (_, i) => worked[(turn + i) % worked.length] as Answering)
    turn += count
    for (const answer of reached) {
      if (answer.wait-- > 0) continue
      answer.left--
      answer.isSilent = false
      allowance.piece(active.length, active.filter(({ isSilent }) => isSilent).length, now)
      if (answer.left > 0) continue
      allowance.good(false, now)
      active.splice(active.indexOf(answer), 1)
      ask()
    }
    limits.push(allowance.limit)
  }
  return limits
}

const kinds = (limits: readonly number[]): number[] => [...new Set(limits)]

test('a few first, twice as many while pieces come faster for it, and never more than allowed', () => {
  expect(kinds([8, ...limitsOver(1000, 100, { step: 30, pieces: 4000 })])).toEqual([8, 16, 32, 64, 100])
  expect(kinds(limitsOver(1000, 5, { step: 30, pieces: 4000 }))).toEqual([5])
})

test('long answers need not end for that', () => {
  const limits = limitsOver(200, 64, { step: 30, pieces: 32_768, latency: 20 })
  expect(limits.at(-1)).toBe(64)
})

test('answers of one piece, for which most of the time is waited', () => {
  expect(limitsOver(3000, 64, { step: 30, pieces: 1, latency: 15 }).at(-1)).toBe(64)
})

test('where more only waits within the server, it is taken back and tried again after a minute', () => {
  for (const server of [
    { step: 30, pieces: 300, slots: 4 },
    { step: 30, pieces: 300, capacity: 6 },
  ]) {
    const limits = limitsOver(10_000, 64, server)
    expect(kinds(limits), JSON.stringify(server)).toEqual([8, 16])
    const tries = limits.filter((limit, i) => limit === 16 && limits[i - 1] === 8).length
    // Of 300 seconds.
    expect(tries).toBeGreaterThanOrEqual(3)
    expect(tries).toBeLessThanOrEqual(5)
  }
})

test('too few requests say nothing of the limit', () => {
  const allowance = new Allowance(64)
  for (let now = 0; now < 100_000; now += 10) allowance.piece(7, 0, now)
  expect(allowance.limit).toBe(8)
})

test('answers that come in one piece add one each', () => {
  const allowance = new Allowance(12)
  for (let i = 0; i < 10; i++) allowance.good(true, i)
  expect(allowance.limit).toBe(12)
})

test('after a refusal half as many, then one more each 30 seconds, whatever comes', () => {
  const allowance = new Allowance(64)
  expect(limitsOver(200, 64, { step: 30, pieces: 4000 }, allowance).at(-1)).toBe(64)
  const now = 200 * 30
  expect(allowance.refused(now - 5, 64, now)).toBe(true)
  expect(allowance.limit).toBe(32)
  // Sent before that refusal.
  expect(allowance.refused(now - 4, 63, now + 1)).toBe(false)
  for (let i = 0; i < 10_000; i++) allowance.piece(32, 0, now + i)
  allowance.good(true, now + 29_000)
  expect(allowance.limit).toBe(32)
  allowance.good(false, now + 30_000)
  allowance.good(false, now + 30_001)
  expect(allowance.limit).toBe(33)
  expect(allowance.refused(now + 40_000, 1, now + 40_001)).toBe(true)
  expect(allowance.limit).toBe(1)
})
