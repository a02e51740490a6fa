import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readTokenizerFiles } from '../../lib/checkpoint/tokenizerFiles.js'
import { readTemplate } from '../../lib/data/readTemplate.js'
import { TextTokenizer } from '../../lib/data/tokenizer.js'
import { growth, proportional } from '../support/growth.js'
import { temporaryDirectory } from '../support/temporary.js'
import { fixtureTokenizer, referenceIds, texts, tokenizerText, vocabularySize, writeModel } from './support.js'

const tokenizer = fixtureTokenizer()

describe('the ids are those of the Rust library', () => {
  test.each(Object.keys(texts))('%s', (name) => {
    expect(tokenizer.encode(texts[name] as string)).toEqual(referenceIds[name])
  })

  test('for all of the texts in one', () => {
    // Line breaks are pieces of their own before what is no white space, so the parts keep their ids.
    const names = Object.keys(texts).filter(
      (name) => /^\S/.test(texts[name] as string) && /[^\s\p{P}]$/u.test(texts[name] as string),
    )
    expect(names.length).toBeGreaterThan(5)
    const newline = tokenizer.encode('\n')
    const expected = names.flatMap((name, i) => (i === 0 ? [] : newline).concat(referenceIds[name] as number[]))
    expect(tokenizer.encode(names.map((name) => texts[name]).join('\n'))).toEqual(expected)
  })
})

test('decoding gives back the text, in normal form C', () => {
  for (const text of Object.values(texts)) expect(tokenizer.decode(tokenizer.encode(text))).toBe(text.normalize('NFC'))
})

test('knows its special tokens and its size', () => {
  expect(tokenizer.size).toBe(vocabularySize)
  expect(tokenizer.idOf('<|im_end|>')).toBe(4095)
  expect(tokenizer.tokenOf(4104)).toBe('<think>')
  expect(tokenizer.idOf('<|no_such|>')).toBeUndefined()
  expect(tokenizer.encode('')).toEqual([])
  expect(tokenizer.decode([])).toBe('')
})

test('the time for a run without a break grows as it does', async () => {
  const encode = (length: number) =>
    expect(tokenizer.decode(tokenizer.encode('ab'.repeat(length)))).toBe('ab'.repeat(length))
  expect(await growth(encode, 6250)).toBeLessThan(proportional)
})

describe('files', () => {
  test('a template of its own file comes before the one in the configuration', async () => {
    const directory = writeModel({ template: 'in the configuration' })
    expect((await readTokenizerFiles(directory)).chatTemplate).toBe('in the configuration')
    writeFileSync(join(directory, 'chat_template.jinja'), 'in a file')
    expect((await readTokenizerFiles(directory)).chatTemplate).toBe('in a file')
  })

  test('of named templates the default counts', async () => {
    const chat_template = [
      { name: 'tool_use', template: 'tools' },
      { name: 'default', template: 'the default' },
    ]
    const files = await readTokenizerFiles(writeModel({ config: { chat_template } }))
    expect(files.chatTemplate).toBe('the default')
    expect(files.namedTemplates).toEqual(new Map([['tool_use', 'tools']]))
  })

  test('named templates without a default are told where one is needed', async () => {
    const chat_template = [{ name: 'tool_use', template: 'tools' }]
    const directory = writeModel({ config: { chat_template } })
    const [listed, refusal] = [await readTokenizerFiles(directory), { code: 'ERR_CHAT_TEMPLATE' }]
    await expect(readTemplate('checkpoint', listed)).rejects.toMatchObject({
      ...refusal,
      message: expect.stringContaining(`called default in ${directory} but there are only tool_use`),
    })
    mkdirSync(join(directory, 'additional_chat_templates'))
    writeFileSync(join(directory, 'additional_chat_templates', 'rag.jinja'), 'documents')
    const inFiles = await readTokenizerFiles(directory)
    expect([inFiles.chatTemplate, inFiles.namedTemplates]).toEqual([undefined, new Map([['rag', 'documents']])])
    await expect(readTemplate('checkpoint', inFiles)).rejects.toMatchObject(refusal)
    writeFileSync(join(directory, 'chat_template.jinja'), 'in a file')
    expect(await readTemplate('checkpoint', await readTokenizerFiles(directory))).toMatchObject({ text: 'in a file' })
  })

  test.each([
    ['there is none', undefined, /Expected tokenizer\.json in .* but there is none/],
    ['no JSON', '{', /Expected JSON in .*tokenizer\.json/],
    ['no object', '[]', /Expected a JSON object/],
    ['no model', '{}', /Expected a model of type BPE in .* but received none/],
    ['no vocabulary', '{"model":{"type":"BPE"}}', /Cannot use the tokenizer/],
    ['an unknown model', tokenizerText.replace(/"BPE"/, '"Mystery"'), /Expected a model of type BPE in .* "Mystery"/],
  ])('%s', async (_, text, message) => {
    const directory = temporaryDirectory()
    if (text !== undefined) writeFileSync(join(directory, 'tokenizer.json'), text)
    const load = async () => new TextTokenizer(await readTokenizerFiles(directory))
    await expect(load()).rejects.toMatchObject({ code: 'ERR_TOKENIZER', message: expect.stringMatching(message) })
  })
})
