import type { ChildProcess } from 'node:child_process'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, onTestFinished, test } from 'vitest'
import { selfSigned } from '../support/certificate.js'
import { Random } from '../support/random.js'
import { rounds } from '../support/rounds.js'
import { type CommandResult, preload, runCommand } from '../support/runCommand.js'
import {
  beginEvents,
  json,
  type Received,
  type Script,
  ScriptedServer,
  streamOf,
  withProbe,
} from '../support/scriptedServer.js'
import { temporaryDirectory } from '../support/temporary.js'
import { tinyModel } from '../support/tinyModel.js'

/** What a server is asked: `3 + 4`. */
const questionOf = ({ body }: Received): [number, number] => {
  const [, left, right] = /What is (\d+) \+ (\d+)\?/.exec(body.messages.at(-1).content) ?? []
  return [Number(left), Number(right)]
}

/** Adds right, but the model `weak` where the first number is divisible by three. */
const add: Script = (received, response) => {
  const [left, right] = questionOf(received)
  const wrong = received.body.model === 'weak' && left % 3 === 0 ? 1 : 0
  beginEvents(response)
  response.end(streamOf(['The sum is ', `\\boxed{${left + right + wrong}}.`]))
}

const slowly =
  (milliseconds: number): Script =>
  async (received, response) => {
    await sleep(milliseconds)
    if (!response.destroyed) await add(received, response)
  }

/** A server of the models `served` and `weak`, and a directory with questions in it, in which commands run. */
async function setting(script: Script = add, count = 10) {
  const server = await ScriptedServer.start(withProbe(script, { models: [{ id: 'served' }, { id: 'weak' }] }))
  onTestFinished(() => server.stop())
  const cwd = temporaryDirectory()
  writeQuestions(cwd, count)
  const run = (args: string[], options: Parameters<typeof runCommand>[1] = {}) => runCommand(args, { cwd, ...options })
  const strong = `strong=${server.url}#served`
  const weak = `weak=${server.url}#weak`
  const first = ['evaluate', '--model', strong, '--benchmark', 'questions.jsonl', '--out', 'results']
  return { server, cwd, run, strong, weak, first }
}

function writeQuestions(cwd: string, count: number, file = 'questions.jsonl'): void {
  const rows = Array.from({ length: count }, (_, i) => ({
    id: `q${i}`,
    question: `What is ${i} + 5?`,
    answer: i + 5,
    grader: 'integer',
  }))
  writeFileSync(join(cwd, file), rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
}

const recordsOf = (cwd: string, name: string, out = 'results') =>
  readFileSync(join(cwd, out, name), 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line))
const answersOf = (cwd: string) => recordsOf(cwd, 'answers.jsonl').filter(({ error }) => !error)
const keysOf = (records: { key: string }[]) => [...new Set(records.map(({ key }) => key))].sort()

/** Nothing on stderr but what this package says. */
function expectQuiet({ stderr }: CommandResult): void {
  expect(stderr).not.toMatch(/warning|\(node:|\n\s+at /i)
}

test('a first run asks, grades and stores, and tells what it will ask and what it found', async () => {
  const { server, cwd, run, first, weak } = await setting()
  const result = await run([...first, '--model', weak, '--trials', '2'])
  expect([result.code, result.stderr]).toEqual([
    0,
    expect.stringMatching(
      /^models {6}strong, weak\nbenchmarks {2}questions .*10 questions {2}2 trials .*\nanswers {5}40: /,
    ),
  ])
  expectQuiet(result)
  expect(result.stdout).toMatch(/strong +\*?100\.0 \[100\.0, 100\.0\]/)
  expect(result.stdout).toMatch(/weak +60\.0 \[/)
  expect(result.stdout).toContain('answers  40\n')
  expect(result.stdout).not.toContain('xpert')
  expect(server.asked.filter(({ body }) => body.max_tokens !== 8)).toHaveLength(40)
  expect(keysOf(answersOf(cwd))).toEqual(keysOf(recordsOf(cwd, 'grades.jsonl')))
  // Every sampler parameter is sent, and no seed twice for one model and question.
  const sent = server.asked.filter(({ body }) => body.max_tokens !== 8)
  expect(sent.every(({ body }) => body.temperature === 0.6 && body.top_p === 0.95)).toBe(true)
  expect(new Set(sent.map(({ body }) => `${body.model} ${body.seed}`)).size).toBe(40)
  expect(readdirSync(join(cwd, 'results')).sort()).toEqual(['answers.jsonl', 'evaluation.json', 'grades.jsonl'])
})

test('a server over TLS is asked where its certificate is trusted, and told of where it is not', async () => {
  const script = withProbe(add, { models: [{ id: 'served' }] })
  const server = await ScriptedServer.start(script, 0, selfSigned)
  onTestFinished(() => server.stop())
  const cwd = temporaryDirectory()
  writeQuestions(cwd, 3)
  const args = ['evaluate', '--model', `m=${server.url}#served`, '--benchmark', 'questions.jsonl', '--out', 'results']
  const refused = await runCommand(args, { cwd, env: { NODE_EXTRA_CA_CERTS: '' } })
  expect([refused.code, refused.stderr]).toEqual([
    1,
    expect.stringMatching(/https:\/\/127\.0\.0\.1.*self-signed certificate\. If you trust it.* NODE_EXTRA_CA_CERTS/),
  ])
  writeFileSync(join(cwd, 'trusted.pem'), selfSigned.cert)
  const asked = await runCommand([...args, '--resume'], { cwd, env: { NODE_EXTRA_CA_CERTS: join(cwd, 'trusted.pem') } })
  expect(asked.code, asked.stderr).toBe(0)
  expect(asked.stdout).toMatch(/100\.0/)
})

test('an evaluation is not begun twice in one directory; --resume extends it and asks nothing twice', async () => {
  const { server, cwd, run, first, weak } = await setting()
  const asked = () => server.asked.filter(({ body }) => body.max_tokens !== 8).length
  expect((await run(first)).code).toBe(0)
  const before = readFileSync(join(cwd, 'results/answers.jsonl'))
  const again = await run(first)
  expect([again.code, again.stderr]).toEqual([1, expect.stringContaining('--resume')])
  expect(again.stderr).toContain('[ERR_OUTPUT_EXISTS]')
  expect(readFileSync(join(cwd, 'results/answers.jsonl'))).toEqual(before)
  expect(asked()).toBe(10)

  const extend = async (...more: string[]) => {
    const { code, stdout, stderr } = await run([...first, '--resume', '--json', ...more])
    expect([code, stderr]).toEqual([0, expect.not.stringContaining('Note')])
    const { stored, answered } = JSON.parse(stdout)
    return [stored, answered, asked()]
  }
  expect(await extend()).toEqual([10, 0, 10])
  expect(await extend('--trials', '3')).toEqual([10, 20, 30])
  expect(await extend('--trials', '3', '--model', weak)).toEqual([30, 30, 60])
  writeQuestions(cwd, 4, 'more.jsonl')
  expect(await extend('--trials', '3', '--benchmark', 'more.jsonl')).toEqual([30, 12, 72])
  // Fewer trials count fewer answers, and lose none.
  expect(await extend('--trials', '1')).toEqual([10, 0, 72])
  expect(await extend('--trials', '3', '--model', weak, '--benchmark', 'more.jsonl')).toEqual([72, 12, 84])
  expect(keysOf(answersOf(cwd))).toHaveLength(84)
})

test('other prompts, as of another profile, are asked anew; going back asks nothing', async () => {
  const { server, cwd, run, strong } = await setting((_, response) => {
    beginEvents(response)
    response.end(streamOf(['\\boxed{7}']))
  })
  const rows = Array.from({ length: 4 }, (_, i) => ({
    id: String(i),
    problem: `Problem ${i}`,
    answer: i === 0 ? 7 : 8,
  }))
  writeFileSync(join(cwd, 'aime.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  const args = ['evaluate', '--model', strong, '--benchmark', 'aime24=aime.jsonl', '--trials', '1', '--out', 'results']
  const asked = () => server.asked.filter(({ body }) => body.max_tokens !== 8).length
  const ask = async (...more: string[]) => {
    const { code, stdout, stderr } = await run([...args, '--json', ...more])
    expect([code, stderr]).toEqual([0, expect.any(String)])
    const { results } = JSON.parse(stdout)
    return [
      results.scores.map(({ questions, passAt1 }: Record<string, number>) => [questions, passAt1]),
      asked(),
      stderr,
    ]
  }
  expect(await ask()).toEqual([[[4, 0.25]], 4, expect.not.stringContaining('Note')])
  expect(await ask('--resume', '--profile', 'paper')).toEqual([[[4, 0.25]], 8, expect.stringContaining('Note: ')])
  expect((await run(['regrade', 'results'])).code).toBe(0)
  expect((await run(['compare', 'results'])).code).toBe(0)
  expect(await ask('--resume', '--profile', 'strict')).toEqual([[[4, 0.25]], 8, expect.stringContaining('Note: ')])
  expect((await run(['regrade', 'results', '--profile', 'paper'])).code).toBe(0)
  expect((await run(['compare', 'results'])).code).toBe(0)
})

test('a file, with $schema, paths from its directory, --set and options over it', async () => {
  const { server, cwd, run } = await setting()
  mkdirSync(join(cwd, 'run'))
  writeFileSync(
    join(cwd, 'run/evaluation.yaml'),
    `$schema: ../recipes/evaluation.schema.json
out: results
models:
  strong: {urls: ['${server.url}'], model: served, price: {input: 0.5, output: 2}}
benchmarks: {mine: {path: ../questions.jsonl, trials: 2}}
sampling: {maxTokens: 100}
`,
  )
  const { code, stdout, stderr } = await run([
    'evaluate',
    'run/evaluation.yaml',
    '--set',
    'sampling.topK=20',
    '--temperature',
    '0',
    '--json',
  ])
  expect([code, stderr]).toEqual([0, expect.stringContaining('by your prices')])
  // 20 answers of 7 and 2 tokens.
  expect(JSON.parse(stdout)).toMatchObject({ answered: 20, tokens: { prompt: 140, completion: 40 } })
  expect(JSON.parse(stdout).cost).toBeCloseTo((140 * 0.5 + 40 * 2) / 1e6, 12)
  expect(answersOf(join(cwd, 'run'))).toHaveLength(20)
  expect(server.asked.at(-1)?.body).toMatchObject({ temperature: 0, top_k: 20, max_tokens: 100 })
})

test('wrong values are refused with their line or option, before anything is asked or written', async () => {
  const { server, cwd, run, first } = await setting()
  const options: [args: string[], code: number, message: string][] = [
    [['--trials', '0'], 2, '--trials: Expected an integer from 1'],
    [['--trials', '1.5'], 2, '--trials: Expected an integer'],
    [['--temperature', 'hot'], 2, '--temperature'],
    [['--temperature', '-1'], 2, '--temperature: Expected'],
    [['--top-p', '2'], 2, '--top-p: Expected'],
    [['--max-tokens', '0'], 2, '--max-tokens: Expected'],
    [['--max-tokens-total', '-5'], 2, '--max-tokens-total: Expected'],
    [['--max-cost', '1'], 2, 'Expected a price of strong'],
    [['--limit', '0'], 2, '--limit: Expected'],
    [['--seed', '-1'], 2, '--seed: Expected'],
    [['--profile', 'lax'], 2, 'profile'],
    [['--profile', 'paper'], 1, 'Expected the profile strict for questions'],
    [['--sandbox-level', '9'], 2, '--sandbox-level: Expected'],
    [['--set', 'samplign.topK=3'], 2, 'samplign'],
    [['--set', 'sampling.topK=few'], 2, '--set sampling.topK: Expected'],
    [['--set', 'sampling.topK=['], 2, '--set sampling.topK'],
    [['--benchmark', 'absent.jsonl'], 1, 'absent.jsonl'],
    [['--benchmark', 'other/questions.jsonl'], 2, 'NAME=FILE'],
    [['--model', 'x'], 2, 'NAME='],
    [['--model', 'x=http://'], 2, 'x'],
    [['--model', 'x=absent'], 1, 'absent'],
    [['--modle', 'x=y'], 2, '--modle'],
  ]
  for (const [args, code, message] of options) {
    const result = await run([...first, ...args, '--json'])
    expect([args, result.code, result.stderr]).toEqual([args, code, expect.stringContaining(message)])
    const { error } = JSON.parse(result.stdout)
    expect(error.message).toContain(message)
    expect([args, error.code === 'ERR_INVALID_ARGUMENT']).toEqual([args, code === 2])
    expectQuiet(result)
  }
  const missing = await run(['evaluate', '--model', 'a=b'])
  expect([missing.code, missing.stderr]).toEqual([2, expect.stringContaining('--benchmark, --out')])

  const lines: [line: string, message: string][] = [
    ['out: results', ''],
    ['models:', ''],
    ['  a: {urls: [7], model: x}', '[0] but received 7'],
    ['  b: 3', 'Expected a directory, a URL, or an object with path or urls'],
    ['  c: {path: c, concurency: 4}', 'did you mean concurrency?'],
    ['  d: {path: d, price: {input: -1, output: 1}}', 'received -1'],
    ['benchmarks:', ''],
    ['  e: {path: e, trails: 4}', 'did you mean trials?'],
    ['  f: {trials: 4}', 'Expected the key path'],
    ['sampling: {temperature: warm}', "received 'warm'"],
    ['limits: {tokens: 1.5}', 'received 1.5'],
    ['x: 1', 'Unknown key'],
  ]
  writeFileSync(join(cwd, 'wrong.yaml'), lines.map(([line]) => line).join('\n'))
  const wrong = await run(['evaluate', 'wrong.yaml'])
  expect(wrong.code).toBe(1)
  const told = wrong.stderr.split('\n')
  for (const [i, [, message]] of lines.entries()) {
    const line = told.find((each) => each.includes(`wrong.yaml:${i + 1}:`)) ?? ''
    expect([i + 1, line]).toEqual([i + 1, message === '' ? '' : expect.stringContaining(message)])
  }
  expect(server.asked).toEqual([])
  expect(readdirSync(cwd).sort()).toEqual(['questions.jsonl', 'wrong.yaml'])
})

test('--plan asks nothing and writes nothing', async () => {
  const { server, cwd, run, first, weak } = await setting()
  const plan = await run([...first, '--model', weak, '--trials', '3', '--max-tokens', '50', '--plan', '--json'])
  expect(plan.code).toBe(0)
  expect(JSON.parse(plan.stdout)).toMatchObject({ answers: 60, highestCompletionTokens: 3000, highestCost: null })
  const text = await run([...first, '--plan'])
  expect(text.stdout).toContain('Nothing was asked (--plan).')
  expect(server.received).toEqual([])
  expect(existsSync(join(cwd, 'results'))).toBe(false)
})

test('requests that fail are told, end with 1, and are asked again by --resume', async () => {
  const { server, cwd, run, first } = await setting((received, response) => {
    if (questionOf(received)[0] % 4 === 0) json(response, { error: { message: 'too odd' } }, 400)
    else return add(received, response)
  })
  const failed = await run([...first, '--json'])
  expect(failed.code).toBe(1)
  // One object, though it failed.
  const summary = JSON.parse(failed.stdout)
  expect(summary).toMatchObject({ answered: 7, failed: 3, error: { code: 'ERR_ENGINE' } })
  expect(failed.stderr).toMatch(
    /branchmerge: 3 of 10 answers did not come; --resume asks for them again\.\nstrong: .*too odd.* \[ERR_ENGINE\]/s,
  )
  const compared = await run(['compare', 'results'])
  expect([compared.code, compared.stdout]).toEqual([
    0,
    expect.stringContaining('Note: 3 answers of strong on questions did not come'),
  ])
  server.script = withProbe(add, { models: [{ id: 'served' }] })
  const resumed = await run([...first, '--resume', '--json'])
  expect([resumed.code, resumed.stderr]).toEqual([0, expect.any(String)])
  expect(JSON.parse(resumed.stdout)).toMatchObject({ stored: 7, answered: 3, failed: 0 })
  expect((await run(['compare', 'results'])).stdout).not.toContain('Note')
  expect(keysOf(answersOf(cwd))).toHaveLength(10)
})

test('a server that is not there is told with its address; the next run needs no --resume', async () => {
  const { server, run, first } = await setting()
  await server.stop()
  const gone = await run([...first, '--json'])
  expect([gone.code, gone.stderr]).toEqual([
    1,
    expect.stringMatching(/127\.0\.0\.1:\d+.*ECONNREFUSED.*\[ERR_ENGINE\]/s),
  ])
  expect(JSON.parse(gone.stdout).error.code).toBe('ERR_ENGINE')
  const there = await ScriptedServer.start(withProbe(add), Number(new URL(server.url).port))
  onTestFinished(() => there.stop())
  expect((await run(first)).code).toBe(0)
})

/** Calls `then` when the command has said that it asks nothing more. */
function onStop(child: ChildProcess, then: () => void): void {
  child.stderr?.on('data', (text) => String(text).includes('Asking nothing more') && then())
}

/** Runs a command and does something when the server has been asked so often. */
async function whenAsked(
  { server, run }: Awaited<ReturnType<typeof setting>>,
  args: string[],
  times: number,
  act: (child: ChildProcess) => void | Promise<void>,
): Promise<CommandResult> {
  let child: ChildProcess | undefined
  const { script } = server
  let asked = 0
  server.script = (received, response) => {
    if (received.path.endsWith('completions') && ++asked === times) void act(child as ChildProcess)
    return script(received, response)
  }
  const result = await run(args, {
    onStart: (started) => {
      child = started
    },
  })
  server.script = script
  return result
}

test('Ctrl-C asks nothing more, keeps what is on its way and exits with 130; --resume asks the rest', async () => {
  // Later answers come when it has said that it stops.
  let stops = () => {}
  const hasStopped = new Promise<void>((resolve) => {
    stops = resolve
  })
  let begun = 0
  const set = await setting(async (received, response) => {
    if (++begun >= 10) await hasStopped
    return add(received, response)
  }, 100)
  const result = await whenAsked(set, [...set.first, '--json'], 10, (child) => {
    onStop(child, stops)
    child.kill('SIGINT')
  })
  expect([result.code, result.signal]).toEqual([130, null])
  expect(result.stderr).toContain('Asking nothing more, and waiting for answers that are on their way')
  const { answered, stopped, failed } = JSON.parse(result.stdout)
  expect([stopped, failed, answered < 100]).toEqual([true, 0, true])
  const sent = set.server.asked.filter(({ body }) => body.max_tokens !== 8).length
  expect(answersOf(set.cwd)).toHaveLength(sent)
  expect(keysOf(recordsOf(set.cwd, 'grades.jsonl'))).toEqual(keysOf(answersOf(set.cwd)))
  const resumed = await set.run([...set.first, '--resume', '--json'])
  expect(JSON.parse(resumed.stdout)).toMatchObject({ stored: sent, answered: 100 - sent })
})

test.each([
  ['Ctrl-C twice', ['SIGINT', 'SIGINT'], 130],
  ['SIGTERM', ['SIGTERM'], 143],
] as const)('%s ends at once', async (_, signals, code) => {
  // Answers that never come.
  const set = await setting((received, response) => {
    if (questionOf(received)[0] < 3) return add(received, response)
  }, 60)
  const result = await whenAsked(set, [...set.first, '--json'], 6, async (child) => {
    while (!existsSync(join(set.cwd, 'results', 'grades.jsonl')) || answersOf(set.cwd).length < 3) await sleep(5)
    const [first, second] = signals
    if (second) onStop(child, () => child.kill(second))
    child.kill(first)
  })
  expect([result.code, result.signal]).toEqual([code, null])
  expect(JSON.parse(result.stdout).error.code).toBe('ERR_CANCELLED')
  expectQuiet(result)
  expect(keysOf(answersOf(set.cwd))).toHaveLength(3)
  expect(readdirSync(join(set.cwd, 'results')).sort()).toEqual(['answers.jsonl', 'evaluation.json', 'grades.jsonl'])
})

test('Ctrl-C while a server starts does not wait for it', async () => {
  const { run, cwd } = await setting()
  await tinyModel({ directory: cwd })
  writeFileSync(
    join(cwd, 'wait.js'),
    "require('node:fs').writeFileSync('started', '')\nsetTimeout(() => {}, 3_600_000)",
  )
  writeFileSync(
    join(cwd, 'evaluation.yaml'),
    `out: results\nmodels: {m: {path: model, serve: "node wait.js {model} {port}"}}\nbenchmarks: {mine: questions.jsonl}\n`,
  )
  const result = await run(['evaluate', 'evaluation.yaml'], {
    onStart: async (child) => {
      while (!existsSync(join(cwd, 'started')) && child.exitCode === null) await sleep(5)
      child.kill('SIGINT')
    },
  })
  expect([result.code, result.stderr]).toEqual([130, expect.any(String)])
})

test('kill -9 loses at most what was on its way, and nothing that was stored is asked again', async () => {
  const random = new Random(20)
  for (let round = 0; round < rounds({ all: 20, quick: 3 }); round++) {
    const set = await setting(slowly(3), 40)
    const models = ['served', 'weak'].map((name) => `{urls: ['${set.server.url}'], model: ${name}, concurrency: 4}`)
    writeFileSync(
      join(set.cwd, 'e.yaml'),
      `out: results\nmodels: {strong: ${models[0]}, weak: ${models[1]}}\nbenchmarks: {questions: questions.jsonl}\ntrials: 2\n`,
    )
    const args = ['evaluate', 'e.yaml', '--json']
    const killed = await whenAsked(set, args, 3 + Math.floor(random.uniform() * 130), async (child) => {
      await sleep(random.uniform() * 10)
      child.kill('SIGKILL')
    })
    await set.server.disconnected()
    const sent = () => set.server.asked.filter(({ body }) => body.max_tokens !== 8)
    const before = sent().length
    const stored = existsSync(join(set.cwd, 'results/answers.jsonl')) ? answersOf(set.cwd).length : 0
    // Two models, each with four requests at work and as many that follow them.
    expect(killed.signal).toBe('SIGKILL')
    expect(before - stored).toBeLessThanOrEqual(16)
    const resumed = await set.run([...args, '--resume'])
    expect([resumed.code, resumed.stderr]).toEqual([0, expect.any(String)])
    expect(JSON.parse(resumed.stdout)).toMatchObject({ wanted: 160, stored, answered: 160 - stored })
    expect(sent().length - before).toBe(160 - stored)
    expect(keysOf(answersOf(set.cwd))).toHaveLength(160)
    expect(answersOf(set.cwd)).toHaveLength(160)
    expect(keysOf(recordsOf(set.cwd, 'grades.jsonl'))).toEqual(keysOf(answersOf(set.cwd)))
    expect(readdirSync(join(set.cwd, 'results')).sort()).toEqual(['answers.jsonl', 'evaluation.json', 'grades.jsonl'])
    const scores = JSON.parse(resumed.stdout).results.scores
    expect(scores.map(({ passAt1 }: { passAt1: number }) => passAt1)).toEqual([1, 26 / 40])
  }
})

test('limits on tokens and cost end before they are passed, and keep what came', async () => {
  const { cwd, run, first, server } = await setting()
  const limited = await run([...first, '--max-tokens', '100', '--max-tokens-total', '180', '--json'])
  expect([limited.code, JSON.parse(limited.stdout).error.code]).toEqual([1, 'ERR_BUDGET'])
  expect(limited.stderr).toContain('raise --max-tokens-total and go on with --resume')
  const came = answersOf(cwd).length
  expect(came).toBeGreaterThan(0)
  expect(came).toBeLessThan(10)
  const more = await run([...first, '--max-tokens', '100', '--max-tokens-total', '4000', '--json', '--resume'])
  expect(JSON.parse(more.stdout)).toMatchObject({ stored: came, answered: 10 - came })

  writeFileSync(
    join(cwd, 'evaluation.yaml'),
    `out: paid\nmodels: {m: {urls: ['${server.url}'], model: served, price: {input: 0, output: 10000}}}
benchmarks: {mine: questions.jsonl}\nsampling: {maxTokens: 100}\nlimits: {cost: 1.05}\n`,
  )
  const paid = await run(['evaluate', 'evaluation.yaml'])
  // An answer costs 0.02, and 1 at most.
  expect([paid.code, paid.stderr]).toEqual([
    1,
    expect.stringMatching(/0\.0600 of 1\.05 are spent.*--max-cost.*\[ERR_BUDGET\]/s),
  ])
  expect(recordsOf(cwd, 'answers.jsonl', 'paid')).toHaveLength(3)
})

test('two processes do not write to one directory', async () => {
  const set = await setting(slowly(4000), 40)
  let second: Promise<CommandResult> | undefined
  const result = await whenAsked(set, set.first, 5, () => {
    second = set.run(['regrade', 'results', '--json'])
  })
  expect(result.code).toBe(0)
  const refused = (await second) as CommandResult
  expect([refused.code, refused.stderr]).toEqual([
    1,
    expect.stringMatching(/Process \d+ on .* is writing to .*results.*\[ERR_EVALUATION\]/s),
  ])
  expect(answersOf(set.cwd)).toHaveLength(40)
})

test('damaged lines are told and asked again', async () => {
  const { cwd, run, first } = await setting()
  await run(first)
  const path = join(cwd, 'results/answers.jsonl')
  const lines = readFileSync(path, 'utf8').split('\n')
  lines[2] = lines[2]?.slice(0, 50) as string
  writeFileSync(path, lines.join('\n'))
  appendFileSync(path, '{"v":1,"key":"torn')
  appendFileSync(join(cwd, 'results/grades.jsonl'), '\0\0\0\n')
  const compared = await run(['compare', 'results'])
  expect([compared.code, compared.stdout]).toEqual([0, expect.stringContaining('1 damaged line of grades.jsonl')])
  const resumed = await run([...first, '--resume', '--json'])
  expect(JSON.parse(resumed.stdout)).toMatchObject({ stored: 9, answered: 1 })
  expect(resumed.stderr).toContain('Note: 1 line of answers.jsonl cannot be read; what was there is done again')
  writeFileSync(join(cwd, 'results/evaluation.json'), '{"format":')
  for (const command of [
    [...first, '--resume'],
    ['regrade', 'results'],
    ['compare', 'results'],
  ]) {
    const { code, stderr } = await run(command)
    expect([code, stderr]).toEqual([1, expect.stringMatching(/evaluation\.json.*\[ERR_EVALUATION\]/s)])
  }
})

test('a disk that fills ends the run; what is stored stays, and --resume goes on', async () => {
  const { cwd, run, first } = await setting(add, 40)
  const full = await run([...first, '--json'], { env: { NODE_OPTIONS: preload('fullForAnswers.js') } })
  expect([full.code, full.stderr]).toEqual([1, expect.stringMatching(/answers\.jsonl.*\[ERR_DISK_FULL\]/s)])
  expect(JSON.parse(full.stdout).error.code).toBe('ERR_DISK_FULL')
  expectQuiet(full)
  const stored = answersOf(cwd).length
  expect(stored).toBeGreaterThan(0)
  const resumed = await run([...first, '--resume', '--json'])
  expect(JSON.parse(resumed.stdout)).toMatchObject({ stored, answered: 40 - stored, failed: 0 })
  expect(keysOf(answersOf(cwd))).toHaveLength(40)
})

test('many requests of several models at a time warn of nothing', async () => {
  const { server, cwd, run } = await setting(slowly(30), 60)
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l']
  const models = names.map((name) => `  ${name}: {urls: ['${server.url}'], model: served, concurrency: 32}\n`).join('')
  writeFileSync(join(cwd, 'e.yaml'), `out: results\nmodels:\n${models}benchmarks: {mine: questions.jsonl}\n`)
  const result = await run(['evaluate', 'e.yaml'])
  expect([result.code, result.stderr]).toEqual([0, expect.any(String)])
  expect(server.mostOutstanding).toBeGreaterThan(48)
  expectQuiet(result)
})

test('regrade refuses a file that changed or is gone, and grades again when it is back', async () => {
  const { server, cwd, run, first } = await setting()
  await run(first)
  const grades = readFileSync(join(cwd, 'results/grades.jsonl'))
  const path = join(cwd, 'questions.jsonl')
  const questions = readFileSync(path)
  const asked = server.asked.length
  writeQuestions(cwd, 11)
  const changed = await run(['regrade', 'results', '--json'])
  expect([changed.code, changed.stderr]).toEqual([1, expect.stringMatching(/questions.*SHA-256.*\[ERR_BENCHMARK\]/s)])
  renameSync(path, join(cwd, 'moved.jsonl'))
  const gone = await run(['regrade', 'results'])
  expect([gone.code, gone.stderr]).toEqual([1, expect.stringContaining('questions.jsonl')])
  expect(readFileSync(join(cwd, 'results/grades.jsonl'))).toEqual(grades)
  writeFileSync(path, questions)
  const wrong = grades.toString().replaceAll('"status":"correct"', '"status":"wrong"')
  writeFileSync(join(cwd, 'results/grades.jsonl'), wrong)
  const again = await run(['regrade', 'results', '--json'])
  expect([again.code, JSON.parse(again.stdout)]).toEqual([
    0,
    { graded: 10, changed: 10, changes: { questions: { 'wrong → correct': 10 } } },
  ])
  expect((await run(['regrade', 'results'])).stdout).toBe('Graded 10 answers of results again; 0 changed\n')
  expect(server.asked).toHaveLength(asked)
  const none = await run(['regrade', 'absent'])
  expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('it has no evaluation.json')])
  expect(existsSync(join(cwd, 'absent'))).toBe(false)
})

test('a file of a benchmark that changed is refused by --resume too', async () => {
  const { cwd, run, first } = await setting()
  await run(first)
  writeQuestions(cwd, 11)
  const { code, stderr } = await run([...first, '--resume'])
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(/questions was asked from other files before.*\[ERR_EVALUATION\]/s),
  ])
})

test('compare of one directory and of several, with report files', async () => {
  const { cwd, run, first, weak } = await setting()
  await run([...first, '--trials', '2'])
  const other = ['evaluate', '--model', weak, '--benchmark', 'questions.jsonl', '--trials', '2', '--out', 'other']
  await run(other)
  const result = await run(['compare', 'results', 'other', '--baseline', 'strong', '--out', 'report', '--json'])
  expect([result.code, result.stderr]).toEqual([0, ''])
  const { differences, files } = JSON.parse(result.stdout)
  expect(differences).toMatchObject([{ model: 'weak', delta: -0.4 }])
  expect(files.sort()).toEqual(
    readdirSync(join(cwd, 'report'))
      .map((name) => join('report', name))
      .sort(),
  )
  expect(files).toEqual(expect.arrayContaining(['report/report.html', 'report/tables.md', 'report/scores.csv']))
  const unknown = await run(['compare', 'results', '--baseline', 'base', '--json'])
  expect([unknown.code, unknown.stderr]).toEqual([2, expect.stringContaining('Expected one of strong for baseline')])
  expect(JSON.parse(unknown.stdout).error.code).toBe('ERR_INVALID_ARGUMENT')
  const twice = await run(['compare', 'results', 'results'])
  expect([twice.code, twice.stderr]).toEqual([1, expect.stringContaining('[ERR_EVALUATION]')])
  const none = await run(['compare', 'absent'])
  expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('it has no evaluation.json')])
  // Below the directory without --out.
  rmSync(join(cwd, 'report'), { recursive: true })
  expect((await run(['compare', 'results'])).stdout).toContain('results/report/report.html')
})
