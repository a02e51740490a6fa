import { expect, test } from 'vitest'
import { PickleProblem, readPickledText } from '../../../../lib/evaluate/benchmarks/liveCodeBench/pickledText.js'
import { pickleText } from '../../../support/pickle.js'

const texts = [
  '',
  'a',
  '[{"input": "1\\n2", "output": "ü"}]',
  'line\nend\r\0\\u0041\\',
  '😀\ufeffé',
  'x'.repeat(255),
  'é'.repeat(128),
]

test.each([0, 1, 2, 3, 4, 5])('protocol %i is read', (protocol) => {
  for (const text of [...texts, 'y'.repeat(256), 'z'.repeat(100_000)]) {
    expect(readPickledText(pickleText(text, protocol))).toBe(text)
  }
})

// What CPython 3.11 prints for pickle.dumps('a\né \\ 😀', protocol).hex()
test.each([
  '56615c7530303061e9205c7530303563205c5530303031663630300a70300a2e',
  '580b000000610ac3a9205c20f09f988071002e',
  '8002580b000000610ac3a9205c20f09f988071002e',
  '8003580b000000610ac3a9205c20f09f988071002e',
  '8004950f000000000000008c0b610ac3a9205c20f09f9880942e',
  '8005950f000000000000008c0b610ac3a9205c20f09f9880942e',
])('a pickle of CPython is read, and the tests write the same: %s', (bytes) => {
  const pickle = Buffer.from(bytes, 'hex')
  expect(readPickledText(pickle)).toBe('a\né \\ 😀')
  const protocol = pickle[0] === 0x80 ? (pickle[1] as number) : pickle[0] === 0x56 ? 0 : 1
  expect(pickleText('a\né \\ 😀', protocol).toString('hex')).toBe(bytes)
})

const long = (value: bigint): string => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(value)
  return bytes.toString('hex')
}
const hex = (text: string): string => Buffer.from(text).toString('hex')

test.each([
  ['nothing', ''],
  ['only its end', '2e'],
  ['a text without an end', '58010000006171'],
  ['a call', '80028c016194522e'],
  ['os.system by GLOBAL and REDUCE', hex("cos\nsystem\n(S'true'\ntR.")],
  ['builtins.eval by STACK_GLOBAL', `8004${'8c086275696c74696e73'}948c046576616c9493942e`],
  ['an object by BUILD', '80028c01617d622e'],
  ['an instance', hex('(ios\nsystem\n.')],
  ['NEWOBJ', '8002298129812e'],
  ['a persistent id', hex('Pabc\n.')],
  ['an extension', '800282012e'],
  ['a list', '80045d942e'],
  ['a tuple of texts', '80048c016194859 42e'.replace(' ', '')],
  ['bytes', '8003430161 71002e'.replace(' ', '')],
  ['a number', '80044b012e'],
  ['None', '80044e2e'],
  ['a text of Python 2', hex("S'a'\n.")],
  ['two texts', '80048c01618c01622e'],
  ['a memo before the text', '8004948c01612e'],
  ['fetched from the memo', '80048c016194 68002e'.replace(' ', '')],
  ['bytes after its end', '80048c0161942e00'],
  ['a second pickle after it', '80048c0161942e80048c0161942e'],
  ['a protocol of the future', '80068c0161942e'],
  ['a protocol in the middle', '80048c016180042e'],
  ['a frame that is too long', `800495${long(100n)}8c0161942e`],
  ['a text that is too long', '8c0561622e'],
  ['a text of 2^63 bytes', `8d${long(2n ** 63n)}612e`],
  ['a text of 4 GB', '58ffffffff612e'],
  ['no UTF-8', '8c01ff2e'],
  ['half of a surrogate pair', '8c03eda0802e'],
  ['a wrong escape sequence', hex('Va\\x41\np0\n.')],
  ['a character beyond Unicode', hex('V\\Uffffffff\np0\n.')],
  ['a memo that is no number', hex('Va\npx\n.')],
])('refused: %s', (_, bytes) => {
  expect(() => readPickledText(Buffer.from(bytes, 'hex'))).toThrow(PickleProblem)
})

test('whatever bytes are changed, a text or a problem comes out', () => {
  let state = 3
  const random = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  let [read, refused] = [0, 0]
  for (let i = 0; i < 20_000; i++) {
    const pickle = pickleText(texts[random(texts.length)] as string, random(6))
    for (let k = random(4); k >= 0; k--) pickle[random(pickle.length)] = random(256)
    try {
      expect(typeof readPickledText(pickle.subarray(0, pickle.length - random(3)))).toBe('string')
      read++
    } catch (error) {
      expect(error).toBeInstanceOf(PickleProblem)
      refused++
    }
  }
  expect(read).toBeGreaterThan(100)
  expect(refused).toBeGreaterThan(1000)
})
