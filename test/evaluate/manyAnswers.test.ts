import { once } from 'node:events'
import { createWriteStream, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { expect, onTestFinished, test } from 'vitest'
import { answerKey, keyRoot, requestSeed } from '../../lib/evaluate/store/askingKey.js'
import type { AnswerRecord, EvaluationRecord } from '../../lib/evaluate/store/records.js'
import { rounds } from '../support/rounds.js'
import { preload, runCommand } from '../support/runCommand.js'
import { beginEvents, ScriptedServer, streamOf, withProbe } from '../support/scriptedServer.js'
import { temporaryDirectory } from '../support/temporary.js'

const trials = 10
const questionOf = (i: number) => `What is ${i} + 5?`
/** About 2 kB, as a short answer with its reasoning. */
const reasoning = 'First I look at the numbers, and then I add them with care. '.repeat(32)
/** What is taken as the answer has 1.5 kB, as a program may have. */
const answerOf = (sum: number) => `The sum is ${sum}. ${'It is so because of what was said above. '.repeat(36)}`.trim()

test('many stored answers are opened, graded, resumed, compared and graded again in bounded memory', async () => {
  const answers = rounds({ all: 100_000, quick: 10_000 })
  const questions = answers / trials
  const cwd = temporaryDirectory()
  const server = await ScriptedServer.start(
    withProbe((_, response) => {
      beginEvents(response)
      response.end(streamOf([answerOf(5)]))
    }),
  )
  onTestFinished(() => server.stop())
  const rows = Array.from({ length: questions }, (_, i) =>
    JSON.stringify({ id: `q${i}`, question: questionOf(i), answer: answerOf(i + 5), grader: 'exact' }),
  )
  writeFileSync(join(cwd, 'questions.jsonl'), `${rows.join('\n')}\n`)
  const memory: Record<string, number> = {}
  const run = async (name: string, args: string[]) => {
    const env = { NODE_OPTIONS: `--max-old-space-size=320 ${preload('tellMemory.js')}` }
    const { code, stdout, stderr } = await runCommand([...args, '--json'], { cwd, env })
    expect([name, code, stderr]).toEqual([name, 0, expect.any(String)])
    memory[name] = Number(/^memory (\d+)$/m.exec(stderr)?.[1])
    return JSON.parse(stdout)
  }
  const evaluate = [
    'evaluate',
    '--model',
    `m=${server.url}#served`,
    '--benchmark',
    'questions.jsonl',
    '--out',
    'results',
  ]
  await run('first', [...evaluate, '--limit', '1'])
  await writeAnswers(join(cwd, 'results'), questions)

  const whole = [...evaluate, '--trials', String(trials), '--resume']
  expect(await run('grade', whole)).toMatchObject({ wanted: answers, stored: answers, answered: 0 })
  expect(await run('resume', whole)).toMatchObject({ wanted: answers, stored: answers, answered: 0 })
  const compared = await run('compare', ['compare', 'results'])
  expect(compared.scores).toMatchObject([{ model: 'm', questions, passAt1: expect.closeTo(0.9, 9) }])
  expect(await run('regrade', ['regrade', 'results'])).toEqual({ graded: answers, changed: 0, changes: {} })
  // MiB, of the whole process; Node itself takes about 90.
  for (const [name, most] of Object.entries(memory)) expect([name, most < 450]).toEqual([name, true])
})

/** Answers of all trials, as `evaluate` would have stored them: the last trial is wrong. */
async function writeAnswers(directory: string, questions: number): Promise<void> {
  const record = JSON.parse(readFileSync(join(directory, 'evaluation.json'), 'utf8')) as EvaluationRecord
  const [[asking, { trials: _, ...about }]] = Object.entries(record.askings) as [
    [string, EvaluationRecord['askings'][string]],
  ]
  const root = keyRoot(about)
  const { model, benchmark, seed } = about
  const file = createWriteStream(join(directory, 'answers.jsonl'), { flags: 'w' })
  for (let trial = 0; trial < trials; trial++) {
    for (let i = 0; i < questions; i++) {
      const prompt = { messages: [{ role: 'user', content: questionOf(i) } as const] }
      const question = `q${i}`
      const answer: AnswerRecord = {
        v: 1,
        key: answerKey(root, question, trial, prompt),
        asking,
        model,
        benchmark,
        question,
        trial,
        prompt,
        requestSeed: requestSeed(seed, benchmark, question, trial),
        text: answerOf(i + 5 + (trial === trials - 1 ? 1 : 0)),
        reasoning,
        thinkOpened: false,
        finish: 'stop',
        tokens: { prompt: 7, completion: 400, exact: true },
        times: { asked: '2026-01-01T00:00:00.000Z', first: 1, last: 2 },
        attempts: 1,
        maxTokens: 32_768,
        server: 'served',
      }
      if (!file.write(`${JSON.stringify(answer)}\n`)) await once(file, 'drain')
    }
  }
  file.end()
  await finished(file)
}
