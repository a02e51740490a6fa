import { expect, test } from 'vitest'
import { EventReader } from '../../../lib/engines/server/eventStream.js'
import { Random } from '../../support/random.js'

function read(pieces: readonly Buffer[]): [data: string, event: string][] {
  const events: [string, string][] = []
  const reader = new EventReader((data, event) => events.push([data, event]))
  for (const piece of pieces) reader.push(piece)
  reader.end()
  return events
}

test.for<[text: string, events: [string, string][]]>([
  [
    'data: a\n\ndata: b\n\n',
    [
      ['a', ''],
      ['b', ''],
    ],
  ],
  [
    'data: a\r\n\r\ndata: b\r\n\r\n',
    [
      ['a', ''],
      ['b', ''],
    ],
  ],
  [
    'data: a\r\rdata: b\r\r',
    [
      ['a', ''],
      ['b', ''],
    ],
  ],
  ['\ufeffdata: a\n\n', [['a', '']]],
  [': keep-alive\n\n: keep-alive\n\ndata: a\n\n', [['a', '']]],
  ['\n\n\n\ndata: a\n\n\n\n\n', [['a', '']]],
  ['data:a\n\n', [['a', '']]],
  ['data:  a\n\n', [[' a', '']]],
  ['data: a\ndata: b\n\n', [['a\nb', '']]],
  [
    'event: error\ndata: a\n\ndata: b\n\n',
    [
      ['a', 'error'],
      ['b', ''],
    ],
  ],
  ['event: ping\n\ndata: a\n\n', [['a', '']]],
  ['id: 1\nretry: 5\ndata: a\n\n', [['a', '']]],
  ['data\n\n', [['', '']]],
  ['data: cut', [['cut', '']]],
  ['data: größer 🙂 推理\n\n', [['größer 🙂 推理', '']]],
])('reads %j, wherever it is cut', ([text, events]) => {
  const bytes = Buffer.from(text)
  expect(read([bytes])).toEqual(events)
  expect(read([...bytes].map((byte) => Buffer.from([byte])))).toEqual(events)
  const random = new Random(1)
  for (let round = 0; round < 20; round++) {
    const pieces: Buffer[] = []
    for (let begin = 0; begin < bytes.length; ) {
      const end = Math.min(bytes.length, begin + 1 + random.below(7))
      pieces.push(bytes.subarray(begin, end))
      begin = end
    }
    expect(read(pieces)).toEqual(events)
  }
})

test('an event that never ends is refused before it fills the memory', () => {
  const reader = new EventReader(() => {})
  const piece = Buffer.alloc(2 ** 24, 'a')
  expect(() => {
    for (let i = 0; i < 8; i++) reader.push(piece)
  }).toThrow(RangeError)
})
