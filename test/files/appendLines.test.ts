import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { LineAppender, readLines } from '../../lib/files/appendLines.js'
import { Random } from '../support/random.js'
import { temporaryDirectory } from '../support/temporary.js'

async function linesOf(path: string): Promise<string[]> {
  const lines: string[] = []
  for await (const { text } of readLines(path)) lines.push(text)
  return lines
}

test('lines are read as they were appended, whatever separates lines elsewhere', async () => {
  const path = join(temporaryDirectory(), 'lines.jsonl')
  const texts = ['', 'plain', 'a\u2028b\u2029c\u0085d', 'é\u{1f600}', 'x'.repeat(3 * 2 ** 20), '\r', 'end']
  const file = await LineAppender.open(path)
  await Promise.all(texts.map((text) => file.append(text)))
  await file.close()
  expect(await linesOf(path)).toEqual(texts)
})

test('every line starts at its offset', async () => {
  const path = join(temporaryDirectory(), 'lines.jsonl')
  const random = new Random(3)
  const texts = Array.from({ length: 400 }, () => 'ü'.repeat(Math.floor(random.uniform() * 9000)))
  writeFileSync(path, texts.map((text) => `${text}\n`).join(''))
  const bytes = readFileSync(path)
  let count = 0
  for await (const { text, offset } of readLines(path)) {
    expect(bytes.subarray(offset, offset + Buffer.byteLength(text)).toString()).toBe(text)
    expect(offset === 0 || bytes[offset - 1] === 0x0a).toBe(true)
    count++
  }
  expect(count).toBe(400)
})

test('a line that was cut off is not read, and the next writer removes it', async () => {
  const path = join(temporaryDirectory(), 'lines.jsonl')
  for (const torn of ['{"v":1', 'x'.repeat(2 ** 21)]) {
    writeFileSync(path, `first\n${torn}`)
    expect(await linesOf(path)).toEqual(['first'])
    const file = await LineAppender.open(path)
    await file.append('second')
    await file.close()
    expect(readFileSync(path, 'utf8')).toBe('first\nsecond\n')
  }
})

test('a file without a newline is empty, one that is not there has no lines and is not made by reading', async () => {
  const path = join(temporaryDirectory(), 'lines.jsonl')
  expect(await linesOf(path)).toEqual([])
  expect(existsSync(path)).toBe(false)
  appendFileSync(path, 'torn')
  const file = await LineAppender.open(path)
  await file.close()
  expect(readFileSync(path, 'utf8')).toBe('')
})

test('a full disk is told to whoever appends, then and later', async () => {
  const file = await LineAppender.open('/dev/full')
  const failure = { code: 'ERR_DISK_FULL', message: expect.stringContaining('/dev/full') }
  await expect(file.append('x')).rejects.toMatchObject(failure)
  await expect(file.append('y')).rejects.toMatchObject(failure)
  await expect(file.close()).rejects.toMatchObject(failure)
})

test('a directory in place of a file is refused', async () => {
  const directory = temporaryDirectory()
  await expect(LineAppender.open(directory)).rejects.toMatchObject({ code: 'ERR_OUTPUT_WRITE' })
  await expect(linesOf(directory)).rejects.toMatchObject({ code: 'ERR_FILE_READ' })
})
