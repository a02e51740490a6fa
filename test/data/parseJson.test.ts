import { describe, expect, test } from 'vitest'
import { JsonNumber, parseJson } from '../../lib/data/parseJson.js'
import { Random } from '../support/random.js'

describe('what JSON.parse loses is kept', () => {
  test.each(['1.0', '-0.0', '-0', '1e3', '1E400', '12345678901234567890', '-9007199254740993', '1.00'])(
    '%s',
    (text) => {
      expect(parseJson(text)).toEqual(new JsonNumber(text))
    },
  )

  test('the order of keys that look like numbers, and __proto__', () => {
    const found = parseJson('{"b":1,"2":{"__proto__":3},"1":4}') as Map<string, unknown>
    expect([...found.keys()]).toEqual(['b', '2', '1'])
    expect([...(found.get('2') as Map<string, unknown>)]).toEqual([['__proto__', 3]])
  })
})

function randomValue(random: Random, depth: number): unknown {
  const kind = random.below(depth > 3 ? 5 : 7)
  if (kind === 0) return [null, true, false][random.below(3)]
  if (kind === 1) return random.below(2 ** 31) - 2 ** 30
  if (kind === 2) return random.below(1000) / 7 + 0.001
  if (kind <= 4)
    return Array.from({ length: random.below(9) }, () => random.pick([...'a"\\\n\t\0é😀\u2028/ '])).join('')
  if (kind === 5) return Array.from({ length: random.below(5) }, () => randomValue(random, depth + 1))
  return Object.fromEntries(
    Array.from({ length: random.below(5) }, (_, i) => [`k${i}"`, randomValue(random, depth + 1)]),
  )
}

test('all else is as JSON.parse reads it', () => {
  const random = new Random(4)
  for (let i = 0; i < 500; i++) {
    const value = randomValue(random, 0)
    for (const text of [JSON.stringify(value), JSON.stringify(value, null, 2), ` \r\n\t${JSON.stringify(value)} `]) {
      expect(parseJson(text)).toEqual(value)
    }
  }
})

test('what JSON.parse refuses is refused, and nothing but a JsonProblem comes out', () => {
  const random = new Random(5)
  for (let i = 0; i < 3000; i++) {
    const text = [...JSON.stringify(randomValue(random, 0))]
    const place = random.below(text.length + 1)
    text.splice(place, random.below(3), ...(random.below(2) ? [random.pick([...'"\\{}[]:,0-.eEtu\n\x01 '])] : []))
    const changed = text.join('')
    let isJson = true
    try {
      JSON.parse(changed)
    } catch {
      isJson = false
    }
    if (isJson) expect(() => parseJson(changed)).not.toThrow()
    else expect(() => parseJson(changed)).toThrow(expect.objectContaining({ name: 'JsonProblem' }))
  }
})

test.each([
  ['{"a":1,"a":2}', 'the key "a" stands twice in one object'],
  ['['.repeat(600), 'it has more than 512 levels'],
  ['{"a":', 'it is no JSON: it ends too early'],
  ['[1,]', 'it is no JSON: "]" at character 4'],
  ['"a', 'it ends inside of a text'],
  ['"\\x"', 'has an escape sequence or a character that JSON has not'],
  ['', 'it ends too early'],
  ['NaN', '"N" at character 1'],
])('%s', (text, message) => {
  expect(() => parseJson(text)).toThrow(message)
})
