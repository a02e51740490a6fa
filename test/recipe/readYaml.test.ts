import { describe, expect, test } from 'vitest'
import { readYaml } from '../../lib/recipe/readYaml.js'

const value = (text: string) => readYaml(text, 'f.yaml')[0]?.value

test('plain data of the core schema, aliases, comments, CRLF and a byte order mark', () => {
  expect(value('\ufeff# x\r\na: &a [1, 0x10, .5, true, null, yes, 1e3]\r\nb: *a\r\n')).toEqual({
    a: [1, 16, 0.5, true, null, 'yes', 1000],
    b: [1, 16, 0.5, true, null, 'yes', 1000],
  })
  expect(readYaml('', 'f')).toEqual([])
})

describe('merge keys', () => {
  test('give what PyYAML gives: own keys first, then the sources in their order', () => {
    expect(value('<<: {a: 1}')).toEqual({ a: 1 })
    const text =
      'x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\none: {<<: *x, b: 5}\nboth:\n  <<: [*x, *y]\n  d: 6\nnested: {<<: {<<: *y, c: 7}}'
    expect(value(text)).toMatchObject({
      one: { a: 1, b: 5 },
      both: { a: 1, b: 2, c: 4, d: 6 },
      nested: { b: 3, c: 7 },
    })
    expect(value('{"<<": {"a": 1}}')).toEqual({ '<<': { a: 1 } })
  })

  test('what they take in has its place where it is written', () => {
    const { locate } = readYaml('x: &x\n  a: 1\ny:\n  <<: *x\n  b: 2', 'f')[0] as NonNullable<
      ReturnType<typeof readYaml>[0]
    >
    expect(locate(['y', 'a']).text).toBe('f:2:6')
    expect(locate(['y', 'a'], { key: true }).text).toBe('f:2:3')
    expect(locate(['y', 'b']).text).toBe('f:5:6')
  })

  test('that repeat too much are refused, and not after exponential time', () => {
    const doubled = ['a0: &a0 {k: 1}']
    for (let i = 1; i < 60; i++) doubled.push(`a${i}: &a${i} {<<: *a${i - 1}, k${i}: {<<: *a${i - 1}}}`)
    const wide = `a: &a {${Array.from({ length: 1000 }, (_, i) => `k${i}: 1`).join(', ')}}\nb: {<<: [${'*a, '.repeat(1000)}]}`
    const listed = [
      'a0: &a0 {k: 1}',
      ...Array.from({ length: 60 }, (_, i) => `a${i + 1}: &a${i + 1} {<<: [*a${i}, *a${i}]}`),
    ]
    for (const text of [doubled.join('\n'), wide]) {
      expect(() => readYaml(text, 'f')).toThrow('Expected fewer merge keys (<<) in f')
    }
    expect(value(listed.join('\n'))).toMatchObject({ a60: { k: 1 } })
  })
})

test('places of values, keys and positions in texts', () => {
  const text = 'a:\n  - x: "b & c"\n    y: |\n      one\n      two\n  - &z {k: v}\nalias: *z\nempty:\n'
  const { locate } = readYaml(text, 'f')[0] as NonNullable<ReturnType<typeof readYaml>[0]>
  const at = (path: (string | number)[], options = {}) => locate(path, options).text
  expect(at([])).toBe('f:1:1')
  expect(at(['a'])).toBe('f:2:3')
  expect(at(['a'], { key: true })).toBe('f:1:1')
  expect(at(['a', 0, 'x'])).toBe('f:2:8')
  expect(at(['a', 0, 'x'], { offset: 4 })).toBe('f:2:13')
  expect(at(['a', 0, 'y'], { offset: 2 })).toBe('f:3:8') // reflowed: only the beginning is known
  expect(at(['a', 1, 'k'])).toBe('f:6:12')
  expect(at(['alias', 'k'])).toBe('f:6:12')
  expect(at(['empty'])).toBe('f:8:7')
  expect(at(['a', 7, 'x'])).toBe('f:2:3')
})

describe('what is refused', () => {
  const cases: [name: string, text: string, message: string][] = [
    ['a tag', 'a: !foo x', 'f.yaml:1:9: Expected plain data, not the tag !foo'],
    [
      'a known tag beyond the core',
      'a: !!binary aGk=',
      'f.yaml:1:13: Expected plain data, not the tag tag:yaml.org,2002:binary',
    ],
    ['a tag of a collection', 'a: !!set {b}', 'Expected plain data, not the tag tag:yaml.org,2002:set'],
    ['a key twice', 'a: 1\nb: 2\na: 3', 'f.yaml:3:1: Expected the key "a" once'],
    ['a key twice in JSON', '{"a": 1, "a": 2}', 'f.yaml:1:10: Expected the key "a" once'],
    ['a key that is a list', '[a]: 1', 'f.yaml:1:1: Expected a word as key'],
    ['an empty key', ': 1', 'Expected a word as key'],
    ['a merge key of no mapping', 'a: 1\n<<: 2', 'f.yaml:2:1: Expected a mapping, an alias of one (*name) or a list'],
    ['a merge key of a list with another value', '<<: [{a: 1}, 2]', 'f.yaml:1:1: Expected a mapping'],
    ['two merge keys in one mapping', 'x: &x {a: 1}\ny: {<<: *x, <<: *x}', 'f.yaml:2:13: Expected the key "<<" once'],
    ['a merge of a mapping into itself', '&a {<<: *a}', 'f.yaml:1:9: Expected no alias inside its own anchor'],
    ['an alias of nothing', 'a: *b', 'Unresolved alias'],
    ['an alias inside its anchor', '&a {b: *a}', 'f.yaml:1:8: Expected no alias inside its own anchor'],
    ['broken syntax', 'a: [1, 2\nb: }', 'f.yaml:2:'],
    [
      'aliases that grow',
      `a0: &a0 [x]\n${Array.from({ length: 20 }, (_, i) => `a${i + 1}: &a${i + 1} [*a${i}, *a${i}]`).join('\n')}`,
      'Expected fewer aliases in f.yaml',
    ],
    ['deep lists', '['.repeat(5000), 'Expected at most 100 levels in f.yaml'],
    ['deep lists that close', `${'['.repeat(101)}${']'.repeat(101)}`, 'Expected at most 100 levels in f.yaml'],
    ['deep maps', '{a: '.repeat(5000), 'Expected at most 100 levels in f.yaml'],
    ['deep dashes', '- '.repeat(5000), 'Expected at most 100 levels in f.yaml'],
    ['deep questions', '? '.repeat(5000), 'Expected at most 100 levels in f.yaml'],
    ['a large text', ' '.repeat(2 ** 18 + 1), 'Expected at most 262144 characters in f.yaml, not 262145'],
  ]
  test.each(cases)('%s', (_, text, message) => {
    expect(() => readYaml(text, 'f.yaml')).toThrow(
      expect.objectContaining({ code: 'ERR_RECIPE', message: expect.stringContaining(message) }),
    )
  })

  test('everything at once', () => {
    const read = () => readYaml('a: !x 1\na: 2\n---\nb: !!binary x\n', 'f')
    expect(read).toThrow(/^f has 3 problems:\n {2}f:1:7: .*\n {2}f:2:1: .*\n {2}f:4:13: /)
  })

  test('deepest indentation that fits in a text', () => {
    const text = Array.from({ length: 720 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')
    let node = value(text)
    let depth = 0
    for (; node !== null; depth++) node = (node as { a: unknown }).a
    expect(depth).toBe(720)
  })
})
