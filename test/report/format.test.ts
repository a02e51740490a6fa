import { expect, test } from 'vitest'
import { formatCount, formatPercent, formatTable, printable } from '../../lib/text/format.js'
import { formatBytes, formatDuration, formatRate } from '../../lib/text/formatUnits.js'

test('bytes, counts and rates in decimal units, three figures or so', () => {
  expect([0, 999, 1000, 4_019_453_952, 999_950].map(formatBytes)).toEqual([
    '0 B',
    '999 B',
    '1.00 kB',
    '4.02 GB',
    '1.00 MB',
  ])
  expect([9999, 12_345, 494_032_768, 1.5e9].map(formatCount)).toEqual(['9999', '12.3 k', '494.0 M', '1.50 B'])
  expect(formatRate(3e9, 1.5)).toBe('2.00 GB/s')
  expect(formatRate(1, 0)).toBe('-')
})

test('durations never show 60 seconds or minutes', () => {
  expect([0.4212, 12.34, 59.96, 245, 3599.6, 7380].map(formatDuration)).toEqual([
    '0.42 s',
    '12.3 s',
    '1 min 00 s',
    '4 min 05 s',
    '1 h 00 min',
    '2 h 03 min',
  ])
})

test('a share is 0 % or 100 % only when it is', () => {
  expect([0, 1e-9, 0.0512, 0.99999, 1].map(formatPercent)).toEqual(['0.0 %', '<0.1 %', '5.1 %', '>99.9 %', '100.0 %'])
})

test('tables align their columns', () => {
  expect(
    formatTable(
      [
        ['a', '1'],
        ['long', '100'],
      ],
      [1],
    ),
  ).toBe('a       1\nlong  100')
})

test('names from files cannot control the terminal', () => {
  expect(printable('\x1b[2Jw\u202e\u0000é模型')).toBe('\\u{1b}[2Jw\\u{202e}\\u{0}é模型')
})
