import { describe, expect, test } from 'vitest'
import type { VerifyOptions } from '../../../lib/select/verification/verify.js'
import { verify } from '../../../lib/select/verification/verify.js'
import { answer, candidate, detailOf, inShort, outcomesOf } from '../steps.js'

const reject = (by: VerifyOptions['by']): VerifyOptions => ({ by, unverifiable: 'reject' })
const boxed = (text: string) => answer(`So it is \\boxed{${text}}.`, { reasoning: 'Hm.' })

test('mathematics: equal, wrong, cut off, and what nobody can tell', async () => {
  const rows = [
    candidate(0, [boxed('0.5'), boxed('2')], { reference: '\\frac{1}{2}' }),
    candidate(1, [boxed('2')], { reference: '3' }),
    candidate(2, [answer('', { closed: false, finish: 'length' })], { reference: '3' }),
    candidate(3, [boxed('3')]),
    candidate(4, [boxed('3')], { reference: 'proof' }),
    candidate(5, [boxed('3')], { reference: 'We add, so it is $\\boxed{3}$ in all.' }),
    candidate(6, [boxed('3')], { reference: '\\int_0^3 1\\,dx' }),
  ]
  const outcomes = await outcomesOf(verify, reject('math'), rows)
  expect(inShort(outcomes)).toEqual([[0], 'wrong', 'wrong', 'unverifiable', 'unverifiable', [0], 'unverifiable'])
  expect(detailOf(outcomes[1])).toBe('"2" instead of "3"')
  expect(detailOf(outcomes[3])).toBe('there is no reference answer')
  const kept = await outcomesOf(verify, { by: 'math', unverifiable: 'keep' }, rows)
  const verdicts = kept.map((outcome) => ('kept' in outcome ? outcome.kept.answers.map(({ verdict }) => verdict) : []))
  expect(verdicts).toEqual([['correct'], [], [], ['unverifiable'], ['unverifiable'], ['correct'], ['unverifiable']])
})

test('wrong answers stay in the share that is asked for, the same ones whatever else there is', async () => {
  const rows = Array.from({ length: 600 }, (_, i) => candidate(i, [boxed('2')], { reference: '3' }))
  const options: VerifyOptions = { by: 'math', unverifiable: 'reject', wrong: 0.3 }
  const keptOf = async (given: typeof rows, seed = 0) => {
    const outcomes = await outcomesOf(verify, options, given, { seed, portion: 200 })
    return outcomes.flatMap((outcome) => ('kept' in outcome ? [outcome.kept] : []))
  }
  const kept = await keptOf(rows)
  // Of 600 draws 180 are expected, with a standard deviation of 11.
  expect(kept.length).toBeGreaterThan(135)
  expect(kept.length).toBeLessThan(225)
  expect(kept.every(({ answers }) => answers[0]?.verdict === 'wrong')).toBe(true)
  const numbers = kept.map(({ row }) => row)
  expect((await keptOf(rows.slice(300))).map(({ row }) => row)).toEqual(numbers.filter((row) => row >= 300))
  expect((await keptOf(rows, 1)).map(({ row }) => row)).not.toEqual(numbers)
})

test('multiple choice: by letter, by text, and a reference that names no option', async () => {
  const choices = ['heat', 'light', 'sound']
  const rows = [
    candidate(0, [answer('The answer is B.')], { reference: 'B' }),
    candidate(1, [answer('\\boxed{A}')], { reference: '(B)' }),
    candidate(2, [answer('\\boxed{\\text{light}}')], { reference: 'light', choices }),
    candidate(3, [answer('\\boxed{C}')], { reference: 'B. light', choices }),
    candidate(4, [answer('\\boxed{C}')], { reference: 'D', choices }),
    candidate(5, [answer('I do not know')], { reference: 'A' }),
    candidate(6, [answer('\\boxed{A}')]),
  ]
  const outcomes = await outcomesOf(verify, reject('choice'), rows)
  expect(inShort(outcomes)).toEqual([[0], 'wrong', [0], 'wrong', 'unverifiable', 'wrong', 'unverifiable'])
  expect(detailOf(outcomes[1])).toBe('chose A, right is B')
})

describe('programs', () => {
  const python = (code: string) => answer(`Here it is:\n\`\`\`python\n${code}\n\`\`\``)
  const doubling = '{"inputs": ["1\\n", "4\\n"], "outputs": ["2\\n", "8\\n"]}'
  const adding = '{"fn_name": "add", "inputs": [[1, 2], [5, 5]], "outputs": [[3], [10]]}'

  test('pass their tests, or not, or have none', async () => {
    const rows = [
      candidate(0, [python('print(2 * int(input()))'), python('print(int(input()) + 1)')], { tests: doubling }),
      candidate(1, [python('def add(a, b):\n    return a + b')], { tests: adding }),
      candidate(2, [python('class Solution:\n    def add(self, a, b):\n        return a * b')], { tests: adding }),
      candidate(3, [python('print(1)')]),
      candidate(4, [answer('There is no program.')], { tests: doubling }),
    ]
    const outcomes = await outcomesOf(verify, reject('programs'), rows, { threads: 1 })
    expect(inShort(outcomes)).toEqual([[0], [0], 'wrong', 'unverifiable', 'wrong'])
    expect(detailOf(outcomes[2])).toBe('test 1 of 2: "2" instead of "[3]"')
    expect(detailOf(outcomes[3])).toBe('there are no tests')
  })

  test('of many rows at once are all verified, without a warning', async () => {
    const warnings: Error[] = []
    const note = (warning: Error) => void warnings.push(warning)
    process.on('warning', note)
    const code = (i: number) => (i % 3 === 0 ? 'print(3 * int(input()))' : 'print(2 * int(input()))')
    const rows = Array.from({ length: 15 }, (_, i) => candidate(i, [python(code(i))], { tests: doubling }))
    const outcomes = await outcomesOf(verify, reject('programs'), rows, { threads: 6, portion: 15 })
    process.off('warning', note)
    expect(inShort(outcomes)).toEqual(rows.map((_, i) => (i % 3 === 0 ? 'wrong' : [0])))
    expect(warnings).toEqual([])
  })

  test('that do not end are stopped, and seconds says when', async () => {
    const rows = [candidate(0, [python('while True:\n    int("1")')], { tests: doubling })]
    const options: VerifyOptions = { ...reject('programs'), seconds: 0.5 }
    const outcomes = await outcomesOf(verify, options, rows, { threads: 1 })
    expect(detailOf(outcomes[0])).toBe('test 1 of 2: more than 0.5 s')
  })
})
