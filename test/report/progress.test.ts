import { expect, test } from 'vitest'
import { progressReporter } from '../../lib/report/progress.js'

const clearLine = '\r\x1b[K'

function record(stream: { isTTY?: boolean; columns?: number }) {
  const written: string[] = []
  const clock = { now: 100 }
  const reporter = progressReporter({ ...stream, write: (text) => written.push(text) }, () => clock.now)
  const update = (seconds: number, fraction: number) => {
    clock.now = 100 + seconds
    const total = 4e9
    reporter.update({ bytesDone: total * fraction, bytesTotal: total, tensorsDone: 40 * fraction, tensorsTotal: 40 })
  }
  return { written, update, end: reporter.end }
}

test('a run of less than a second shows nothing', () => {
  const { written, update, end } = record({ isTTY: true })
  for (let i = 0; i < 100; i++) update(i / 101, i / 100)
  end()
  expect(written).toEqual([])
})

test('a terminal gets one line, redrawn at most ten times a second, with rate and time left', () => {
  const { written, update, end } = record({ isTTY: true, columns: 120 })
  for (let i = 0; i <= 2000; i++) update(i / 1000, i / 4000)
  expect(written.length).toBeGreaterThan(9)
  expect(written.length).toBeLessThan(12)
  expect(written.at(-1)?.replace(clearLine, '')).toMatch(/^\[=+ +\] /)
  expect(written.at(-1)).toContain('50.0 %  20/40 tensors  2.00 GB of 4.00 GB  1.00 GB/s  2.00 s left')
  end()
  expect(written.at(-1)).toBe(clearLine)
  expect(written.join('')).not.toContain('\n')
})

test('no line is wider than the terminal', () => {
  for (const columns of [20, 60, 80, 90, 200]) {
    const { written, update } = record({ isTTY: true, columns })
    update(2, 0.123)
    expect((written[0] as string).replace(clearLine, '').length).toBeLessThan(columns)
  }
})

test('a log gets a plain line every ten seconds', () => {
  const { written, update, end } = record({})
  for (let i = 0; i <= 350; i++) update(i / 10, i / 400)
  end()
  expect(written).toHaveLength(3)
  expect(written.join('')).not.toContain('\r')
  expect(written.join('')).not.toContain('\x1b')
})
