import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Tokenizer } from '@huggingface/tokenizers'
import { describe, expect, test } from 'vitest'
import { byteCharacters, firstBytes, splitPieces } from '../../lib/init/byteLevel.js'
import { learnMerges } from '../../lib/init/learnMerges.js'
import { trainTokenizer } from '../../lib/init/trainTokenizer.js'
import { temporaryDirectory } from '../support/temporary.js'
import { slowMerges } from '../train/slowMerges.js'

const corpus = ['docs/fusion.md', 'docs/merge.md', 'lib/merge/output/publishOutput.ts']
const sample = corpus.map((path) => readFileSync(path, 'utf8')).join('\n')
const foreign = "Größe naïve — Привет, мир! 你好，世界 🙂 don't WE'LL 3.14159\r\n\t\tx  = [1,\n\n\n 2]   \u00a0end   "

const bytes = (text: string): string => Array.from(Buffer.from(text), (byte) => byteCharacters[byte]).join('')

function counted(text: string): Map<string, number> {
  const pieces = new Map<string, number>()
  for (const piece of splitPieces(text)) pieces.set(piece, (pieces.get(piece) ?? 0) + 1)
  return pieces
}

const alphabet = firstBytes.map((byte) => byteCharacters[byte] as string)

function asTexts(merges: readonly (readonly [number, number])[]): string[] {
  const tokens = [...alphabet]
  return merges.map(([left, right]) => {
    tokens.push(`${tokens[left]}${tokens[right]}`)
    return `${tokens[left]} ${tokens[right]}`
  })
}

describe('merges are those of the slow reference', () => {
  const texts: [string, string][] = [
    ['prose and code', sample.slice(0, 6000)],
    ['runs of one character', 'aaaa aaa aaaaaaa aa aaaaa bbbb bbb\n'.repeat(3)],
    ['ties everywhere', 'ab cd ef gh ab cd ef gh ij kl ij kl'],
    ['several scripts', foreign.repeat(2)],
  ]
  test.each(texts)('%s', (_, text) => {
    const pieces = counted(text)
    const slow = slowMerges(new Map([...pieces].map(([piece, count]) => [bytes(piece), count])), alphabet, 150)
    expect(slow.length).toBeGreaterThan(3)
    expect(asTexts(learnMerges(pieces, 150))).toEqual(slow)
  })
})

test('pieces together are the text', () => {
  for (const text of [sample, foreign]) expect(splitPieces(text).join('')).toBe(text)
})

describe('a trained tokenizer', () => {
  const load = ({ files }: Awaited<ReturnType<typeof trainTokenizer>>) => {
    const json = JSON.parse(files['tokenizer.json'])
    return { json, tokenizer: new Tokenizer(json, JSON.parse(files['tokenizer_config.json'])) }
  }

  test('encodes text in a library that did not write it, and decoding gives the text again', async () => {
    const trained = await trainTokenizer(corpus, 1000)
    const { json, tokenizer } = load(trained)
    const ids: number[] = tokenizer.encode(sample, { add_special_tokens: false }).ids
    expect(Math.max(...ids)).toBeLessThan(1000)
    // What is learned is used: bytes alone would be as many ids.
    expect(ids.length).toBeLessThan(0.5 * Buffer.from(sample).length)
    for (const text of [sample, foreign]) {
      const decoded = tokenizer.decode(tokenizer.encode(text, { add_special_tokens: false }).ids, {
        skip_special_tokens: false,
        clean_up_tokenization_spaces: false,
      })
      expect(decoded).toBe(text.normalize('NFC'))
    }
    expect(Object.keys(json.model.vocab)).toHaveLength(997)
    expect(tokenizer.encode('<|im_start|>user\n', { add_special_tokens: false }).ids[0]).toBe(998)
    expect([trained.padTokenId, trained.eosTokenId]).toEqual([997, 999])
  })

  test('is the same again, wherever the text is cut', async () => {
    const directory = temporaryDirectory()
    // Longer than what is read at once.
    const text = sample.repeat(Math.ceil((2 ** 20 + 2 ** 19) / sample.length))
    const [whole, half] = [join(directory, 'whole.txt'), join(directory, 'half.txt')]
    writeFileSync(whole, text)
    const cut = text.lastIndexOf('\n\n', text.length / 2) + 2
    writeFileSync(half, text.slice(cut))
    writeFileSync(join(directory, 'first.txt'), text.slice(0, cut))
    const one = await trainTokenizer([whole], 600)
    expect((await trainTokenizer([join(directory, 'first.txt'), half], 600)).files).toEqual(one.files)
    expect(asTexts(learnMerges(counted(text.normalize('NFC')), 600 - 259))).toEqual(
      JSON.parse(one.files['tokenizer.json']).model.merges,
    )
  })

  test('text that gives fewer tokens is refused with their number', async () => {
    const path = join(temporaryDirectory(), 'text.txt')
    writeFileSync(path, 'abab cd')
    await expect(trainTokenizer([path], 300)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: expect.stringContaining('Expected at most 260 for vocabularySize'),
    })
    writeFileSync(path, Buffer.from([0x61, 0xff]))
    await expect(trainTokenizer([path], 300)).rejects.toMatchObject({ code: 'ERR_FILE_READ' })
    await expect(trainTokenizer([`${path}.not`], 300)).rejects.toMatchObject({ code: 'ERR_FILE_READ' })
  })
})
