import { expect, test } from 'vitest'
import type { DataProgress } from '../../lib/data/options.js'
import { dataProgressReporter } from '../../lib/report/dataProgress.js'

const at = (phase: DataProgress['phase'], bytesDone: number, tokensDone = 0): DataProgress => ({
  phase,
  bytesDone,
  bytesTotal: 4e6,
  rowsDone: tokensDone / 100,
  tokensDone,
})

test('rate and time left are those of the phase', () => {
  let now = 0
  const written: string[] = []
  const { update, end } = dataProgressReporter({ write: (text) => written.push(text) }, () => now)
  update(at('hash', 0))
  now = 10
  update(at('hash', 3e6))
  now = 100
  update(at('encode', 0))
  now = 120
  update(at('encode', 1e6, 50_000))
  end()
  expect(written).toEqual([
    'Reading  75.0 % of 4.00 MB  300.0 kB/s  3.33 s left\n',
    'Tokenizing  0.0 % of 4.00 MB  -  ? left\n',
    'Tokenizing  25.0 % of 4.00 MB  500 rows  2500 tokens/s  1 min 00 s left\n',
  ])
})

test('what an earlier run fetched has no rate, and each repository has its own', () => {
  let now = 0
  const written: string[] = []
  const { update } = dataProgressReporter({ write: (text) => written.push(text) }, () => now)
  update(at('download', 3e6))
  now = 10
  update(at('download', 3.5e6))
  now = 20
  update({ ...at('download', 0), bytesTotal: 8e6 })
  now = 30
  update({ ...at('download', 1e6), bytesTotal: 8e6 })
  expect(written).toEqual([
    'Downloading  87.5 % of 4.00 MB  50.0 kB/s  10.0 s left\n',
    'Downloading  0.0 % of 8.00 MB  -  ? left\n',
    'Downloading  12.5 % of 8.00 MB  100.0 kB/s  1 min 10 s left\n',
  ])
})

test('a terminal has a bar that goes away', () => {
  let now = 0
  const written: string[] = []
  const stream = { isTTY: true, columns: 100, write: (text: string) => written.push(text) }
  const { update, end } = dataProgressReporter(stream, () => now)
  update(at('encode', 0))
  now = 2
  update(at('encode', 2e6, 1000))
  end()
  expect(written[0]?.startsWith('\r\x1b[K[')).toBe(true)
  expect(written[0]).toMatch(/\[=+ +\] Tokenizing {2}50\.0 %/)
  expect(written.at(-1)).toBe('\r\x1b[K')
})
