import { describe, expect, test } from 'vitest'
import { plainWords } from '../../../lib/select/text/plainWords.js'
import { shingleHashes, wordHashes } from '../../../lib/select/text/wordHashes.js'
import { growth, proportional } from '../../support/growth.js'

const same = (a: string, b: string): boolean => String(wordHashes(a)) === String(wordHashes(b))

describe('hashes of words', () => {
  test.each([
    ['case and punctuation', 'Find x, y!', 'find X Y'],
    ['dollars and spaces', 'Let $x+1$ be', 'let  x + 1  be'],
    ['a hyphen in a word', 'a well-known sum', 'a well known sum'],
    ['wide forms', 'ＡＢＣ １２', 'abc 12'],
  ])('do not tell %s apart', (_, a, b) => expect(same(a, b)).toBe(true))

  test.each([
    ['signs', 'x+1', 'x-1'],
    ['operators of Unicode', 'a ≤ b', 'a ≥ b'],
    ['numbers', 'find 12 of 3', 'find 1 of 23'],
    ['the order', 'a b', 'b a'],
  ])('tell %s apart', (_, a, b) => expect(same(a, b)).toBe(false))

  test('characters of a script without spaces are words, and a run without an end is many', () => {
    expect(wordHashes('三角形的面积').length).toBe(6)
    expect(wordHashes('0'.repeat(3200)).length).toBe(100)
    expect(wordHashes(' \n,;').length).toBe(0)
  })
})

test('shingles are the same for the same words in a row, and only for these', () => {
  const shingles = (text: string) => [...shingleHashes(wordHashes(text), 3)]
  const all = shingles('a b c d a b c')
  expect(all.length).toBe(5)
  expect(all[0]).toBe(all[4])
  expect(new Set(all).size).toBe(4)
  expect(shingles('b c d')).toEqual([all[1]])
  expect(shingles('a b').length).toBe(1)
  expect(shingles('').length).toBe(0)
})

test('plain words have no case and nothing around them', () => {
  expect(plainWords('"Let $x$ be (a number), such that $x+1=2$: 面积 - ?')).toEqual(
    'let x be a number such that x+1=2 面 积'.split(' '),
  )
  expect(plainWords("I don't, U.S.A.")).toEqual(['i', "don't", 'u.s.a'])
})

test('words take time in proportion to the text, whatever is in it', async () => {
  for (const piece of ['a word, ', '.,;:', 'x', '面', '- ', '\u0301']) {
    expect(await growth((size) => wordHashes(piece.repeat(size)), 20_000)).toBeLessThan(proportional)
    expect(await growth((size) => plainWords(piece.repeat(size)), 20_000)).toBeLessThan(proportional)
  }
})
