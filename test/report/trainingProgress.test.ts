import { expect, test } from 'vitest'
import { formatFlops, trainingReporter } from '../../lib/report/trainingProgress.js'
import type { StepEvent } from '../../lib/train/trainerEvents.js'

const step = (number: number, more: Partial<StepEvent> = {}): StepEvent => ({
  event: 'step',
  step: number,
  epoch: 0,
  loss: 2.5,
  gradientNorm: 1.25,
  learningRate: 1e-5,
  tokens: 100,
  trainedTokens: 50,
  seconds: 2,
  tokensPerSecond: 12_345,
  flops: 5.21e10,
  skipped: false,
  peakBytes: 1,
  ...more,
})

function reporter(isTTY: boolean, total: number | null = 100, columns = 200) {
  const written: string[] = []
  let now = 0
  const stream = { isTTY, columns, write: (text: string) => written.push(text) }
  const it = trainingReporter(
    stream,
    () => total ?? undefined,
    () => now,
  )
  return { ...it, written, at: (seconds: number) => (now = seconds) }
}

const line = (number: number, left: string) =>
  `step ${number}/100 (${number}.0 %)  loss 2.500  norm 1.250  lr 1.0e-5  12.3 k tokens/s  52.1 GFLOP/s  ${left} left`

test('a terminal has one line, drawn again at most twice a second', () => {
  const { update, written, at, end } = reporter(true)
  update(step(1))
  at(0.3)
  update(step(2))
  at(0.6)
  update(step(3))
  end()
  expect(written).toEqual([`\r\x1b[K${line(1, '3 min 18 s')}`, `\r\x1b[K${line(3, '3 min 14 s')}`, '\r\x1b[K'])
})

test('a narrow terminal has what fits', () => {
  const { update, written } = reporter(true, 100, 30)
  update(step(1))
  expect(written).toEqual([`\r\x1b[K${line(1, '').slice(0, 29)}`])
})

test('a log has a line every ten seconds, and the last step', () => {
  const { update, written, at } = reporter(false)
  for (const [number, seconds] of [
    [1, 0],
    [2, 2],
    [6, 10],
    [7, 12],
    [100, 13],
  ] as const) {
    at(seconds)
    update(step(number))
  }
  expect(written.map((text) => text.slice(0, 8))).toEqual(['step 1/1', 'step 6/1', 'step 100'])
})

test('time left follows the speed, the newest step for a tenth', () => {
  const { update, written } = reporter(false, 3)
  update(step(1, { seconds: 10 }))
  update(step(3, { seconds: 20 }))
  expect(written[0]).toContain('20.0 s left')
})

test('without a plan there is no end to tell of', () => {
  const { update, written } = reporter(false, null)
  update(step(7))
  expect(written[0]).toMatch(/^step 7 {2}loss .* GFLOP\/s\n$/)
})

test('what happens between steps stands above the line', () => {
  const { update, written, print, end } = reporter(true)
  update(step(1))
  update({ event: 'validation', step: 1, loss: 2.75 })
  update({ event: 'checkpoint', step: 1, path: 'x/step-00000001' })
  update({ event: 'skipped', step: 2, reason: 'the loss is not finite', samples: [{ source: 0, row: 7 }] })
  update({ event: 'damaged', path: 'x/step-00000009', reason: 'weights-0.bin: expected 9 bytes' })
  update({ event: 'start', step: 5, resumedFrom: 'step-00000005' })
  print('a line of the log')
  end()
  const text = written.join('')
  for (const remark of [
    'step 1: validation loss 2.750\n',
    'step 1: saved x/step-00000001\n',
    'step 2 was skipped: the loss is not finite (source 0 row 7)\n',
    'Set aside a damaged checkpoint, x/step-00000009: weights-0.bin: expected 9 bytes\n',
    'Continuing after step 5, from step-00000005\n',
    'a line of the log\n',
  ]) {
    expect(text).toContain(`\r\x1b[K${remark}\r\x1b[K`.slice(0, -4) + line(1, '3 min 18 s'))
  }
})

test('a loss that is not finite has no figures', () => {
  const { update, written } = reporter(false)
  update(step(1, { loss: null as unknown as number, skipped: true }))
  expect(written[0]).toContain('loss not finite')
})

test.each([
  [0, '0.00 FLOP/s'],
  [999.4, '999 FLOP/s'],
  [999.6, '1.00 kFLOP/s'],
  [5.21e10, '52.1 GFLOP/s'],
  [7.98e14, '798 TFLOP/s'],
  [2e18, '2.00e+3 PFLOP/s'],
])('%d is %s', (flops, text) => expect(formatFlops(flops)).toBe(text))
