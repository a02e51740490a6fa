import { expect, test } from 'vitest'
import { verifyMath } from '../../../lib/grading/math/verify.js'
import { pairs as fifthPairs } from './fifthPairs.js'
import { pairs as fourthPairs } from './fourthPairs.js'
import { pairs as firstPairs } from './pairs.js'
import { pairs as secondPairs } from './secondPairs.js'
import { pairs as seventhPairs } from './seventhPairs.js'
import { pairs as sixthPairs } from './sixthPairs.js'
import { pairs as thirdPairs } from './thirdPairs.js'

const all = [firstPairs, secondPairs, thirdPairs, fourthPairs, fifthPairs, sixthPairs, seventhPairs].flatMap((pairs) =>
  Object.entries(pairs),
)

for (const [i, [kind, list]] of all.entries()) {
  test(`pairs of ${kind} (${i + 1}) are judged as labelled`, async () => {
    const wrong: string[] = []
    for (const [gold, answer, equal] of list) {
      const verdict = await verifyMath(gold, answer)
      if (verdict.equal !== equal) wrong.push(`${gold} | ${answer} | ${verdict.rule}`)
      expect(verdict.equal && verdict.unsupported).toBe(false)
    }
    expect(wrong).toEqual([])
  })
}

test('there are more than 300 pairs, equal and unequal', () => {
  const labelled = all.flatMap(([, list]) => list)
  expect(labelled.length).toBeGreaterThan(300)
  expect(labelled.filter(([, , equal]) => !equal).length).toBeGreaterThan(100)
})
