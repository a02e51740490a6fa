import { appendFileSync, existsSync, mkdirSync, readdirSync, renameSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { describe, expect, test } from 'vitest'
import type { DataProgress, PrepareDataOptions } from '../../lib/data/options.js'
import { prepareData } from '../../lib/data/prepareData.js'
import type { PreparedData } from '../../lib/data/preparedData.js'
import { preparedDataText } from '../../lib/report/preparedData.js'
import { hashFiles, stampFiles } from '../support/directoryContents.js'
import { startOf, tokenOf } from '../support/owners.js'
import { temporaryDirectory } from '../support/temporary.js'
import { readPrepared } from './readPrepared.js'
import { dialogue, fixtureTokenizer, plainChatml, shippedTemplate, sums, writeLines, writeModel } from './support.js'

const tokenizer = fixtureTokenizer()

/** Options for 60 sums in one file; `change` goes over them. */
function options(change: Partial<PrepareDataOptions> = {}): PrepareDataOptions & { sources: string[] } {
  const directory = temporaryDirectory()
  const path = writeLines(join(directory, 'sums.jsonl'), sums(60))
  const base = {
    model: writeModel({ template: plainChatml }),
    sources: [path],
    cutoffLength: 256,
    packing: 'neat' as const,
  }
  return { ...base, cache: join(directory, 'cache'), ...change } as PrepareDataOptions & { sources: string[] }
}

const stored = (prepared: PreparedData) => readPrepared(prepared.train.directory)
const rowsOf = (prepared: PreparedData) =>
  stored(prepared)
    .documents.map(({ row }) => row)
    .sort((a, b) => a - b)

test('what is written is what the rows say, and the rest of the summary', async () => {
  const prepared = await prepareData(options())
  const { meta, documents } = stored(prepared)
  expect(meta).toMatchObject({
    format: 1,
    key: prepared.key,
    packing: 'neat',
    packLength: 256,
    vocabularySize: 4112,
    sources: ['sums'],
  })
  expect(prepared.key).toMatch(/^[0-9a-f]{64}$/)
  expect(documents).toHaveLength(60)
  for (const { tokens, spans, source, row } of documents) {
    const [prompt, answer] = sums(1, row).flatMap(({ messages }) => messages.map(({ content }) => content)) as [
      string,
      string,
    ]
    const written = `<|im_start|>user\n${prompt}<|im_end|>\n<|im_start|>assistant\n${answer}<|im_end|>`
    expect(tokenizer.decode(tokens)).toBe(written)
    const trained = spans.map(([begin, end]) => tokenizer.decode(tokens.slice(begin, end)))
    expect([source, trained]).toEqual([0, [`${answer}<|im_end|>`]])
  }
  const [summary] = prepared.sources
  expect(summary).toMatchObject({ name: 'sums', rows: 60, filtered: 0, bad: 0, documents: 60, truncated: 0 })
  expect(summary?.thinking).toEqual({ given: 60, added: 0, opened: 0, none: 0, unclosed: 0 })
  expect(prepared.train.efficiency).toBe(prepared.train.tokens / (prepared.train.packs * 256))
  expect(prepared.train.efficiency).toBeGreaterThan(0.85)
  expect(prepared.train.lengths.reduce((sum, count) => sum + count)).toBe(60)
  expect(prepared.endToken).toEqual({ text: '<|im_end|>', id: 4095 })
  expect(prepared.generationPrompt).toBe('<|im_end|>\n<|im_start|>assistant\n')
  expect(readdirSync(prepared.directory).sort()).toEqual(['summary.json', 'train'])
})

test.each([
  ['none', 60],
  ['pack', 255],
  ['neat', 255],
] as const)('packing %s', async (packing, most) => {
  const { packs, documents } = stored(await prepareData(options({ packing })))
  const lengths = packs.map((pack) => pack.reduce((sum, i) => sum + (documents[i]?.tokens.length ?? 0), 0))
  if (packing === 'none') expect(packs).toEqual(documents.map((_, i) => [i]))
  else expect(Math.max(...lengths)).toBeLessThanOrEqual(most)
})

test('packs are made of a batch of consecutive rows', async () => {
  const { packs, documents } = stored(await prepareData(options({ packingBatch: 7 })))
  for (const pack of packs) expect(new Set(pack.map((i) => Math.floor((documents[i]?.row ?? 0) / 7))).size).toBe(1)
})

test('the bytes do not depend on the number of threads', async () => {
  const one = options({ threads: 1, validation: { fraction: 0.2 } })
  writeLines(one.sources[0] as string, [...sums(500), '{', ...sums(400)])
  const [a, b] = [await prepareData(one), await prepareData({ ...one, threads: 3, cache: `${one.cache}-2` })]
  expect(b.cached).toBe(false)
  for (const set of ['train', 'validation']) {
    expect(hashFiles(join(b.directory, set))).toEqual(hashFiles(join(a.directory, set)))
  }
  expect(b.sources).toEqual(a.sources)
})

describe('the cache', () => {
  test('a second run finds the data and touches nothing', async () => {
    const given = options()
    const first = await prepareData(given)
    const stamps = stampFiles(first.train.directory)
    const second = await prepareData({ ...given, threads: 2 })
    expect(second).toEqual({ ...first, cached: true })
    expect(stampFiles(first.train.directory)).toEqual(stamps)
  })

  test('what is damaged is made again', async () => {
    const given = options()
    const first = await prepareData(given)
    const hashes = hashFiles(first.train.directory)
    truncateSync(join(first.train.directory, 'shard-00000.bin'), 100)
    expect((await prepareData(given)).cached).toBe(false)
    expect(hashFiles(first.train.directory)).toEqual(hashes)
    writeFileSync(join(first.directory, 'summary.json'), '{')
    expect((await prepareData(given)).cached).toBe(false)
    expect((await prepareData(given)).cached).toBe(true)
  })

  test('it does not matter where files lie', async () => {
    const given = options()
    const { key } = await prepareData(given)
    const [path] = given.sources as [string]
    const moved = join(temporaryDirectory(), 'sums.jsonl')
    renameSync(path, moved)
    expect((await prepareData({ ...given, sources: [moved], cache: `${given.cache}-2` })).key).toBe(key)
  })

  const changes: [string, Partial<PrepareDataOptions> | ((given: ReturnType<typeof options>) => object)][] = [
    [
      'a byte of a source',
      ({ sources }) => {
        appendFileSync(sources[0] as string, ' ')
        return {}
      },
    ],
    ['the name of a source', ({ sources }) => ({ sources: [{ path: sources[0], name: 'other' }] })],
    ['a filter', ({ sources }) => ({ sources: [{ path: sources[0], where: { id: null } }] })],
    ['take', ({ sources }) => ({ sources: [{ path: sources[0], take: 59 }] })],
    ['weight', ({ sources }) => ({ sources: [{ path: sources[0], weight: 2 }] })],
    ['another source', ({ sources }) => ({ sources: [sources[0], writeLines(`${sources[0]}.2.jsonl`, sums(1))] })],
    ['the template', { template: 'chatml' }],
    ['the template of the checkpoint', () => ({ model: writeModel({ template: `${plainChatml}{# #}` }) })],
    ['the tokenizer', () => ({ model: writeModel({ template: plainChatml, config: { pad_token: '<|endoftext|>' } }) })],
    ['the vocabulary', () => ({ model: writeModel({ template: plainChatml, vocabularySize: 4113 }) })],
    ['system', { system: 'Be brief.' }],
    ['think', { think: 'prompt' }],
    ['missingThink', { missingThink: 'target' }],
    ['train', { train: 'all' }],
    ['maskHistory', { maskHistory: true }],
    ['cutoffLength', { cutoffLength: 255 }],
    ['excessLengthStrategy', { excessLengthStrategy: 'drop' }],
    ['packing', { packing: 'pack' }],
    ['packingBatch', { packingBatch: 999 }],
    ['validation', { validation: { fraction: 0.1 } }],
    ['validation by count', { validation: { count: 1 } }],
    ['seed', { seed: 43 }],
    ['maxBadRows', { maxBadRows: 0.5 }],
  ]
  test('everything that matters changes the key', async () => {
    const given = options()
    const keys = new Set([(await prepareData(given)).key])
    for (const [name, change] of changes) {
      const before = keys.size
      keys.add(
        (
          await prepareData({
            ...given,
            ...(typeof change === 'function' ? change(given) : change),
          } as PrepareDataOptions)
        ).key,
      )
      expect(keys.size, name).toBe(before + 1)
    }
  })

  test('what a killed process left unfinished goes, what a living one works on stays', async () => {
    const given = options()
    const dead = tokenOf({ pid: 999999999 })
    const living = [
      tokenOf({ pid: process.ppid, started: startOf(process.ppid) }),
      // A process of another host has a number that means nothing here.
      tokenOf({ pid: 999999999, place: '0badcafe' }),
    ]
    const named = (token: string) => `${'0'.repeat(64)}.${token}.branchmerge-partial`
    for (const token of [dead, ...living]) {
      mkdirSync(join(given.cache as string, named(token), 'train'), { recursive: true })
    }
    const { key } = await prepareData(given)
    expect(readdirSync(given.cache as string).sort()).toEqual([...living.map(named), key].sort())
  })
})

describe('several sources', () => {
  test('each with its count and weight', async () => {
    const given = options()
    const directory = temporaryDirectory()
    const [a, b, c] = ['a', 'b', 'c'].map((name, i) =>
      writeLines(join(directory, `${name}.jsonl`), sums(200, 1000 * i)),
    )
    const sources = [
      { path: a as string, take: 10 },
      { path: b as string, weight: 2.25 },
      { path: c as string, weight: 0.5, take: 100 },
    ]
    const prepared = await prepareData({ ...given, sources })
    const { documents } = stored(prepared)
    const counts = (source: number) => {
      const found = new Map<number, number>()
      for (const document of documents) {
        if (document.source === source) found.set(document.row, (found.get(document.row) ?? 0) + 1)
      }
      return found
    }
    expect([...counts(0).entries()].sort(([x], [y]) => x - y)).toEqual(Array.from({ length: 10 }, (_, i) => [i, 1]))
    expect(counts(1).size).toBe(200)
    const thrice = [...counts(1).values()].filter((count) => count === 3).length
    expect([...counts(1).values()].every((count) => count === 2 || count === 3)).toBe(true)
    expect(thrice).toBeGreaterThan(25)
    expect(thrice).toBeLessThan(75)
    expect([...counts(2)].every(([row, count]) => row < 100 && count === 1)).toBe(true)
    expect(counts(2).size).toBeGreaterThan(30)
    expect(counts(2).size).toBeLessThan(70)
    expect(prepared.sources.map(({ name, rows }) => [name, rows])).toEqual([
      ['a', 10],
      ['b', 200],
      ['c', 100],
    ])
    expect(prepared.sources.map((source) => source.documents)).toEqual([10, 400 + thrice, counts(2).size])
  })

  test('of several formats and files', async () => {
    const given = options()
    const directory = join(temporaryDirectory(), 'alpaca')
    mkdirSync(directory)
    writeFileSync(join(directory, '1.json'), JSON.stringify([{ instruction: 'a', input: '', output: 'b' }]))
    writeLines(join(directory, '2.jsonl'), [{ instruction: 'c', output: 'd' }])
    const parquet = join(temporaryDirectory(), 'r1.parquet')
    const columnData = [
      { name: 'problem', data: ['p', 'q', 'r'] },
      { name: 'answer', data: ['1', '2', '3'] },
      { name: 'level', data: [1n, 2n, 1n], type: 'INT64' as const },
    ]
    writeFileSync(parquet, new Uint8Array(parquetWriteBuffer({ columnData })))
    const columns = { prompt: 'problem', response: 'answer' }
    const sources = [directory, { path: parquet, columns, where: { level: 1 } }]
    const prepared = await prepareData({ ...given, sources })
    const texts = stored(prepared).documents.map(({ tokens, source, row }) => [source, row, tokenizer.decode(tokens)])
    const chat = (prompt: string, answer: string) =>
      `<|im_start|>user\n${prompt}<|im_end|>\n<|im_start|>assistant\n${answer}<|im_end|>`
    expect(texts.sort(([a, b], [c, d]) => Number(a) - Number(c) || Number(b) - Number(d))).toEqual([
      [0, 0, chat('a', 'b')],
      [0, 1, chat('c', 'd')],
      [1, 0, chat('p', '1')],
      [1, 2, chat('r', '3')],
    ])
    expect(prepared.sources[1]).toMatchObject({ name: 'r1', rows: 3, filtered: 1, documents: 2 })
  })
})

describe('validation', () => {
  const validated = (prepared: PreparedData) =>
    prepared.validation
      ? readPrepared(prepared.validation.directory)
          .documents.map(({ row }) => row)
          .sort((a, b) => a - b)
      : []

  test('a fraction of the rows, the same ones whatever else there is', async () => {
    const given = options({ validation: { fraction: 0.2 } })
    const [path] = given.sources as [string]
    writeLines(path, sums(150))
    const first = await prepareData(given)
    expect(validated(first).length).toBeGreaterThan(15)
    expect(validated(first).length).toBeLessThan(50)
    expect([...validated(first), ...rowsOf(first)].sort((a, b) => a - b)).toEqual(
      Array.from({ length: 150 }, (_, i) => i),
    )
    writeLines(path, [...sums(50, 5000), ...sums(150)])
    const second = await prepareData(given)
    expect(validated(second).filter((row) => row >= 50)).toEqual(validated(first).map((row) => row + 50))
    const other = await prepareData({ ...given, seed: 1 })
    expect(validated(other)).not.toEqual(validated(second))
  })

  test('a count of rows; equal rows stay together, and no validation row is trained', async () => {
    const given = options({ validation: { count: 25 } })
    writeLines(given.sources[0] as string, sums(100))
    const sources = [{ path: given.sources[0] as string, weight: 3 }]
    const prepared = await prepareData({ ...given, sources })
    expect(validated(prepared)).toHaveLength(25)
    expect(prepared.sources[0]).toMatchObject({ validationDocuments: 25, documents: 3 * 75 })
    const trained = new Set(rowsOf(prepared))
    expect(validated(prepared).some((row) => trained.has(row))).toBe(false)
    writeLines(given.sources[0] as string, [...sums(100), ...sums(100)])
    const doubled = validated(await prepareData(given))
    expect(doubled).toHaveLength(26)
    expect(doubled.slice(13)).toEqual(doubled.slice(0, 13).map((row) => row + 100))
  })

  test('too few rows for a fraction are told', async () => {
    const given = options({ validation: { fraction: 0.000001 } })
    const prepared = await prepareData(given)
    expect(prepared.validation).toBeUndefined()
    expect(prepared.notices).toContain('No row was chosen for validation: there are too few rows for its share.')
  })
})

describe('rows that cannot be used', () => {
  const noJson =
    'the row is no JSON: an object or list that goes on in the next line. Write each row in one line, as jq -c . does'
  const bad = ['{', { messages: dialogue('a') }, { messages: dialogue('a', 'x <|im_end|>') }]

  test('are counted and located', async () => {
    const given = options({ maxBadRows: 0.1 })
    const [path] = given.sources as [string]
    writeLines(path, [...sums(40), ...bad, ...sums(20)])
    const [summary] = (await prepareData(given)).sources
    expect(summary).toMatchObject({ rows: 63, bad: 3, documents: 60 })
    expect(summary?.badRows).toEqual([
      { file: path, row: 40, line: 41, reason: noJson },
      { file: path, row: 41, line: 42, reason: 'the last message is no answer' },
      { file: path, row: 42, line: 43, reason: 'the text holds the control token <|im_end|>' },
    ])
  })

  test('are refused when there are too many', async () => {
    const given = options()
    const [path] = given.sources as [string]
    writeLines(path, [...sums(40), ...bad, ...sums(20), '{'])
    const refusal = {
      code: 'ERR_DATA',
      message:
        'Expected at most 1 % of the rows of "sums" to be unusable (maxBadRows) but 4 of 64 are (6.25 %). Correct the rows or the ' +
        `options of the source:\n  2 × ${noJson}, first in ${path}, row 40 (line 41)\n` +
        `  1 × the last message is no answer, first in ${path}, row 41 (line 42)\n` +
        `  1 × the text holds the control token <|im_end|>, first in ${path}, row 42 (line 43)`,
    }
    await expect(prepareData(given)).rejects.toMatchObject(refusal)
    expect(readdirSync(given.cache as string)).toEqual([])
    await expect(prepareData({ ...given, threads: 2 })).rejects.toMatchObject(refusal)
  })

  test('a run that goes wrong altogether is stopped early', async () => {
    const given = options()
    writeLines(given.sources[0] as string, [...sums(1), ...Array.from({ length: 10_000 }, () => '{')])
    let rows = 0
    const onProgress = ({ rowsDone }: DataProgress) => {
      rows = rowsDone
    }
    await expect(prepareData({ ...given, onProgress })).rejects.toMatchObject({ code: 'ERR_DATA' })
    expect(rows).toBeLessThan(5000)
  })

  test('nothing left is an error that says why', async () => {
    const given = options()
    const sources = [{ path: given.sources[0] as string, where: { level: 'hard' } }]
    await expect(prepareData({ ...given, sources })).rejects.toMatchObject({
      code: 'ERR_DATA',
      message:
        'Expected examples to train with but none is left:\n  sums: 60 rows, 60 filtered out, 0 unusable, 0 too long, 0 for validation',
    })
  })
})

describe('refuses', () => {
  test.each([
    [
      'no chat template',
      () => ({ model: writeModel() }),
      'ERR_CHAT_TEMPLATE',
      /Expected a chat template in .* but there is none/,
    ],
    [
      'a template with tokens that the vocabulary lacks',
      () => ({ model: writeModel({ template: plainChatml.replaceAll('<|im_', '<|my_') }) }),
      'ERR_CHAT_TEMPLATE',
      /the vocabulary of 4106 tokens lacks <\|my_start\|> \(would be spelt with the ids [\d ]+\), <\|my_end\|>/,
    ],
    [
      'a template that opens a reasoning which it leaves out, as the one of R1-Distill, and says which would do',
      () => ({
        model: writeModel({
          template:
            "{{ '<｜begin▁of▁sentence｜>' }}{% for m in messages %}{% if m.role == 'user' %}{{ '<｜User｜>' + m.content }}" +
            "{% else %}{{ '<｜Assistant｜>' + m.content.split('</think>')[-1] + '<｜end▁of▁sentence｜>' }}{% endif %}" +
            "{% endfor %}{% if add_generation_prompt %}{{ '<｜Assistant｜><think>\\n' }}{% endif %}",
        }),
      }),
      'ERR_CHAT_TEMPLATE',
      /does not write the prompt of an answer and the answer one after the other.* These templates fit the vocabulary: chatml, qwen, deepseekr1, llama3\.$/,
    ],
    [
      'a template without a token at the end of answers',
      () => ({ model: writeModel({ template: '{% for m in messages %}{{ m.content }}{% endfor %}' }) }),
      'ERR_CHAT_TEMPLATE',
      /writes nothing at the end of an answer/,
    ],
    [
      'an end that is no token',
      () => ({ model: writeModel({ template: '{% for m in messages %}{{ m.content }} END {% endfor %}' }) }),
      'ERR_CHAT_TEMPLATE',
      /ends answers with "END", which is no added token/,
    ],
    [
      'a tokenizer beyond the embedding',
      () => ({ model: writeModel({ template: plainChatml, vocabularySize: 4104 }) }),
      'ERR_TOKENIZER',
      /Expected ids below 4104.*has 2 beyond it: "<think>" \(4104\), "<\/think>" \(4105\)/,
    ],
    [
      'no such template',
      () => ({ template: join(temporaryDirectory(), 'x.jinja') }),
      'ERR_FILE_READ',
      /There is no template/,
    ],
    [
      'columns that say nothing',
      () => ({ sources: [writeLines(join(temporaryDirectory(), 'a.jsonl'), [{ text: 'a' }])] }),
      'ERR_DATA',
      /Expected a column messages, conversations.* but it has text/,
    ],
    ['options', () => ({ packing: 'tight' as never, seed: -1 }), 'ERR_RECIPE', /has 2 problems/],
    ['threads', () => ({ threads: 0 }), 'ERR_INVALID_ARGUMENT', /for threads/],
    ['a model', () => ({ model: '' }), 'ERR_INVALID_ARGUMENT', /for model/],
  ])('%s', async (_, change, code, message) => {
    await expect(prepareData(options(change()))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    })
  })

  test('named columns that a Parquet file lacks', async () => {
    const path = join(temporaryDirectory(), 'a.parquet')
    writeFileSync(path, new Uint8Array(parquetWriteBuffer({ columnData: [{ name: 'a', data: ['x'] }] })))
    const sources = [{ path, columns: { prompt: 'a', response: 'b' }, where: { c: 1 } }]
    await expect(prepareData(options({ sources }))).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: `Expected the columns b, c of the source "a" in ${path} but it has a`,
    })
  })

  test('a file that changes while it is read', async () => {
    const given = options()
    const onProgress = ({ phase, rowsDone }: DataProgress) => {
      if (phase === 'encode' && rowsDone === 30) appendFileSync(given.sources[0] as string, '{}\n')
    }
    await expect(prepareData({ ...given, onProgress })).rejects.toMatchObject({ code: 'ERR_FILE_CHANGED' })
    expect(readdirSync(given.cache as string)).toEqual([])
  })
})

test('a template of its own file, and notices of what is odd', async () => {
  const template = join(temporaryDirectory(), 'mine.jinja')
  writeFileSync(template, shippedTemplate('chatml'))
  const given = options({ template, think: 'prompt' })
  const prepared = await prepareData(given)
  expect(prepared.template.name).toBe(`the template ${template}`)
  expect(prepared.generationPrompt).toBe('<|im_end|>\n<|im_start|>assistant\n<think>\n')
  expect(prepared.notices).toEqual([expect.stringMatching(/^The checkpoint's own chat template asks the model with/)])
})

describe('rows of more tokens than fit', () => {
  const long = { messages: dialogue('a', `<think>\n${'word '.repeat(300)}\n</think>\n\nb`) }
  const open = { messages: dialogue('a', '<think>\nhm') }

  test('are truncated, and reasoning without end is told', async () => {
    const given = options()
    writeLines(given.sources[0] as string, [...sums(2), long, open])
    const prepared = await prepareData(given)
    expect(prepared.sources[0]).toMatchObject({ documents: 4, truncated: 1, tooLong: 0, bad: 0 })
    expect(prepared.sources[0]?.thinking).toEqual({ given: 2, added: 0, opened: 0, none: 0, unclosed: 2 })
    expect(prepared.notices).toContainEqual(
      expect.stringMatching(/^2 answers have reasoning that begins and does not end/),
    )
    expect(preparedDataText(prepared)).toContain('begun and not ended in 2')
  })

  test('are left out with excessLengthStrategy drop: counted, not bad, and not taken', async () => {
    const given = options({ excessLengthStrategy: 'drop' })
    const path = writeLines(given.sources[0] as string, [long, ...sums(3), long])
    const prepared = await prepareData({ ...given, sources: [{ path, take: 3, weight: 2 }] })
    expect(prepared.sources[0]).toMatchObject({ rows: 4, documents: 6, truncated: 0, tooLong: 1, bad: 0 })
    expect(rowsOf(prepared)).toEqual([1, 1, 2, 2, 3, 3])
    expect(preparedDataText(prepared)).toMatch(/too long .*\nsums +4 +0 +0 +1 +6 /)
  })

  test('nothing is left when all are', async () => {
    const given = options({ excessLengthStrategy: 'drop' })
    writeLines(given.sources[0] as string, [long])
    await expect(prepareData(given)).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringContaining('1 rows, 0 filtered out, 0 unusable, 1 too long, 0 for validation'),
    })
  })
})

describe('files that cannot be read as they are', () => {
  test.each([
    ['a.jsonl', '{\n "messages": []\n}\n', /line 1 cannot be used: the row is no JSON: an object or list that goes on/],
    ['a.jsonl', Buffer.from('{"messages":[{"role":"user","content":"caf\xe9"}]}\n', 'latin1'), /it looks like Latin-1/],
    ['a.jsonl', '[{"role":"user"}]\n', /line 1 cannot be used: expected an object but the row is a list/],
    ['a.json', '["a"]', /its first row cannot be used: expected an object but the row is a string/],
    ['a.jsonl', '\n \n', /but it has none/],
    ['a.jsonl', '{"text":"a"}\n', /it has text\. Name the columns of the source "a" with columns\./],
  ])('%s %j', async (name, content, message) => {
    const path = join(temporaryDirectory(), name)
    writeFileSync(path, content)
    await expect(prepareData(options({ sources: [path] }))).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(message),
    })
  })

  test('an empty file beside others does not decide', async () => {
    const directory = temporaryDirectory()
    writeFileSync(join(directory, '0.jsonl'), '')
    writeLines(join(directory, '1.jsonl'), sums(3))
    expect((await prepareData(options({ sources: [directory] }))).sources[0]).toMatchObject({ rows: 3, bad: 0 })
  })
})

describe('while it runs', () => {
  test('an abort ends it with its reason and leaves nothing', async () => {
    for (const threads of [1, 2]) {
      const given = options({ threads })
      writeLines(given.sources[0] as string, sums(900))
      const controller = new AbortController()
      const reason = new Error('enough')
      const onProgress = ({ phase, rowsDone }: DataProgress) => {
        if (phase === 'encode' && rowsDone === 300) controller.abort(reason)
      }
      await expect(prepareData({ ...given, onProgress, signal: controller.signal })).rejects.toBe(reason)
      expect(readdirSync(given.cache as string)).toEqual([])
      await expect(prepareData({ ...given, signal: controller.signal })).rejects.toBe(reason)
    }
  })

  test('an abort ends a row whose template does not come to an end', async () => {
    const nested = ['a', 'b', 'c', 'd'].map((name) => `{% for ${name} in range(9999) %}`).join('')
    const endless = `{% if messages|length > 300 %}${nested}{{ 'x' if a < 0 }}${'{% endfor %}'.repeat(4)}{% endif %}${plainChatml}`
    for (const threads of [1, 2]) {
      const given = options({ threads, model: writeModel({ template: endless }) })
      writeLines(given.sources[0] as string, [
        ...sums(3),
        { messages: dialogue(...Array.from({ length: 302 }, (_, i) => `${i}`)) },
      ])
      const controller = new AbortController()
      const reason = new Error('enough')
      // Rows come in portions of 256: the endless one is under way once the files are hashed.
      const onProgress = ({ phase }: DataProgress) => {
        if (phase === 'hash') setTimeout(() => controller.abort(reason), 300)
      }
      await expect(prepareData({ ...given, onProgress, signal: controller.signal })).rejects.toBe(reason)
      expect(readdirSync(given.cache as string)).toEqual([])
    }
  })

  test('what a callback throws comes back', async () => {
    const given = options()
    const onProgress = () => {
      throw new RangeError('mine')
    }
    await expect(prepareData({ ...given, onProgress })).rejects.toThrow(RangeError)
    expect(existsSync(given.cache as string)).toBe(false)
  })

  test('progress goes up to the end in every phase', async () => {
    const seen: DataProgress[] = []
    const sources = [{ path: options().sources[0] as string, weight: 2 }]
    await prepareData({
      ...options({ sources, validation: { count: 5 } }),
      onProgress: (progress) => seen.push(progress),
    })
    expect([...new Set(seen.map(({ phase }) => phase))]).toEqual(['hash', 'split', 'encode'])
    for (const phase of ['hash', 'split', 'encode']) {
      const own = seen.filter((progress) => progress.phase === phase)
      const bytes = own.map(({ bytesDone }) => bytesDone)
      expect(bytes).toEqual(bytes.toSorted((a, b) => a - b))
      expect(bytes.at(-1)).toBe(own[0]?.bytesTotal)
    }
    expect(seen.at(-1)?.tokensDone).toBeGreaterThan(1000)
  })
})
