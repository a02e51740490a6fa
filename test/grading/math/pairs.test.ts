import { expect, test } from 'vitest'
import { verifyMath } from '../../../lib/grading/math/verify.js'
import { pairs } from './pairs.js'

for (const [kind, list] of Object.entries(pairs)) {
  test(`pairs of ${kind} are judged as labelled`, async () => {
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
  const all = Object.values(pairs).flat()
  expect(all.length).toBeGreaterThan(300)
  expect(all.filter(([, , equal]) => !equal).length).toBeGreaterThan(100)
})
