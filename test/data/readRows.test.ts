import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { parquetWriteBuffer } from 'hyparquet-writer'
import { describe, expect, test } from 'vitest'
import type { RawRow } from '../../lib/data/rawRow.js'
import { readParquet } from '../../lib/data/readParquet.js'
import { readFirstRow, readRows } from '../../lib/data/readRows.js'
import { listSourceFiles, type SourceFile } from '../../lib/data/sourceFiles.js'
import { BranchMergeError } from '../../lib/errors.js'
import { Random } from '../support/random.js'
import { temporaryDirectory } from '../support/temporary.js'

async function open(path: string): Promise<SourceFile> {
  return (await listSourceFiles([path]))[0] as SourceFile
}

/** Damaged files may trap the decoder of Parquet; it gets two seconds here. */
async function rowsOf(path: string, columns?: string[]): Promise<RawRow[]> {
  const rows: RawRow[] = []
  const file = await open(path)
  const portions = file.kind === 'parquet' ? readParquet(file, columns, 2) : readRows(file, columns)
  for await (const portion of portions) rows.push(...portion)
  return rows
}

function written(name: string, content: string | Uint8Array): string {
  const path = join(temporaryDirectory(), name)
  writeFileSync(path, content)
  return path
}

const values = (rows: RawRow[]) => rows.map(({ value }) => value)
const problems = (rows: RawRow[]) => rows.flatMap(({ problem, row, line }) => (problem ? [[row, line, problem]] : []))

const latin1 = 'the row is not UTF-8, it looks like Latin-1: convert the file, with iconv -f WINDOWS-1252 -t UTF-8'

describe('JSON Lines', () => {
  test('rows have their numbers, blank lines are none', async () => {
    const rows = await rowsOf(written('a.jsonl', '\ufeff{"a":1}\r\n\n  \n{"a":2}\n{"a":3}'))
    expect(rows.map(({ row, line, value }) => [row, line, value])).toEqual([
      [0, 1, { a: 1 }],
      [1, 4, { a: 2 }],
      [2, 5, { a: 3 }],
    ])
  })

  test('what is wrong with a row does not touch the others', async () => {
    const text = Buffer.concat([Buffer.from('{"a":1}\n{"a"\n"'), Buffer.from([0xff]), Buffer.from('"\n{"a":2}\n')])
    const rows = await rowsOf(written('a.jsonl', text))
    expect(problems(rows)).toEqual([
      [
        1,
        2,
        'the row is no JSON: an object or list that goes on in the next line. Write each row in one line, as jq -c . does',
      ],
      [2, 3, latin1],
    ])
    expect(values(rows)).toEqual([{ a: 1 }, undefined, undefined, { a: 2 }])
  })

  test('rows longer than what is read at once, and cut characters', async () => {
    const long = { text: '字'.repeat(300_000) }
    const path = written('a.jsonl', `${JSON.stringify(long)}\n${JSON.stringify({ a: 1 })}\n${JSON.stringify(long)}\n`)
    expect(values(await rowsOf(path))).toEqual([long, { a: 1 }, long])
  })

  test('a row without end is bad, not a crash', async () => {
    const rows = await rowsOf(written('a.jsonl', `{"a":1}\n"${'x'.repeat(65 * 2 ** 20)}"\n{"a":2}\n`))
    expect(problems(rows)).toEqual([[1, 2, 'the row has more than 67.1 MB']])
    expect(values(rows)).toEqual([{ a: 1 }, undefined, { a: 2 }])
  })

  test.each([
    ['{"a": ["b"', 'an object or list that goes on in the next line. Write each row in one line, as jq -c . does'],
    ["{'a': 1}", 'texts stand in " there, not in \' as Python prints them'],
    ['{"a": 1},', 'a comma stands behind it'],
    ['{"a": 1}\0', 'it holds NUL bytes'],
    ['{"a": "b}', undefined],
    ['{"a": 1}}', undefined],
  ])('why %j is no JSON', async (line, why) => {
    const [row] = await rowsOf(written('a.jsonl', `${line}\n`))
    expect(row?.problem).toBe(`the row is no JSON${why ? `: ${why}` : ''}`)
  })

  test.each([
    ['{"a":1,"b":{"a":[{"a":2}]},"c":"\\"a\\":"}', undefined],
    ['{"a":1,"a":1}', 'a'],
    ['[{"a":1},{"a":1}]', undefined],
    ['{"x":[{"a":1},{"b":"\\\\","c":",","b":2}]}', 'b'],
    ['{"a\\u0062":1,"ab":2}', 'ab'],
    ['{"__proto__":1,"constructor":2,"__proto__":3}', '__proto__'],
    ['{"x":{"a":{}},"a":[],"x":0}', 'x'],
  ])('a key that stands twice: %s', async (line, key) => {
    const [row] = await rowsOf(written('a.jsonl', `${line}\n`))
    expect(row?.problem).toBe(key && `an object of the row has the key "${key}" twice`)
  })

  test('CR alone ends lines where it ends the first', async () => {
    const lines = (text: string) => rowsOf(written('a.jsonl', text))
    expect(values(await lines('{"a":1}\r{"a":2}\r\r{"a":3}'))).toEqual([{ a: 1 }, { a: 2 }, { a: 3 }])
    expect((await lines('{"a":1}\r{"a":2}\r\r{"a":3}\r'))[2]).toMatchObject({ row: 2, line: 4 })
    expect(values(await lines('{"a":\r1}\n{"a":2}\r\n{"a":\r3}\n'))).toEqual([{ a: 1 }, { a: 2 }, { a: 3 }])
    expect(values(await lines('{"a":1}\r'))).toEqual([{ a: 1 }])
    // Windows' line ends, converted twice.
    expect(values(await lines('{"a":1}\r\r\n{"a":2}\r\r\n'))).toEqual([{ a: 1 }, { a: 2 }])
  })

  test('the CR of the first line at every place of a chunk', async () => {
    const chunk = 2 ** 18
    for (const end of ['\r', '\r\n']) {
      for (const length of [chunk - 2, chunk - 1, chunk, chunk + 1]) {
        const first = JSON.stringify({ a: 'x'.repeat(length - 8) })
        expect(first).toHaveLength(length)
        const rows = await rowsOf(written('a.jsonl', `${first}${end}{"a":2}${end}{"a":3}`))
        expect(values(rows), `${JSON.stringify(end)} ${length}`).toEqual([JSON.parse(first), { a: 2 }, { a: 3 }])
      }
    }
  })

  test('byte order marks of files that were joined', async () => {
    const text = '\ufeff{"a":"\ufeff"}\n\ufeff\n\ufeff{"a":2}\ufeff\r\n'
    expect(values(await rowsOf(written('a.jsonl', text)))).toEqual([{ a: '\ufeff' }, { a: 2 }])
  })

  test.each(['utf16le', 'utf16be'] as const)('%s with a byte order mark is read', async (encoding) => {
    const rows = Array.from({ length: 60_000 }, (_, i) => ({ i, text: 'é字😀' }))
    const little = Buffer.from(`\ufeff${rows.map((row) => JSON.stringify(row)).join('\n')}`, 'utf16le')
    const bytes = encoding === 'utf16le' ? little : Buffer.from(little).swap16()
    const read = await rowsOf(written('a.jsonl', bytes))
    expect(values(read)).toEqual(rows)
    expect(read.at(-1)).toMatchObject({ row: 59_999, line: 60_000 })
    expect(values(await rowsOf(written('a.jsonl.gz', gzipSync(bytes))))).toEqual(rows)
    await expect(rowsOf(written('a.jsonl', bytes.subarray(0, -1)))).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(/^Expected whole UTF-16[LB]E at .*, as its byte order mark says/),
    })
  })

  test.each([
    ['UTF-16', Buffer.from('{"a":1}\n', 'utf16le'), 'iconv -f UTF-16LE -t UTF-8'],
    ['UTF-16', Buffer.from('{"a":1}\n', 'utf16le').swap16(), 'iconv -f UTF-16BE -t UTF-8'],
    ['UTF-32', Buffer.from('fffe00007b000000', 'hex'), 'iconv -f UTF-32 -t UTF-8'],
    ['gzip', gzipSync('{"a":1}\n'), 'Give it a name that ends in .gz'],
    ['Zstandard', Buffer.from('28b52ffd0400', 'hex'), 'zstd -d'],
    ['xz', Buffer.from('fd377a585a0000', 'hex'), 'unxz'],
    ['bzip2', Buffer.from('BZh91AY&SY'), 'bunzip2'],
    ['zip', Buffer.from('PK\x03\x04'), 'unzip'],
    ['Parquet', parquet(1), 'Give it a name that ends in .parquet'],
    ['Git LFS', 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n', 'git lfs pull'],
    ['HTML', '\n<!DOCTYPE html><html></html>', 'Download it again'],
  ])('%s under the name of JSON Lines is named', async (kind, content, cure) => {
    await expect(rowsOf(written('a.jsonl', content))).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(new RegExp(`^Expected .*${kind}.*\\. .*${cure.replaceAll('.', '\\.')}`)),
    })
  })

  test('gzip files one after the other are one file', async () => {
    const bytes = Buffer.concat([gzipSync('{"a":1}\n{"a"'), gzipSync(':2}\n')])
    expect(values(await rowsOf(written('a.jsonl.gz', bytes)))).toEqual([{ a: 1 }, { a: 2 }])
  })

  test('gzipped, and how far it is', async () => {
    const lines = Array.from({ length: 1000 }, (_, i) => JSON.stringify({ i, text: String(Math.sin(i)) })).join('\n')
    const path = written('a.jsonl.gz', gzipSync(lines))
    const rows = await rowsOf(path)
    expect(values(rows)[999]).toEqual({ i: 999, text: String(Math.sin(999)) })
    expect(rows.at(-1)?.bytesRead).toBe((await open(path)).bytes)
  })

  test('a gzip file that is cut short is refused', async () => {
    const bytes = gzipSync(Array.from({ length: 1000 }, (_, i) => `{"i":${Math.sin(i)}}`).join('\n'))
    await expect(rowsOf(written('a.jsonl.gz', bytes.subarray(0, bytes.length / 2)))).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringContaining('Expected a whole gzip file'),
    })
    await expect(rowsOf(written('a.jsonl.gz', 'no gzip'))).rejects.toMatchObject({ code: 'ERR_DATA' })
  })
})

describe('JSON', () => {
  test.each([
    ['[]', []],
    [' [ ] \n', []],
    ['[1]', [1]],
    ['[{"a":[1,{"b":"],{\\"["}]},\n "x,y", [] , null]\n', [{ a: [1, { b: '],{"[' }] }, 'x,y', [], null]],
  ])('%s', async (text, expected) => {
    expect(values(await rowsOf(written('a.json', text)))).toEqual(expected)
  })

  test('an element that is no JSON is bad', async () => {
    const rows = await rowsOf(written('a.json', '[{"a":1}, {a:2}, {"a":3},]'))
    expect(problems(rows)).toEqual([
      [1, undefined, 'the row is no JSON'],
      [3, undefined, 'the row is no JSON'],
    ])
  })

  test('an array larger than what is read at once', async () => {
    const elements = Array.from({ length: 5000 }, (_, i) => ({ i, text: `\\"[${'é'.repeat(i % 400)}` }))
    expect(values(await rowsOf(written('a.json', JSON.stringify(elements, null, 1))))).toEqual(elements)
  })

  test.each(['[1, 2', '[{"a":"', '[1]]', '[1] {"a":1}'])('%s is refused', async (text) => {
    await expect(rowsOf(written('a.json', text))).rejects.toMatchObject({ code: 'ERR_DATA' })
  })

  test('a file of that name with lines is read by lines', async () => {
    expect(values(await rowsOf(written('a.json', '{"a":1}\n{"a":2}\n')))).toEqual([{ a: 1 }, { a: 2 }])
  })
})

/** A row group every 10 rows, with columns as data sets have them: messages are a list of structures. */
function parquet(count: number, codec: 'SNAPPY' | 'UNCOMPRESSED' = 'SNAPPY'): Uint8Array {
  const rows = Array.from({ length: count }, (_, i) => i)
  const optional = { repetition_type: 'OPTIONAL' } as const
  const text = { type: 'BYTE_ARRAY', converted_type: 'UTF8', ...optional } as const
  return new Uint8Array(
    parquetWriteBuffer({
      schema: [
        { name: 'root', num_children: 4 },
        { name: 'problem', ...text },
        { name: 'number', type: 'INT64', ...optional },
        { name: 'note', ...text },
        { name: 'messages', ...optional, converted_type: 'LIST', num_children: 1 },
        { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
        { name: 'element', ...optional, num_children: 2 },
        { name: 'role', ...text },
        { name: 'content', ...text },
      ],
      columnData: [
        { name: 'problem', data: rows.map((i) => `What is ${i}?`) },
        { name: 'number', data: rows.map((i) => BigInt(i)) },
        { name: 'note', data: rows.map((i) => (i % 3 === 0 ? null : `note ${i}`)) },
        { name: 'messages', data: rows.map((i) => (i === 14 ? null : [{ role: 'user', content: String(i) }])) },
      ],
      rowGroupSize: 10,
      codec,
    }),
  )
}

describe('Parquet', () => {
  test('rows over row groups, with null cells and BigInt', async () => {
    const rows = await rowsOf(written('a.parquet', parquet(25)))
    expect(rows.map(({ row }) => row)).toEqual(Array.from({ length: 25 }, (_, i) => i))
    expect(rows[13]?.value).toEqual({
      problem: 'What is 13?',
      number: 13n,
      note: 'note 13',
      messages: [{ role: 'user', content: '13' }],
    })
    expect(rows[14]?.value).toEqual({ problem: 'What is 14?', number: 14n, note: 'note 14' })
    expect(rows[12]?.value).toMatchObject({ number: 12n, note: null })
    expect(rows[24]?.bytesRead).toBeGreaterThan(rows[0]?.bytesRead as number)
  })

  test('bytes that are no UTF-8 make their row bad, in lists and dictionaries too', async () => {
    const bad = Uint8Array.of(0xff, 0xfe)
    const text = (value: string) => new TextEncoder().encode(value)
    const optional = { repetition_type: 'OPTIONAL' } as const
    const bytes = parquetWriteBuffer({
      schema: [
        { name: 'root', num_children: 3 },
        { name: 'prompt', type: 'BYTE_ARRAY', ...optional },
        { name: 'kind', type: 'BYTE_ARRAY', ...optional },
        { name: 'answers', ...optional, converted_type: 'LIST', num_children: 1 },
        { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
        { name: 'element', type: 'BYTE_ARRAY', ...optional },
      ],
      columnData: [
        { name: 'prompt', data: [text('a'), bad, text('é'), text('d'), null] },
        { name: 'kind', data: [text('k'), text('k'), text('k'), text('k'), text('k')] },
        { name: 'answers', data: [[text('a')], [text('b')], [text('c'), bad], [text('d')], null] },
      ],
    })
    const rows = await rowsOf(written('a.parquet', new Uint8Array(bytes)))
    expect(problems(rows)).toEqual([
      [1, undefined, 'the column prompt is not UTF-8'],
      [2, undefined, 'the column answers is not UTF-8'],
    ])
    expect(rows[3]?.value).toEqual({ prompt: 'd', kind: 'k', answers: ['d'] })
  })

  test('a pointer of Git LFS is named', async () => {
    const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n'
    await expect(rowsOf(written('a.parquet', pointer))).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringMatching(/it is a pointer of Git LFS and not the file itself\. Fetch it with git lfs pull/),
    })
  })

  test('only the columns that are wanted', async () => {
    const path = written('a.parquet', parquet(25, 'UNCOMPRESSED'))
    expect((await readFirstRow(await open(path))).columns).toEqual(['problem', 'number', 'note', 'messages'])
    expect(values(await rowsOf(path, ['problem', 'nonsense']))[24]).toEqual({ problem: 'What is 24?' })
    expect(values(await rowsOf(path, ['nonsense']))).toHaveLength(25)
  })

  test.each([
    ['empty', new Uint8Array(0)],
    ['something else', Buffer.from('PAR1 this is no parquet file PAR1')],
    ['cut short', parquet(25).subarray(0, 500)],
  ])('%s is refused', async (_, bytes) => {
    await expect(rowsOf(written('a.parquet', bytes))).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringContaining('Expected a whole Parquet file at'),
    })
  })
})

describe('damage never ends the process', () => {
  /** Some bytes changed, left out or put in. */
  function mutate(bytes: Uint8Array, random: Random): Uint8Array {
    const mutated = [...bytes]
    for (let i = 0; i <= random.below(6); i++) {
      const at = random.below(mutated.length)
      const kind = random.below(4)
      if (kind === 0) mutated.splice(at, 1 + random.below(8))
      else if (kind === 1) mutated.splice(at, 0, random.below(256), random.below(256))
      else mutated[at] = kind === 2 ? random.below(256) : (mutated[at] as number) ^ (1 << random.below(8))
    }
    return Uint8Array.from(mutated)
  }

  const text = '[{"messages":[{"role":"user","content":"é \\" [x]"}]},\n{"a":{"b":[1,2,3]}}, "s", null]'
  test.each([
    ['a.jsonl', Buffer.from(text.replaceAll('},\n', '}\n'))],
    ['a.json', Buffer.from(text)],
    ['a.jsonl.gz', gzipSync(text)],
    ['a.parquet', parquet(12)],
    ['b.parquet', parquet(12, 'UNCOMPRESSED')],
  ])('%s', async (name, original) => {
    const random = new Random(77)
    const directory = temporaryDirectory()
    for (let round = 0; round < (name.endsWith('parquet') ? 25 : 400); round++) {
      const path = join(directory, name)
      writeFileSync(path, mutate(original, random))
      try {
        const rows = await rowsOf(path)
        expect(rows.every(({ value, problem }) => (value === undefined) === (problem !== undefined))).toBe(true)
      } catch (error) {
        expect(error).toBeInstanceOf(BranchMergeError)
        expect(error).toMatchObject({ code: 'ERR_DATA' })
      }
    }
  })
})

test('a file in which the decoder never ends is given up', async () => {
  const file = await open(fileURLToPath(new URL('fixtures/endless.parquet', import.meta.url)))
  const read = async () => {
    for await (const _ of readParquet(file, undefined, 5));
  }
  await expect(read()).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: expect.stringMatching(/but its row group \d cannot be read: it takes more than 5 s/),
  })
})

test('a process that was stopped for longer than a decoder may take (Ctrl+Z, fg) reads on', async () => {
  const file = await open(written('a.parquet', parquet(25)))
  const portions = readParquet(file, undefined, 1)
  // It has asked for the footer; nothing is heard of the answer until the process goes on.
  const first = portions.next()
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2500)
  expect((await first).value).toHaveLength(10)
  await portions.return(undefined)
})

describe('the files of a source', () => {
  test('a directory, names with a star, several', async () => {
    const directory = temporaryDirectory()
    mkdirSync(join(directory, 'more'))
    for (const name of ['b.jsonl', 'a.parquet', 'README.md', 'train-2.json.gz', 'train-1.json', 'more/x.jsonl']) {
      writeFileSync(join(directory, name), '')
    }
    const names = async (...paths: string[]) =>
      (await listSourceFiles(paths.map((path) => join(directory, path)))).map(({ path }) =>
        path.slice(directory.length + 1),
      )
    expect(await names('.')).toEqual(['a.parquet', 'b.jsonl', 'train-1.json', 'train-2.json.gz'])
    expect(await names('train-*.json*')).toEqual(['train-1.json', 'train-2.json.gz'])
    expect(await names('more', 'b.jsonl')).toEqual(['more/x.jsonl', 'b.jsonl'])
  })

  test.each([
    ['a.csv', 'ERR_DATA', 'Expected a .jsonl, .json or .parquet file'],
    ['a.parquet.gz', 'ERR_DATA', 'Expected a .jsonl, .json or .parquet file'],
    ['none-*.jsonl', 'ERR_DATA', 'there are none'],
    ['empty', 'ERR_DATA', 'there are none'],
    ['missing.jsonl', 'ERR_FILE_READ', 'Cannot read'],
  ])('%s', async (name, code, message) => {
    const directory = temporaryDirectory()
    mkdirSync(join(directory, 'empty'))
    for (const present of ['a.csv', 'a.parquet.gz']) writeFileSync(join(directory, present), '')
    await expect(listSourceFiles([join(directory, name)])).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    })
  })
})
