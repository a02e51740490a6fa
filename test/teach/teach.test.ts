import { appendFileSync, cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { previewData, type TeachingProgress, teach } from '../../lib/index.js'
import { sandboxOfFile } from '../support/sandbox.js'
import { beginEvents, json, type Received, type Script, streamOf } from '../support/scriptedServer.js'
import { passingFailures } from '../support/serverFailures.js'
import { temporaryDirectory } from '../support/temporary.js'
import { tinyModel } from '../support/tinyModel.js'
import { additions, adds, askedOf, kindOf, numbersOf, rowsOf, serverOf, writeRows } from './taughtServer.js'

/** A server, and a teaching of additions with it. */
async function setting(count = 20, script: Script = adds) {
  const server = await serverOf(script)
  const directory = temporaryDirectory()
  const questions = join(directory, 'questions.jsonl')
  writeRows(questions, additions(count))
  const out = join(directory, 'sums.jsonl')
  const teaching = { questions, teacher: { urls: [server.url], model: 'served' }, out, sampling: { maxTokens: 64 } }
  const file = (part: string) => join(directory, `sums.${part}`)
  return { server, directory, questions, out, teaching, file, asked: () => askedOf(server) }
}

const kindsOf = (requests: Received[]) => {
  const counts = { right: 0, wrong: 0, truncated: 0, none: 0 }
  for (const each of requests) counts[kindOf(each)]++
  return counts
}

test('right answers are trajectories, wrong ones are told with their reason, and truncated ones stand apart', async () => {
  const { teaching, out, file, asked, directory } = await setting()
  const summary = await teach({ ...teaching, answers: 4 })
  const kinds = kindsOf(asked())
  expect(asked()).toHaveLength(80)
  expect(summary).toMatchObject({
    out,
    complete: true,
    failed: 0,
    tokens: { prompt: 80 * 9, completion: 80 * 20 },
    counts: {
      questions: 20,
      answers: 80,
      accepted: kinds.right,
      rejected: { 'wrong-answer': kinds.wrong, 'no-answer': kinds.none },
      truncated: kinds.truncated,
      missing: 0,
    },
  })
  const kept = rowsOf(out)
  expect(kept).toHaveLength(kinds.right)
  for (const { id, messages, verdict, extracted } of kept) {
    const sum = Number(id.slice(1)) + 5
    expect(messages).toEqual([
      { role: 'user', content: `What is ${sum - 5} + 5?` },
      { role: 'assistant', content: `<think>\nI add ${sum - 5} and 5.\n</think>\n\nThe sum is \\boxed{${sum}}.` },
    ])
    expect([verdict, extracted]).toEqual(['correct', String(sum)])
  }
  // In the order of the questions and attempts.
  const order = kept.map(({ id, attempt }) => Number(id.slice(1)) * 10 + attempt)
  expect(order).toEqual(order.toSorted((a, b) => a - b))
  const rejected = rowsOf(file('rejected.jsonl'))
  expect(rejected.find(({ reason }) => reason === 'wrong-answer').detail).toMatch(/^\d+ by /)
  expect(rowsOf(file('truncated.jsonl'))).toHaveLength(kinds.truncated)
  expect(rowsOf(file('truncated.jsonl')).every(({ finish }) => finish === 'length')).toBe(true)
  expect(readdirSync(directory).sort()).toEqual([
    'questions.jsonl',
    'sums.answers',
    'sums.jsonl',
    'sums.rejected.jsonl',
    'sums.teaching.json',
    'sums.truncated.jsonl',
  ])
  const manifest = JSON.parse(readFileSync(file('teaching.json'), 'utf8'))
  expect(manifest).toMatchObject({
    format: 'branchmerge teaching',
    complete: true,
    teacher: { identity: { kind: 'chat', model: 'served' } },
    recipe: { attempts: 4, seed: 0, reasoning: 'think', sampling: { temperature: 0.6, maxTokens: 64 } },
    questions: { asked: 20, files: [{ sha256: expect.stringMatching(/^[0-9a-f]{64}$/) }] },
    files: { trajectories: { name: 'sums.jsonl', rows: kinds.right } },
  })
})

test('until-correct asks as often as it takes, and no more', async () => {
  const { teaching, asked, out } = await setting(40)
  const { counts } = await teach({ ...teaching, untilCorrect: 2, attempts: 6 })
  expect(counts.missing).toBe(0)
  const byQuestion = new Map<number, string[]>()
  for (const each of asked()) {
    const [left] = numbersOf(each)
    byQuestion.set(left, [...(byQuestion.get(left) ?? []), kindOf(each)])
  }
  expect(byQuestion.size).toBe(40)
  for (const kinds of byQuestion.values()) {
    const right = kinds.filter((kind) => kind === 'right').length
    expect(right === 2 || (right < 2 && kinds.length === 6)).toBe(true)
  }
  const most = Math.max(...[...byQuestion.values()].map(({ length }) => length))
  expect(most).toBeGreaterThan(2)
  expect(rowsOf(out)).toHaveLength(counts.accepted)
})

test('what is stored is not asked again; more answers, questions and other checks are done, and other samplings asked', async () => {
  const { teaching, asked, questions, out } = await setting(10)
  await teach({ ...teaching, limit: 5 })
  expect(asked()).toHaveLength(5)
  await expect(teach(teaching)).rejects.toMatchObject({
    code: 'ERR_OUTPUT_EXISTS',
    message: expect.stringContaining('--resume'),
  })
  await teach(teaching, { resume: true })
  expect(asked()).toHaveLength(10)
  await teach({ ...teaching, answers: 3 }, { resume: true })
  expect(asked()).toHaveLength(30)
  const before = readFileSync(out)
  expect((await teach({ ...teaching, answers: 3 }, { resume: true })).counts.answers).toBe(30)
  expect(asked()).toHaveLength(30)
  expect(readFileSync(out)).toEqual(before)
  // Another right answer: what came is checked again, and nothing asked.
  writeRows(
    questions,
    additions(10).map((row) => ({ ...row, answer: -1 })),
  )
  const other = await teach({ ...teaching, answers: 3 }, { resume: true })
  expect([other.counts.accepted, asked().length]).toEqual([0, 30])
  writeRows(questions, additions(10))
  await teach({ ...teaching, answers: 3 }, { resume: true })
  expect(readFileSync(out)).toEqual(before)
  const notes: string[] = []
  const onProgress = (progress: TeachingProgress) => void (progress.phase === 'note' && notes.push(progress.text))
  await teach({ ...teaching, answers: 3, seed: 1 }, { resume: true, onProgress })
  expect(asked()).toHaveLength(60)
  await teach(
    { ...teaching, teacher: { ...teaching.teacher, model: 'other' }, answers: 3 },
    { resume: true, onProgress },
  )
  expect([asked().length, notes]).toEqual([90, [expect.stringContaining('another teacher')]])
})

test('every failure that may pass is asked again, and none loses or doubles an answer', async () => {
  let count = 0
  const failed = new Set<string>()
  const { teaching, asked, out } = await setting(4 * passingFailures.length, (received, response) => {
    const [left] = numbersOf(received)
    if (failed.has(String(left))) return adds(received, response)
    failed.add(String(left))
    const [, script] = passingFailures[count++ % passingFailures.length] as (typeof passingFailures)[number]
    return script(received, response)
  })
  const { counts, failed: lost } = await teach(teaching)
  expect([counts.answers, counts.missing, lost]).toEqual([4 * passingFailures.length, 0, 0])
  const answers = rowsOf(out.replace('.jsonl', '.answers/answers.jsonl'))
  expect(new Set(answers.map(({ key }) => key)).size).toBe(answers.length)
  expect(asked().length).toBeGreaterThanOrEqual(2 * answers.length)
})

test('what is refused is counted, told and asked again by the next run', async () => {
  const { server, teaching, asked } = await setting(12, (received, response) => {
    if (numbersOf(received)[0] % 4 === 0) json(response, { error: { message: 'too odd' } }, 400)
    else return adds(received, response)
  })
  const first = await teach({ ...teaching, untilCorrect: 1 })
  expect(first).toMatchObject({ complete: false, failed: 3, failure: expect.stringContaining('too odd') })
  expect(first.counts.missing).toBe(3)
  const before = asked().length
  const { script } = server
  server.script = async (received, response) => {
    if (received.path.endsWith('completions') && received.body.max_tokens !== 8) await adds(received, response)
    else await script(received, response)
  }
  const second = await teach({ ...teaching, untilCorrect: 1 }, { resume: true })
  expect(second).toMatchObject({ complete: true, failed: 0, counts: { missing: 0 } })
  expect(
    asked()
      .slice(before)
      .every((each) => numbersOf(each)[0] % 4 === 0),
  ).toBe(true)
})

test('a server that is gone ends the run, and what came is written', async () => {
  let came = 0
  const { teaching, out } = await setting(60, (received, response) => {
    if (++came > 20) json(response, { error: { message: 'no such model' } }, 404)
    else return adds(received, response)
  })
  const run = teach({ ...teaching, teacher: { ...teaching.teacher, concurrency: 4 } })
  await expect(run).rejects.toMatchObject({
    code: 'ERR_ENGINE',
    message: expect.stringContaining('sums.jsonl has the'),
  })
  expect(rowsOf(out).length).toBeGreaterThan(0)
})

describe('a budget', () => {
  test.for([
    ['requests', { requests: 7 }, '--max-requests', 7],
    // An answer uses 29 tokens, and may use its prompt's bytes and 32, and 64.
    ['tokens', { tokens: 400 }, '--max-tokens-total', undefined],
    ['cost', { cost: 1 }, '--max-cost', undefined],
  ] as const)('of %s is never overrun, and what came is written', async ([name, limits, option, asks]) => {
    const { teaching, asked, out } = await setting()
    const teacher = { ...teaching.teacher, price: { input: 0, output: 5000 } }
    const limited = { ...teaching, teacher, limits }
    await expect(teach(limited)).rejects.toMatchObject({ code: 'ERR_BUDGET', message: expect.stringContaining(option) })
    const came = asked().length
    if (asks !== undefined) expect(came).toBe(asks)
    expect(came).toBeGreaterThan(2)
    expect(came).toBeLessThan(20)
    if (name === 'tokens') expect(came * 29).toBeLessThanOrEqual(400)
    if (name === 'cost') expect(came * 20 * 0.005).toBeLessThanOrEqual(1)
    expect(existsSync(out)).toBe(true)
    const all = await teach({ ...limited, limits: {} }, { resume: true })
    expect(all.counts).toMatchObject({ answers: 20, missing: 0 })
    expect(asked()).toHaveLength(20)
    expect(all.cost).toBeCloseTo((20 * 20 * 5000) / 1e6, 9)
  })
})

test('an abort rejects with its reason and keeps what came', async () => {
  const controller = new AbortController()
  let came = 0
  const { teaching, asked, out } = await setting(40, (received, response) => {
    if (++came === 15) controller.abort(new Error('enough'))
    return adds(received, response)
  })
  const teacher = { ...teaching.teacher, concurrency: 2 }
  await expect(teach({ ...teaching, teacher }, { signal: controller.signal })).rejects.toThrow('enough')
  expect(existsSync(out)).toBe(false)
  const stored = rowsOf(out.replace('.jsonl', '.answers/answers.jsonl')).length
  const before = asked().length
  await teach({ ...teaching, teacher }, { resume: true })
  expect(asked().length - before).toBe(40 - stored)
})

test('every check has its reason', async () => {
  const replies: Record<string, [text: string, finish?: string, reason?: string]> = {
    'kept as it is': ['Hello \\boxed{1}'],
    'with tags': ['<think>One.</think>\n\n\\boxed{1}'],
    'wrong number': ['\\boxed{2}', 'stop', 'wrong-answer'],
    'says nothing': ['No idea', 'stop', 'no-answer'],
    empty: ['', 'stop', 'answer-empty'],
    'thinks only': ['<think>One.</think>\n', 'stop', 'answer-empty'],
    'never ends': ['<think>One, and', 'stop', 'reasoning-unclosed'],
    nested: ['<think>One </think> or <think> two</think>\\boxed{1}', 'stop', 'tags-in-reasoning'],
    filtered: ['\\boxed{1}', 'content_filter', 'finish-reason'],
    half: ['\\boxed{1} \ufdd0', 'stop', 'unusable-characters'],
    cut: ['\\boxed{1', 'length', 'truncated'],
  }
  const { teaching, questions, out, file } = await setting(1, (received, response) => {
    const [text = '', finish] = replies[received.body.messages[0].content] ?? []
    beginEvents(response)
    response.end(streamOf([text], finish))
  })
  writeRows(
    questions,
    Object.keys(replies).map((question) => ({ question, answer: '1', grader: 'integer', labels: { kind: question } })),
  )
  await teach(teaching)
  const left = [...rowsOf(file('rejected.jsonl')), ...rowsOf(file('truncated.jsonl'))]
  const reasons = Object.fromEntries(left.map(({ messages, reason }) => [messages[0].content, reason]))
  const expected = Object.entries(replies).flatMap(([question, [, , reason]]) => (reason ? [[question, reason]] : []))
  expect(reasons).toEqual(Object.fromEntries(expected))
  expect(rowsOf(out).map(({ id, messages, labels }) => [id, messages[1].content, labels.kind])).toEqual([
    ['1', 'Hello \\boxed{1}', 'kept as it is'],
    ['2', '<think>\nOne.\n</think>\n\n\\boxed{1}', 'with tags'],
  ])
})

test('right answers are held to a quality as well, and judged again by another', async () => {
  const { teaching, questions, out, file, asked, directory } = await setting(1, (received, response) => {
    const text = received.body.messages[0].content as string
    const loop = 'Wait, let me think about it again, and once more from the beginning. '.repeat(40)
    beginEvents(response)
    response.end(
      streamOf([
        text === 'loops' ? `<think>${loop}</think>` : '',
        text === 'mixes' ? '答案是这个数字 ' : '',
        '\\boxed{1}',
      ]),
    )
  })
  writeRows(
    questions,
    ['fine', 'loops', 'mixes'].map((id) => ({ id, question: id, answer: 1, grader: 'integer' })),
  )
  const reasons = () => rowsOf(file('rejected.jsonl')).map(({ id, reason }) => [id, reason])
  await teach(teaching)
  expect(reasons()).toEqual([])
  await teach({ ...teaching, quality: { repetition: true, languages: true } }, { resume: true })
  expect(reasons()).toEqual([
    ['loops', 'repetition-loop'],
    ['mixes', 'mixed-languages'],
  ])
  const tokenizer = await tinyModel({ directory })
  await teach({ ...teaching, quality: { length: { answer: { max: 15 } } }, tokenizer }, { resume: true })
  expect([reasons(), rowsOf(out).map(({ id }) => id), asked().length]).toEqual([
    [['mixes', 'length-answer']],
    ['fine', 'loops'],
    3,
  ])
  await expect(teach({ ...teaching, quality: { length: { answer: { max: 15 } } } })).rejects.toMatchObject({
    code: 'ERR_RECIPE',
    message: expect.stringContaining('Expected tokenizer'),
  })
})

test('questions without a right answer are kept as unchecked; a default grader checks those that have one', async () => {
  const { teaching, questions, out } = await setting()
  writeRows(questions, [{ question: 'What is 1 + 5?' }, { question: 'What is 2 + 5?', answer: 7 }])
  await expect(teach(teaching)).rejects.toMatchObject({
    code: 'ERR_DATA',
    message: expect.stringMatching(/questions\.jsonl, line 2: expected grader beside answer/),
  })
  await teach({ ...teaching, grader: 'math', answers: 5 })
  const verdicts = rowsOf(out).map(({ id, verdict }) => `${id} ${verdict}`)
  expect(new Set(verdicts)).toEqual(new Set(['1 unchecked', '2 correct']))
})

test('programs are tested in the sandbox', async () => {
  const programs = await sandboxOfFile()
  await programs.close?.()
  const { teaching, questions, out, file } = await setting(1, (received, response) => {
    const sign = received.body.messages[0].content.includes('add') ? '+' : '-'
    beginEvents(response)
    response.end(streamOf([`\`\`\`python\nprint(int(input()) ${sign} 1)\n\`\`\``]))
  })
  const answer = [{ input: '1\n', output: '2\n' }]
  writeRows(questions, [
    { id: 'good', question: 'Please add one.', answer, grader: 'python-stdin' },
    { id: 'bad', question: 'Please subtract one.', answer, grader: 'python-stdin' },
  ])
  await teach({ ...teaching, sandbox: { level: 0 } })
  expect(rowsOf(out).map(({ id }) => id)).toEqual(['good'])
  expect(rowsOf(file('rejected.jsonl'))).toMatchObject([{ id: 'bad', reason: 'wrong-answer' }])
})

test.for(['think', 'field'] as const)(
  'trajectories with reasoning as %s are the same training data',
  async (reasoning) => {
    const { teaching, out, directory } = await setting(6)
    await teach({ ...teaching, reasoning, untilCorrect: 1 })
    const model = await tinyModel({ directory })
    const { samples } = await previewData({ model, sources: [out], template: 'chatml', samples: 1 })
    const text = samples[0]?.stretches.map((each) => each.text).join('')
    expect(text).toContain('<think>\nI add 0 and 5.\n</think>\n\nThe sum is \\boxed{5}.')
  },
)

test('a checkpoint teaches through llama.cpp, and its hash is its name', async () => {
  const directory = temporaryDirectory()
  const path = await tinyModel({ directory })
  const questions = join(directory, 'questions.jsonl')
  // What it writes is nonsense: what has an e in its first characters is right.
  const rows = Array.from({ length: 12 }, (_, i) => ({
    question: `Write about ${i}.`,
    grader: 'regex',
    answer: '^.{0,6}e',
  }))
  writeRows(questions, rows)
  const sampling = { temperature: 1, maxTokens: 12, stop: ['a', 'o'] }
  const teacher = { path, cache: join(directory, 'cache') }
  const teaching = { questions, teacher, out: join(directory, 'local.jsonl'), sampling, untilCorrect: 1, attempts: 3 }
  const { counts, complete } = await teach(teaching)
  expect(complete).toBe(true)
  const answers = rowsOf(join(directory, 'local.answers/answers.jsonl'))
  expect(answers.every(({ server }) => server === 'embedded')).toBe(true)
  const isRight = ({ text, finish }: { text: string; finish: string }) => finish === 'stop' && /^.{0,6}e/.test(text)
  for (const { question, attempt } of answers) {
    const before = answers.filter((each) => each.question === question && each.attempt < attempt)
    expect(before.some(isRight)).toBe(false)
  }
  const right = answers.filter(isRight)
  expect(counts).toMatchObject({ answers: answers.length, accepted: right.length })
  expect(new Set(rowsOf(teaching.out).map(({ messages }) => messages[1].content))).toEqual(
    new Set(right.map(({ text }) => text.trimEnd())),
  )
  const { teacher: named } = JSON.parse(readFileSync(join(directory, 'local.teaching.json'), 'utf8'))
  expect(named.identity).toMatchObject({ kind: 'embedded', model: expect.stringMatching(/^[0-9a-f]{16,}$/) })
  // Nothing is asked again, and a copy of the checkpoint is the same teacher.
  const copy = join(directory, 'copy')
  cpSync(path, copy, { recursive: true })
  const again = await teach({ ...teaching, teacher: { ...teacher, path: copy } }, { resume: true })
  expect([again.counts, rowsOf(join(directory, 'local.answers/answers.jsonl')).length]).toEqual([
    counts,
    answers.length,
  ])
})

test('damaged lines are told, and what was there is done again', async () => {
  const { teaching, out, asked } = await setting(8)
  await teach(teaching)
  const before = readFileSync(out)
  const path = out.replace('.jsonl', '.answers/answers.jsonl')
  const lines = readFileSync(path, 'utf8').split('\n')
  lines[3] = '\0'.repeat(30)
  writeFileSync(path, lines.join('\n'))
  appendFileSync(path, '{"v":1,"key":"torn')
  const notes: string[] = []
  const onProgress = (progress: TeachingProgress) => void (progress.phase === 'note' && notes.push(progress.text))
  await teach(teaching, { resume: true, onProgress })
  expect(notes).toEqual(['1 line of answers.jsonl cannot be read; what was there is done again'])
  expect([asked().length, readFileSync(out)]).toEqual([9, before])
})

test('files of others are not replaced', async () => {
  const { teaching, out, asked } = await setting(3)
  writeFileSync(out, 'mine')
  await expect(teach(teaching, { resume: true })).rejects.toMatchObject({ code: 'ERR_OUTPUT_EXISTS' })
  expect([readFileSync(out, 'utf8'), asked().length]).toEqual(['mine', 0])
})
