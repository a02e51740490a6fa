import { createHash } from 'node:crypto'
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { readBatchLine } from '../../lib/engines/batch/batchLine.js'
import { teach } from '../../lib/index.js'
import { recipeObject } from '../../lib/recipe/recipe.js'
import { outputPaths } from '../../lib/teach/outputPaths.js'
import { resolveTeaching } from '../../lib/teach/resolveTeaching.js'
import { TeachingRun } from '../../lib/teach/runTeaching.js'
import { planTeaching } from '../../lib/teach/teach.js'
import { TeachingStore } from '../../lib/teach/teachingStore.js'
import { writeBatch } from '../../lib/teach/writeBatch.js'
import { rounds } from '../support/rounds.js'
import { runCommand } from '../support/runCommand.js'
import { temporaryDirectory } from '../support/temporary.js'
import { additions, adds, askedOf, kindOf, numbersOf, rowsOf, serverOf, writeRows } from './taughtServer.js'

function setting(count: number) {
  const directory = temporaryDirectory()
  const questions = join(directory, 'questions.jsonl')
  writeRows(questions, additions(count))
  const out = join(directory, 'sums.jsonl')
  const teaching = { questions, teacher: { model: 'served' }, out, sampling: { maxTokens: 64 } }
  return { directory, questions, out, teaching, requests: (n = 1) => join(directory, `requests${n}`) }
}

/** What a batch API does with a request: answers it as the scripted server does, or fails, or passes it over. */
type Fate = 'answered' | 'failed' | 'expired' | 'broken' | 'left out'

// biome-ignore lint/suspicious/noExplicitAny: lines of requests
const fateOf = ({ custom_id }: any, round: number): Fate => {
  const byte = createHash('sha256').update(`${custom_id} ${round}`).digest()[0] as number
  if (byte < 200) return 'answered'
  return byte < 215 ? 'failed' : byte < 230 ? 'expired' : byte < 240 ? 'broken' : 'left out'
}

// biome-ignore lint/suspicious/noExplicitAny: lines of requests
function resultOf({ custom_id, body }: any, fate: Fate): [file: 'output' | 'errors', line: object] {
  const received = { method: 'POST', path: '', headers: {}, body }
  const [left, right] = numbersOf(received)
  if (fate === 'expired') {
    return ['errors', { id: 'x', custom_id, response: null, error: { code: 'batch_expired', message: 'too late' } }]
  }
  if (fate === 'failed') {
    return [
      'errors',
      { custom_id, response: { status_code: 500, body: { error: { message: 'worker died' } } }, error: null },
    ]
  }
  if (fate === 'broken')
    return ['output', { custom_id, response: { status_code: 200, body: { choices: [] } }, error: null }]
  const kind = kindOf(received)
  const reasoning_content = `I add ${left} and ${right}.`
  const content =
    kind === 'right' || kind === 'wrong'
      ? `The sum is \\boxed{${left + right + (kind === 'wrong' ? 1 : 0)}}.`
      : kind === 'none'
        ? 'I do not know.'
        : ''
  const message = { role: 'assistant', content, reasoning_content }
  const choice = { index: 0, message, finish_reason: kind === 'truncated' ? 'length' : 'stop' }
  const usage = { prompt_tokens: 9, completion_tokens: 20 }
  const response = { status_code: 200, request_id: 'r', body: { created: 1_700_000_000, choices: [choice], usage } }
  return ['output', { id: 'y', custom_id, response, error: null }]
}

/** Carries out files of requests, and gives its files of results, out of order. */
function batchApi(directory: string, round: number): string[] {
  const written = { output: [] as string[], errors: [] as string[] }
  for (const name of readdirSync(directory).sort()) {
    for (const request of rowsOf(join(directory, name))) {
      expect(request).toMatchObject({ method: 'POST', url: '/v1/chat/completions', body: { model: 'served' } })
      const fate = fateOf(request, round)
      if (fate === 'left out') continue
      const [file, line] = resultOf(request, fate)
      written[file].push(JSON.stringify(line))
    }
  }
  return Object.entries(written).map(([name, lines]) => {
    const path = `${directory}.${name}.jsonl`
    // The last line without a newline.
    writeFileSync(path, lines.reverse().join('\n'))
    return path
  })
}

test('questions go to a batch API and back until each has an answer, as if it had been called', async () => {
  const count = rounds({ all: 12_000, quick: 1000 })
  const { teaching, out, requests, directory } = setting(count)
  const asked = { ...teaching, untilCorrect: 1, attempts: 5 }
  let total = 0
  for (let round = 1; ; round++) {
    const { files, requests: written, held } = await teach(asked, { writeBatch: requests(round) })
    expect([files.length, held]).toEqual([Math.ceil(written / 50_000), 0])
    if (written === 0) break
    expect(files.every((file) => file.requests <= 50_000 && file.bytes <= 200_000_000)).toBe(true)
    const lines = files.flatMap(({ path }) => rowsOf(path))
    expect(new Set(lines.map(({ custom_id }) => custom_id)).size).toBe(written)
    expect(lines.every(({ custom_id }) => /^[\w-]{1,64}$/.test(custom_id))).toBe(true)
    const fates = lines.map((line) => fateOf(line, round))
    const countOf = (fate: Fate) => fates.filter((each) => each === fate).length
    const { batch, failed } = await teach(asked, { readBatch: batchApi(requests(round), round) })
    const lost = countOf('failed') + countOf('expired') + countOf('broken')
    expect([batch?.answers, failed, batch?.lines]).toEqual([countOf('answered'), lost, countOf('answered') + lost])
    if (round === 1) {
      expect(batch?.failures).toMatchObject({
        'the request failed: too late': countOf('expired'),
        'HTTP 500: worker died': countOf('failed'),
      })
    }
    total += countOf('answered')
  }
  const manifest = JSON.parse(readFileSync(join(directory, 'sums.teaching.json'), 'utf8'))
  expect(manifest).toMatchObject({
    complete: true,
    counts: { answers: total, missing: 0 },
    teacher: { identity: { model: 'served' } },
  })
  // A server with the same teacher has nothing to add, and would have given the same.
  const server = await serverOf(adds)
  const called = { ...asked, teacher: { urls: [server.url], model: 'served' } }
  const before = readFileSync(out)
  await teach(called, { resume: true })
  expect([askedOf(server).length, readFileSync(out).equals(before)]).toEqual([0, true])
  if (count < 12_000) {
    await teach({ ...called, out: join(directory, 'called.jsonl') })
    expect(readFileSync(join(directory, 'called.jsonl')).equals(before)).toBe(true)
  }
})

test('results that were read before are known; a line that is none of this teaching is refused, and nothing read', async () => {
  const { teaching, requests, out } = setting(40)
  await teach(teaching, { writeBatch: requests() })
  const results = batchApi(requests(), 1)
  const [output = ''] = results
  const lines = readFileSync(output, 'utf8').split('\n')
  const wrong: [line: string, message: string][] = [
    [
      '{"custom_id": "0-abc", "response": {}}',
      'line 2: expected the custom_id of an answer of this teaching but received "0-abc"',
    ],
    ['{"response": {"status_code": 200}}', 'line 2: expected a text for custom_id but there is none'],
    ['{"custom_id": 7}', 'line 2: expected a text for custom_id but it is none'],
    ['{"custom_id":', 'line 2: expected JSON'],
    ['[]', 'line 2: expected an object'],
    // Of an attempt that is not asked for.
    [(lines[0] as string).replace('"0-', '"1-'), 'line 2: expected the custom_id'],
  ]
  for (const [line, message] of wrong) {
    const path = `${output}.wrong`
    writeFileSync(path, `${lines[0]}\n${line}\n`)
    await expect(teach(teaching, { readBatch: [path] })).rejects.toMatchObject({
      code: 'ERR_DATA',
      message: expect.stringContaining(`${path}, ${message}`),
    })
  }
  await expect(teach(teaching, { readBatch: [`${output}.absent`] })).rejects.toMatchObject({ code: 'ERR_FILE_READ' })
  const other = { ...teaching, sampling: { maxTokens: 65 } }
  await expect(teach(other, { readBatch: results })).rejects.toMatchObject({ code: 'ERR_DATA' })
  expect(existsSync(out)).toBe(false)
  appendFileSync(output, `\n\n${lines[0]}`)
  const first = await teach(teaching, { readBatch: results })
  expect(first.batch).toMatchObject({ known: 1 })
  const before = readFileSync(out)
  const again = await teach(teaching, { readBatch: results })
  expect(again.batch).toMatchObject({ answers: 0, known: (first.batch?.answers ?? 0) + 1 })
  expect(readFileSync(out)).toEqual(before)
})

test('limits hold back what may pass them, and a directory with files is not written to', async () => {
  const { teaching, requests } = setting(20)
  const some = await teach({ ...teaching, limits: { requests: 7 } }, { writeBatch: requests(1) })
  expect([some.requests, some.held]).toEqual([7, 13])
  const few = { ...teaching, teacher: { model: 'served', price: { input: 0, output: 1e4 } }, limits: { cost: 2 } }
  // An answer costs 0.64 at most.
  expect(await teach(few, { writeBatch: requests(2) })).toMatchObject({
    requests: 3,
    held: 17,
    highest: { cost: 1.92 },
  })
  await expect(teach(teaching, { writeBatch: requests(1) })).rejects.toMatchObject({
    code: 'ERR_OUTPUT_EXISTS',
    // Nothing that this command cannot do.
    message: expect.stringMatching(/holds requests-0001\.jsonl\. Choose another\.$/),
  })
  mkdirSync(requests(3))
  expect((await teach(teaching, { writeBatch: requests(3) })).requests).toBe(20)
  await expect(teach({ ...teaching, teacher: temporaryDirectory() }, { writeBatch: requests(4) })).rejects.toThrow()
  await expect(teach(teaching)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' })
})

test('files are as large as a batch API takes, in requests and bytes', async () => {
  const { teaching, requests, out } = setting(50)
  const signal = new AbortController().signal
  const { resolved, questions, checks } = await planTeaching(resolveTeaching(recipeObject(teaching)), { signal })
  const store = await TeachingStore.open(outputPaths(out), false)
  try {
    const running = { store, programs: undefined, signal, stop: signal, onProgress: () => {} }
    for (const [limits, number] of [
      [{ requests: 7, bytes: 1e6 }, 1],
      [{ requests: 1000, bytes: 2000 }, 2],
    ] as const) {
      const { files, requests: all } = await writeBatch(
        new TeachingRun(resolved, questions, checks, running),
        requests(number),
        limits,
      )
      expect(all).toBe(50)
      expect(files.length).toBeGreaterThan(7)
      for (const { path, requests: held, bytes, sha256 } of files) {
        const content = readFileSync(path)
        expect([held <= limits.requests, content.length <= limits.bytes]).toEqual([true, true])
        expect([content.length, rowsOf(path).length]).toEqual([bytes, held])
        expect(createHash('sha256').update(content).digest('hex')).toBe(sha256)
      }
    }
    const tiny = writeBatch(new TeachingRun(resolved, questions, checks, running), requests(3), {
      requests: 10,
      bytes: 100,
    })
    await expect(tiny).rejects.toMatchObject({ code: 'ERR_DATA' })
    expect(readdirSync(requests(3))).toEqual([])
  } finally {
    await store.close()
  }
})

test('parameters that OpenAI refuses are written only where they change something', async () => {
  const { teaching, requests } = setting(1)
  const bodyOf = async (sampling: object, round: number) => {
    await teach({ ...teaching, sampling: { maxTokens: 64, ...sampling } }, { writeBatch: requests(round) })
    return rowsOf(join(requests(round), 'requests-0001.jsonl'))[0].body
  }
  expect(await bodyOf({}, 1)).toEqual({
    model: 'served',
    messages: [{ role: 'user', content: 'What is 0 + 5?' }],
    max_tokens: 64,
    temperature: 0.6,
    top_p: 0.95,
    presence_penalty: 0,
    frequency_penalty: 0,
    seed: expect.any(Number),
  })
  const more = await bodyOf({ topK: 20, minP: 0.1, repetitionPenalty: 1.1, stop: ['###'] }, 2)
  expect(more).toMatchObject({ top_k: 20, min_p: 0.1, repetition_penalty: 1.1, stop: ['###'] })
})

test('the command writes and reads, and exits with 1 where requests failed', async () => {
  const { directory: cwd, requests } = setting(40)
  const args = ['teach', 'questions.jsonl', '--model', 'served', '--out', 'sums.jsonl', '--max-tokens', '64']
  const written = await runCommand([...args, '--write-batch', 'requests1'], { cwd })
  expect([written.code, written.stdout]).toEqual([0, expect.stringMatching(/requests-0001\.jsonl {2}40 requests/)])
  const results = batchApi(requests(), 1)
  const read = await runCommand([...args, '--read-batch', ...results], { cwd })
  expect([read.code, read.stdout]).toEqual([1, expect.stringMatching(/^batch +\d+ lines, \d+ new answers\n/)])
  expect(read.stderr).toMatch(/--write-batch writes requests for them again\.\n.* \[ERR_ENGINE\]/s)
  expect(read.stdout).toMatch(/batch +\d+ failed: HTTP 500: worker died/)
})

describe('lines of results', () => {
  const body = { choices: [{ message: { content: 'Yes' }, finish_reason: 'stop' }] }
  test.for<[line: object, outcome: object]>([
    [{ response: { status_code: 200, body } }, { answer: { text: 'Yes', finish: 'stop', usage: { exact: false } } }],
    [{ response: { status_code: 200, body: JSON.stringify(body) } }, { answer: { text: 'Yes' } }],
    [{ response: { body } }, { answer: { text: 'Yes' } }],
    [{ response: { status_code: 429, body: { error: 'slow down' } } }, { failure: 'HTTP 429: slow down' }],
    [{ response: { status_code: 200, body: null } }, { failure: 'the response has no body' }],
    [{ response: { status_code: 200, body: 'null' } }, { failure: 'the response has no body' }],
    [{ response: { status_code: 200, body: {} } }, { failure: expect.stringContaining('without a finish_reason') }],
    [
      { response: { status_code: 200, body: { error: { message: 'died' } } } },
      { failure: expect.stringContaining('died') },
    ],
    [{ response: null, error: null }, { failure: 'there is no response' }],
    [{ error: { message: 'expired' } }, { failure: 'the request failed: expired' }],
  ])('%j', ([line, outcome]) => {
    expect(readBatchLine(JSON.stringify({ custom_id: 'c', ...line }))).toMatchObject({ customId: 'c', outcome })
  })
})
