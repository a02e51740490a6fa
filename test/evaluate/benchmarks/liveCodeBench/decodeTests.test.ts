import { deflateSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { decodeTests } from '../../../../lib/evaluate/benchmarks/liveCodeBench/decodeTests.js'
import { packTests, pickleText } from '../../../support/pickle.js'

const tests = [
  { input: '1\n', output: '2\n', testtype: 'stdin' },
  { input: 'é', output: '', testtype: 'stdin' },
]
const plain = tests.map(({ input, output }) => ({ input, output }))

test('JSON, and packed JSON of every protocol', async () => {
  expect(await decodeTests(JSON.stringify(tests))).toEqual(plain)
  expect(await decodeTests(` \n${JSON.stringify(tests, undefined, 2)}`)).toEqual(plain)
  for (let protocol = 0; protocol <= 5; protocol++) {
    expect(await decodeTests(packTests(tests, protocol))).toEqual(plain)
  }
})

// zlib.compress(pickle.dumps(json.dumps([{"input": "3\n", "output": "6\n", "testtype": "stdin"}]))) of CPython 3.11, in Base64
test('what CPython packs', async () => {
  const packed = 'eJxrYJlqwwABPRbR1UqZeQWlJUpWCkrGMXlKOgpK+aUlUAEziEBJanFJSWVBKkiouCQlM0+pNnaKHgCV2RRM'
  expect(await decodeTests(packed)).toEqual([{ input: '3\n', output: '6\n' }])
})

const zip = (bytes: Buffer): string => deflateSync(bytes).toString('base64')

test.each([
  ['nothing', '', 'zlib'],
  ['a word', 'none', 'zlib'],
  ['other characters', '<html>', 'JSON or Base64'],
  ['no zlib', Buffer.from('hello').toString('base64'), 'zlib'],
  ['a part of zlib', zip(pickleText('[]', 4)).slice(0, 12), 'zlib'],
  ['no pickle', zip(Buffer.from('[]')), 'pickle of one text'],
  ['a pickle that calls', zip(Buffer.from("cos\nsystem\n(S'true'\ntR.")), 'pickle of one text but it has opcode 0x63'],
  ['a pickle of no JSON', zip(pickleText('None', 4)), 'expected JSON'],
  ['an object', zip(pickleText('{}', 4)), 'a list'],
  ['a test without output', '[{"input": "1"}]', 'input and output of test 1'],
  ['a number', '[{"input": "1", "output": 1}]', 'input and output of test 1'],
  ['broken JSON', '[{"input": ', 'expected JSON'],
])('refused: %s', async (_, field, problem) => {
  await expect(decodeTests(field)).rejects.toMatchObject({
    name: 'TestsProblem',
    message: expect.stringContaining(problem),
  })
})

test('what would inflate without end is refused before it does', async () => {
  const bomb = zip(Buffer.alloc(200 * 2 ** 20))
  expect(bomb.length).toBeLessThan(2 ** 20)
  const before = process.memoryUsage().rss
  await expect(decodeTests(bomb, 2 ** 20)).rejects.toThrow('more than 1048576 bytes')
  expect(process.memoryUsage().rss - before).toBeLessThan(100 * 2 ** 20)
})
