import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { previewData } from '../../lib/data/previewData.js'
import { dataPreviewText } from '../../lib/report/dataPreview.js'
import { temporaryDirectory } from '../support/temporary.js'
import { dialogue, fixtureTokenizer, plainChatml, sums, writeLines, writeModel } from './support.js'

function options(rows: unknown[] = sums(5)) {
  const path = writeLines(join(temporaryDirectory(), 'sums.jsonl'), rows)
  return { model: writeModel({ template: plainChatml }), sources: [path] }
}

test('a sample is the text of its tokens, with what is trained apart', async () => {
  const given = options()
  const { samples, template, endToken, generationPrompt, notices, badRows } = await previewData(given)
  const [prompt, answer] = (sums(1)[0]?.messages ?? []).map(({ content }) => content)
  const expected = [
    { trained: false, text: `<|im_start|>user\n${prompt}<|im_end|>\n<|im_start|>assistant\n` },
    { trained: true, text: `${answer}<|im_end|>` },
  ]
  expect(samples).toHaveLength(1)
  expect(samples[0]?.stretches.map(({ trained, text }) => ({ trained, text }))).toEqual(expected)
  const ids = samples[0]?.stretches.map(({ tokens }) => tokens) ?? []
  expect(ids).toEqual(expected.map(({ text }) => fixtureTokenizer().encode(text)))
  expect(samples[0]).toMatchObject({ source: 'sums', row: 0, tokens: ids.flat().length, trainedTokens: ids[1]?.length })
  expect(samples[0]).toMatchObject({ thinking: 'given', thinkIn: 'target', fullLength: ids.flat().length })
  expect({ template, endToken, generationPrompt, notices, badRows }).toEqual({
    template: `the chat template of ${given.model}`,
    endToken: { text: '<|im_end|>', id: 4095 },
    generationPrompt: '<|im_end|>\n<|im_start|>assistant\n',
    notices: [],
    badRows: [],
  })
})

test('rows from where, of which source, how many; those passed over are told', async () => {
  const given = options([...sums(2), '{', { messages: [] }, ...sums(4, 2)])
  const other = writeLines(join(temporaryDirectory(), 'other.jsonl'), sums(3, 100))
  const preview = await previewData({ ...given, row: 1, samples: 3 })
  expect(preview.samples.map(({ row }) => row)).toEqual([1, 4, 5])
  expect(preview.badRows.map(({ row, reason }) => [row, reason])).toEqual([
    [2, expect.stringMatching(/^the row is no JSON/)],
    [3, 'there is no message'],
  ])
  const from = await previewData({ ...given, sources: [...given.sources, other], source: 'other', row: 2 })
  expect(from.samples[0]).toMatchObject({ source: 'other', row: 2 })
  await expect(previewData({ ...given, source: 'none' })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  await expect(previewData({ ...given, samples: 0 })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
  await expect(previewData({ ...given, row: 99 })).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: expect.stringContaining('Expected a usable row of "sums" from row 99 on'),
  })
})

describe('where <think> is', () => {
  const row = { messages: dialogue('a', '<think>\nb\n</think>\n\nc') }
  const empty = { messages: dialogue('a', 'b') }
  test.each([
    [row, {}, 'target'],
    [row, { think: 'prompt' }, 'prompt'],
    [empty, {}, 'nowhere'],
    [empty, { missingThink: 'target' }, 'target'],
    [empty, { missingThink: 'prompt' }, 'prompt'],
    [row, { train: 'all' }, 'target'],
  ] as const)('%j %j', async (given, change, place) => {
    expect((await previewData({ ...options([given]), ...change })).samples[0]?.thinkIn).toBe(place)
  })
})

test('an earlier answer has <think>, the last has none', async () => {
  const rows = [{ messages: dialogue('a', '<think>\nhm\n</think>\n\nb', 'c', 'd') }]
  const preview = await previewData(options(rows))
  expect(preview.samples[0]).toMatchObject({ thinkIn: 'target', answers: 2, answersWithThink: 1 })
  expect(dataPreviewText(preview, false)).toContain('the model learns to write it. (1 of 2 answers)')
  const none = await previewData(options([{ messages: dialogue('what is <think>?', 'b') }]))
  expect(dataPreviewText(none, false)).toContain('No <think> is in or before what is trained.')
})

test('rows that are too long are passed over and counted', async () => {
  const rows = [{ messages: dialogue('a', 'long '.repeat(100)) }, ...sums(1)]
  const preview = await previewData({ ...options(rows), cutoffLength: 60, excessLengthStrategy: 'drop' })
  expect(preview).toMatchObject({ tooLong: 1, bad: 0, samples: [{ row: 1 }] })
  expect(dataPreviewText(preview, false)).toContain('Too long: 1 rows')
})

describe('as text', () => {
  const messages = dialogue('a\tb\u001b[31m\u202e', '<think>\nc\n</think>\n\nd')
  test('in brackets', async () => {
    const text = dataPreviewText(await previewData(options([{ messages }])), false)
    expect(text).toContain(
      '<|im_start|>user\na\tb\\u{1b}[31m\\u{202e}<|im_end|>\n<|im_start|>assistant\n⟦<think>\nc\n</think>\n\nd<|im_end|>⟧',
    )
    expect(text).toContain('<think> is in the target: the model learns to write it.')
    expect(text).toContain('Answers end with: <|im_end|> (id 4095)')
  })

  test('in colour, line by line', async () => {
    const text = dataPreviewText(await previewData(options([{ messages }])), true)
    const green = (line: string) => `\x1b[32m${line}\x1b[39m`
    expect(text).toContain(
      `assistant\n${green('<think>')}\n${green('c')}\n${green('</think>')}\n\n${green('d<|im_end|>')}`,
    )
    expect(text.replaceAll('\x1b[32m', '').replaceAll('\x1b[39m', '')).not.toContain('\x1b')
  })

  test('what is truncated', async () => {
    const preview = await previewData({ ...options(), cutoffLength: 20, packing: 'none' })
    expect(dataPreviewText(preview, false)).toMatch(/\n20 tokens, truncated from \d+, \d+ trained\./)
  })
})
