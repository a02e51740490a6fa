import { describe, expect, test } from 'vitest'
import { assignParts } from '../../lib/merge/parts/assignParts.js'
import { Random } from '../support/random.js'

describe('assignParts', () => {
  test('one part has everything, in order', () => {
    expect(assignParts([3, 9, 1], 1)).toEqual([[0, 1, 2]])
  })

  test('the largest files come first, each to the part with least', () => {
    expect(assignParts([1, 8, 2, 7, 3], 2)).toEqual([
      [0, 1, 2],
      [3, 4],
    ])
  })

  test('equal files are dealt in turn', () => {
    expect(assignParts([5, 5, 5, 5, 5, 5, 5], 3)).toEqual([
      [0, 3, 6],
      [1, 4],
      [2, 5],
    ])
  })

  test('parts without a file are empty, and the last', () => {
    expect(assignParts([4, 6], 4)).toEqual([[1], [0], [], []])
    expect(assignParts([], 2)).toEqual([[], []])
  })

  test('files of nothing have a place, too', () => {
    expect(assignParts([0, 0, 5], 2).flat().sort()).toEqual([0, 1, 2])
  })

  test('every file is in one part, and none has more than 4/3 of the best conceivable', () => {
    const random = new Random(11)
    for (let round = 0; round < 200; round++) {
      const parts = 1 + Math.floor(random.uniform() * 8)
      const files = Math.floor(random.uniform() * 40)
      const bytes = Array.from({ length: files }, () => Math.floor(random.uniform() * 1000))
      const assigned = assignParts(bytes, parts)
      expect(assigned).toHaveLength(parts)
      expect(assigned.flat().sort((a, b) => a - b)).toEqual(bytes.map((_, i) => i))
      const share = (part: number[]) => part.reduce((total, file) => total + (bytes[file] as number), 0)
      const total = bytes.reduce((sum, size) => sum + size, 0)
      const floor = Math.max(total / parts, ...bytes, secondOfPair(bytes, parts))
      expect(Math.max(...assigned.map(share))).toBeLessThanOrEqual((4 / 3) * floor + 1e-9)
    }
  })
})

/** With more files than parts, two of the largest `parts` + 1 share a part, whatever one does. */
function secondOfPair(bytes: number[], parts: number): number {
  const largest = [...bytes].sort((a, b) => b - a)
  return largest.length > parts ? (largest[parts - 1] as number) + (largest[parts] as number) : 0
}
