import { describe, expect, test } from 'vitest'
import { commonOrder, type Layout, mostFilesAtOnce } from '../../lib/merge/run/tensorOrder.js'

const letters = (...files: string[]): Layout => files.map((file) => [...file])
const orderOf = (...layouts: Layout[]) => commonOrder(layouts)?.join('')

describe('commonOrder', () => {
  test.each([
    ['one layout keeps its order', [letters('cab', 'ed')], 'cabed'],
    ['the same layout twice', [letters('ab', 'cd'), letters('ab', 'cd')], 'abcd'],
    ['files of the second in another order', [letters('ab', 'cd'), letters('cd', 'ab')], 'abcd'],
    ['other files of the same order', [letters('ad', 'bc'), letters('abcd')], 'abcd'],
    ['the second waits for what the first has later', [letters('abz', 'c'), letters('acz', 'b')], 'abcz'],
    ['tensors that only one has', [letters('ac'), letters('abc', 'd')], 'abcd'],
    ['empty files', [letters('', 'a'), letters('a', '')], 'a'],
  ])('%s', (_, layouts, expected) => {
    expect(orderOf(...layouts)).toBe(expected)
  })

  test.each([
    ['two tensors the other way round', [letters('ab'), letters('ba')]],
    ['a circle over three files', [letters('ab', 'c'), letters('bc', 'a'), letters('ca', 'b')]],
  ])('%s have no order in common', (_, layouts) => {
    expect(orderOf(...layouts)).toBeUndefined()
  })

  test('takes long files, whose every tensor waits for the one before it', () => {
    const names = Array.from({ length: 100_000 }, (_, i) => `t${i}`)
    expect(commonOrder([[...names.toReversed().map((name) => [name])], [names]])).toEqual(names)
  })
})

describe('mostFilesAtOnce', () => {
  test.each([
    ['files one after the other', [letters('ab', 'cd')], 1],
    ['two layouts alike', [letters('ab', 'cd'), letters('ab', 'cd')], 2],
    ['one long file across short ones', [letters('ab', 'cd'), letters('abcd')], 2],
    ['files that alternate', [letters('abcd'), letters('ac', 'bd')], 3],
    ['empty files do not count', [letters('', 'a')], 1],
  ])('%s', (_, layouts, expected) => {
    expect(mostFilesAtOnce(layouts, commonOrder(layouts) as string[])).toBe(expected)
  })
})
