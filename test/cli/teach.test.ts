import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { Random } from '../support/random.js'
import { rounds } from '../support/rounds.js'
import { type CommandResult, preload, runCommand } from '../support/runCommand.js'
import type { Script } from '../support/scriptedServer.js'
import { temporaryDirectory } from '../support/temporary.js'
import { additions, adds, askedOf, numbersOf, rowsOf, serverOf, writeRows } from '../teach/taughtServer.js'

const slowly =
  (milliseconds: number): Script =>
  async (received, response) => {
    await sleep(milliseconds)
    if (!response.destroyed) await adds(received, response)
  }

/** A server, and a directory with questions in it, in which commands run. */
async function setting(script: Script = adds, count = 20) {
  const server = await serverOf(script)
  const cwd = temporaryDirectory()
  writeRows(join(cwd, 'questions.jsonl'), additions(count))
  const run = (args: string[], options: Parameters<typeof runCommand>[1] = {}) => runCommand(args, { cwd, ...options })
  const first = ['teach', 'questions.jsonl', '--server', server.url, '--out', 'sums.jsonl', '--max-tokens', '64']
  return { server, cwd, run, first, asked: () => askedOf(server) }
}

const outputs = ['sums.jsonl', 'sums.rejected.jsonl', 'sums.truncated.jsonl'] as const
const bytesOf = (cwd: string) => outputs.map((name) => readFileSync(join(cwd, name), 'utf8'))
const answersOf = (cwd: string) => {
  const path = join(cwd, 'sums.answers/answers.jsonl')
  return existsSync(path) ? rowsOf(path).filter(({ error }) => !error) : []
}

/** Nothing on stderr but what this package says. */
const expectQuiet = ({ stderr }: CommandResult): void => expect(stderr).not.toMatch(/warning|\(node:|\n\s+at /i)

test('a first run tells what it will ask and what became of it, and leaves nothing else', async () => {
  const { cwd, run, first, asked } = await setting()
  const result = await run([...first, '--until-correct', '1', '--attempts', '5', '--price', '0.5,2'])
  expect([result.code, result.stderr]).toEqual([
    0,
    expect.stringMatching(
      /^teacher {4}http.*\nquestions {2}20, 20 of them .*; until 1 of at most 5 answers are accepted\n/,
    ),
  ])
  expectQuiet(result)
  const kept = rowsOf(join(cwd, 'sums.jsonl')).length
  expect(result.stdout).toContain(`answers    ${asked().length}\n`)
  expect(result.stdout).toMatch(new RegExp(`accepted +${kept} \\(\\d+\\.\\d %\\)`))
  expect(result.stdout).toMatch(/rejected +\d+ wrong-answer\n/)
  expect(result.stdout).toMatch(/cost +\d+\.\d\d\n/)
  expect(result.stdout).toContain('What was accepted is in sums.jsonl')
  const names = [...outputs, 'questions.jsonl', 'sums.answers', 'sums.teaching.json']
  expect(readdirSync(cwd).sort()).toEqual(names.toSorted())
  expect(readdirSync(join(cwd, 'sums.answers')).sort()).toEqual(['answers.jsonl', 'checks.jsonl', 'teaching.json'])
})

test('a file, with paths from its directory, --set and options over it', async () => {
  const { server, cwd, run, asked } = await setting()
  mkdirSync(join(cwd, 'run'))
  const teacher = `{urls: ['${server.url}'], model: served, price: {input: 0, output: 1}}`
  writeFileSync(
    join(cwd, 'run/teaching.yaml'),
    `$schema: ../recipes/teaching.schema.json\nquestions: ../questions.jsonl\nteacher: ${teacher}\nout: sums.jsonl\nanswers: 3\n`,
  )
  const plan = await run(['teach', 'run/teaching.yaml', '--plan', '--json'])
  expect(JSON.parse(plan.stdout)).toMatchObject({ questions: 20, checked: 20, answers: { least: 60, most: 60 } })
  expect([asked().length, existsSync(join(cwd, 'run/sums.jsonl'))]).toEqual([0, false])
  const { code, stdout } = await run([
    ...['teach', 'run/teaching.yaml', '--set', 'sampling.topK=20', '--answers', '2', '--limit', '5', '--json'],
  ])
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ complete: true, counts: { questions: 5, answers: 10 } })
  expect(asked().at(-1)?.body).toMatchObject({ top_k: 20 })
})

test('wrong values are refused, before anything is asked or written', async () => {
  const { server, cwd, run, first } = await setting()
  const options: [args: string[], code: number, message: string][] = [
    [['--answers', '0'], 2, '--answers: Expected an integer from 1'],
    [['--answers', '2', '--until-correct', '1'], 2, 'Expected answers or untilCorrect, not both'],
    [['--attempts', '2'], 2, 'Expected attempts only beside untilCorrect'],
    [['--until-correct', '3', '--attempts', '2'], 2, 'Expected attempts of untilCorrect (3) or more'],
    [['--grader', 'maths'], 2, 'did you mean math?'],
    [['--price', '3'], 2, 'INPUT,OUTPUT'],
    [['--max-cost', '1'], 1, 'Expected a price of the teacher'],
    [['--max-requests', '0.5'], 2, '--max-requests: Expected an integer'],
    [['--temperature', '-1'], 2, '--temperature: Expected'],
    [['--reasoning', 'none'], 2, 'reasoning'],
    [['--set', 'teacher.concurency=2'], 2, 'did you mean concurrency?'],
    [['--write-batch', 'a', '--read-batch', 'b'], 2, 'Expected writeBatch or readBatch, not both'],
    [['--modle', 'x'], 2, '--modle'],
  ]
  for (const [args, code, message] of options) {
    const result = await run([...first, ...args, '--json'])
    expect([args, result.code, result.stderr]).toEqual([args, code, expect.stringContaining(message)])
    expect(JSON.parse(result.stdout).error.message).toContain(message)
    expectQuiet(result)
  }
  const ending = await run(['teach', 'questions.jsonl', '--server', server.url, '--out', 'sums.json'])
  expect([ending.code, ending.stderr]).toEqual([2, expect.stringContaining('Expected a path that ends in .jsonl')])
  const missing = await run(['teach', 'questions.jsonl'])
  expect([missing.code, missing.stderr]).toEqual([2, expect.stringContaining('--model and --out')])
  const absent = await run(['teach', 'absent.jsonl', '--server', server.url, '--out', 'x.jsonl'])
  expect([absent.code, absent.stderr]).toEqual([1, expect.stringContaining('absent.jsonl')])
  const model = await run(['teach', 'questions.jsonl', '--model', 'absent', '--out', 'x.jsonl'])
  expect([model.code, model.stderr]).toEqual([1, expect.stringContaining('absent')])
  expect([server.asked, readdirSync(cwd)]).toEqual([[], ['questions.jsonl']])
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

test('Ctrl-C asks nothing more, keeps what is on its way, writes it and exits with 130; --resume asks the rest', async () => {
  // Later answers come when it has said that it stops.
  let stops = () => {}
  const hasStopped = new Promise<void>((resolve) => {
    stops = resolve
  })
  let begun = 0
  const set = await setting(async (received, response) => {
    if (++begun >= 10) await hasStopped
    return adds(received, response)
  }, 100)
  const result = await whenAsked(set, [...set.first, '--json'], 10, (child) => {
    onStop(child, stops)
    child.kill('SIGINT')
  })
  expect([result.code, result.signal]).toEqual([130, null])
  expect(result.stderr).toContain('Asking nothing more, and waiting for answers that are on their way')
  const { stopped, failed, complete, counts } = JSON.parse(result.stdout)
  const sent = set.asked().length
  expect([stopped, failed, complete, counts.answers, sent < 100]).toEqual([true, 0, false, sent, true])
  expect(answersOf(set.cwd)).toHaveLength(sent)
  expect(rowsOf(join(set.cwd, 'sums.jsonl'))).toHaveLength(counts.accepted)
  const resumed = await set.run([...set.first, '--resume', '--json'])
  expect(JSON.parse(resumed.stdout)).toMatchObject({ complete: true, counts: { answers: 100 } })
  expect(set.asked()).toHaveLength(100)
})

test.each([
  ['Ctrl-C twice', ['SIGINT', 'SIGINT'], 130],
  ['SIGTERM', ['SIGTERM'], 143],
] as const)('%s ends at once', async (_, signals, code) => {
  // Answers that never come.
  const set = await setting((received, response) => {
    if (numbersOf(received)[0] < 3) return adds(received, response)
  }, 60)
  const result = await whenAsked(set, [...set.first, '--json'], 6, async (child) => {
    while (!existsSync(join(set.cwd, 'sums.answers', 'checks.jsonl')) || answersOf(set.cwd).length < 3) await sleep(5)
    const [first, second] = signals
    if (second) onStop(child, () => child.kill(second))
    child.kill(first)
  })
  expect([result.code, result.signal]).toEqual([code, null])
  expect(JSON.parse(result.stdout).error.code).toBe('ERR_CANCELLED')
  expectQuiet(result)
  expect(answersOf(set.cwd)).toHaveLength(3)
  expect(existsSync(join(set.cwd, 'sums.jsonl'))).toBe(false)
  expect(readdirSync(join(set.cwd, 'sums.answers')).sort()).toEqual(['answers.jsonl', 'checks.jsonl', 'teaching.json'])
})

test('kill -9 at random moments: the same files in the end, and no stored answer is asked again', {
  timeout: 3_000_000,
}, async () => {
  const asks = ['--until-correct', '2', '--attempts', '4', '--set', 'teacher.concurrency=4', '--resume', '--json']
  const reference = await setting(adds, 30)
  expect((await reference.run([...reference.first, ...asks])).code).toBe(0)
  const all = reference.asked().length
  const random = new Random(13)
  const wanted = rounds({ all: 200, quick: 4 })
  let kills = 0
  while (kills < wanted) {
    const set = await setting(slowly(3), 30)
    for (let begun = 0; begun < 5 && kills < wanted; begun++) {
      const before = set.asked().length
      const known = new Set(answersOf(set.cwd).map(({ requestSeed }) => requestSeed))
      const moment = 2 + Math.floor(random.uniform() * 30)
      const killed = await whenAsked(set, [...set.first, ...asks], moment, async (child) => {
        await sleep(random.uniform() * 10)
        child.kill('SIGKILL')
      })
      await set.server.disconnected()
      const seeds = set
        .asked()
        .slice(before)
        .map(({ body }) => body.seed)
      expect(seeds.filter((seed) => known.has(seed))).toEqual([])
      // So little was missing that it ended before.
      if (killed.signal !== 'SIGKILL') break
      kills++
    }
    const known = new Set(answersOf(set.cwd).map(({ requestSeed }) => requestSeed))
    const before = set.asked().length
    const ended = await set.run([...set.first, ...asks])
    expect([ended.code, ended.stderr]).toEqual([0, expect.any(String)])
    const last = set.asked().slice(before)
    expect(last.filter(({ body }) => known.has(body.seed))).toEqual([])
    expect(last).toHaveLength(all - known.size)
    const keys = answersOf(set.cwd).map(({ key }) => key)
    expect([keys.length, new Set(keys).size]).toEqual([all, all])
    expect(bytesOf(set.cwd)).toEqual(bytesOf(reference.cwd))
    expect(readdirSync(set.cwd).sort()).toEqual(readdirSync(reference.cwd).sort())
  }
})

test('a disk that fills ends the run; what is stored stays, and --resume goes on', async () => {
  const { cwd, run, first } = await setting(adds, 40)
  const full = await run([...first, '--json'], { env: { NODE_OPTIONS: preload('fullForAnswers.js') } })
  expect([full.code, full.stderr]).toEqual([1, expect.stringMatching(/answers\.jsonl.*\[ERR_DISK_FULL\]/s)])
  expect(JSON.parse(full.stdout).error.code).toBe('ERR_DISK_FULL')
  expectQuiet(full)
  expect(existsSync(join(cwd, 'sums.jsonl'))).toBe(false)
  const stored = answersOf(cwd).length
  expect(stored).toBeGreaterThan(0)
  const resumed = await run([...first, '--resume', '--json'])
  expect(JSON.parse(resumed.stdout)).toMatchObject({ complete: true, counts: { answers: 40 } })
  expect(new Set(answersOf(cwd).map(({ key }) => key)).size).toBe(40)
})

test('two processes do not write to one teaching', async () => {
  const set = await setting(slowly(4000), 40)
  let second: Promise<CommandResult> | undefined
  const result = await whenAsked(set, set.first, 5, () => {
    second = set.run([...set.first, '--resume', '--json'])
  })
  expect(result.code).toBe(0)
  const refused = (await second) as CommandResult
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringMatching(/Process \d+ on .* \[ERR_TEACHING\]/s)])
})

test('requests that are refused are told, end with 1, and are asked again by --resume', async () => {
  const { server, run, first } = await setting((received, response) => {
    if (numbersOf(received)[0] % 4 > 0) return adds(received, response)
    response.writeHead(400, { 'content-type': 'application/json' }).end('{"error": {"message": "too odd"}}')
  })
  const failed = await run([...first, '--json'])
  expect([failed.code, failed.stderr]).toEqual([
    1,
    expect.stringMatching(/5 answers did not come; --resume asks for them again\.\n.*too odd.* \[ERR_ENGINE\]/s),
  ])
  expect(JSON.parse(failed.stdout)).toMatchObject({ failed: 5, complete: false, error: { code: 'ERR_ENGINE' } })
  const { script } = server
  server.script = (received, response) =>
    received.body?.messages?.[0]?.content.startsWith('What is') ? adds(received, response) : script(received, response)
  expect((await run([...first, '--resume'])).code).toBe(0)
})
