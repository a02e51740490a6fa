import { expect, test } from 'vitest'
import { encodeFrame, type Frame, FrameReader, ProtocolError } from '../../lib/sandbox/frames.js'
import { Random } from '../support/random.js'

/** Feeds bytes in pieces; the last frame that came, and whether the reader has refused. */
function feed(bytes: Buffer, random: Random, maxPartBytes: number): Frame | undefined {
  const reader = new FrameReader()
  reader.maxPartBytes = maxPartBytes
  let frame: Frame | undefined
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + 1 + random.below(40))
    frame = reader.push(bytes.subarray(at, end)) ?? frame
    at = end
  }
  return frame
}

test('frames are read as they are written, whatever the pieces', () => {
  const random = new Random(1)
  for (let round = 0; round < 300; round++) {
    const parts = Array.from({ length: random.below(3) }, () =>
      Buffer.from(Array.from({ length: random.below(300) }, () => random.below(256))),
    )
    const bytes = Buffer.concat(encodeFrame({ id: round, text: 'é' }, parts))
    const frame = feed(bytes, random, 300)
    expect(frame?.header).toMatchObject({ id: round, text: 'é' })
    expect(frame?.parts.map(String)).toEqual(parts.map(String))
  }
})

test.each([
  ['a part that is too large', encodeFrame({}, [Buffer.alloc(11)])],
  ['three parts', encodeFrame({}, [Buffer.alloc(1), Buffer.alloc(1), Buffer.alloc(1)])],
  ['a header that is too large', [Buffer.from([0xff, 0xff, 0xff, 0xff])]],
  ['no JSON', [Buffer.from([1, 0, 0, 0]), Buffer.from('{')]],
  ['no object', [Buffer.from([4, 0, 0, 0]), Buffer.from('null')]],
  ['no parts', [Buffer.from([2, 0, 0, 0]), Buffer.from('{}')]],
  ['a negative part', [Buffer.from([14, 0, 0, 0]), Buffer.from('{"parts":[-1]}')]],
  ['two replies', [...encodeFrame({}, []), ...encodeFrame({}, [])]],
])('%s is refused', (_, pieces) => {
  const reader = new FrameReader()
  reader.maxPartBytes = 10
  expect(() => reader.push(Buffer.concat(pieces))).toThrow(ProtocolError)
})

test('random bytes give no frame, an error of the protocol, or one within the limits', () => {
  const random = new Random(2)
  const valid = Buffer.concat(encodeFrame({ id: 1 }, [Buffer.alloc(20), Buffer.alloc(5)]))
  for (let round = 0; round < 3000; round++) {
    const bytes = Buffer.from(valid)
    for (let change = 0; change <= random.below(4); change++) bytes[random.below(bytes.length)] = random.below(256)
    try {
      const frame = feed(bytes, random, 30)
      for (const part of frame?.parts ?? []) expect(part.length).toBeLessThanOrEqual(30)
    } catch (error) {
      expect(error).toBeInstanceOf(ProtocolError)
    }
  }
})
