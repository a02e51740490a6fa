import { expect, test } from 'vitest'
import { evaluationReporter, regradeReporter } from '../../../lib/report/evaluation/progress.js'

function terminal() {
  const written: string[] = []
  return { written, stream: { isTTY: true, columns: 200, write: (text: string) => written.push(text) } }
}

const reading = { phase: 'read', benchmark: 'lcb', done: 1e9, total: 4e9, seconds: 5 } as const

test.for<[string, typeof evaluationReporter | typeof regradeReporter]>([
  ['an evaluation', evaluationReporter],
  ['a regrading', regradeReporter],
])('%s tells how far the reading of a benchmark is, with its rate and the time left', ([, reporter]) => {
  const { written, stream } = terminal()
  let now = 0
  const { update, end } = reporter(stream, () => now)
  update({ ...reading, done: 0, seconds: 0 })
  expect(written).toEqual([])
  now = 5
  update(reading)
  expect(written.join('')).toContain('lcb: reading  25.0 % of 4.00 GB  200.0 MB/s  15.0 s left')
  end()
})

test('a regrading tells of its grades', () => {
  const { written, stream } = terminal()
  let now = 0
  const { update } = regradeReporter(stream, () => now)
  now = 10
  update({ phase: 'grades', graded: 50, total: 200, seconds: 10 })
  expect(written.join('')).toContain('50/200 graded  5 answers/s  30.0 s left')
})
