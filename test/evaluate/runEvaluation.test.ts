import { execFileSync } from 'node:child_process'
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { Engine } from '../../lib/engines/generation.js'
import { BranchMergeError } from '../../lib/errors.js'
import { compare } from '../../lib/evaluate/compare.js'
import { readOutcomes, readTranscripts, type Transcript } from '../../lib/evaluate/readOutcomes.js'
import {
  type Contestant,
  type EvaluationPlan,
  type EvaluationProgress,
  type Examination,
  runEvaluation,
} from '../../lib/evaluate/runEvaluation.js'
import { EvaluationStore } from '../../lib/evaluate/store/evaluationStore.js'
import type { AnswerRecord } from '../../lib/evaluate/store/records.js'
import { temporaryDirectory } from '../support/temporary.js'
import { add, sampling, scriptedEngine, sums } from './scriptedEngine.js'

const examine = (change: Partial<Examination> = {}): Examination => ({
  benchmark: sums(10),
  sampling,
  spec: {},
  trials: 2,
  limit: null,
  ...change,
})

const contestant = (name: string, engine: Engine, change: Partial<Contestant> = {}): Contestant => ({
  name,
  place: name,
  local: false,
  open: async () => engine,
  ...change,
})

const unsent = () => new AbortController().signal

async function evaluateInto(
  directory: string,
  plan: Partial<EvaluationPlan> & Pick<EvaluationPlan, 'contestants'>,
  { signal = unsent(), stop = unsent(), onProgress = (_: EvaluationProgress) => {} } = {},
) {
  const store = await EvaluationStore.open(directory, true)
  try {
    const whole = { examinations: [examine()], seed: 7, limits: {}, ...plan }
    return await runEvaluation(whole, { store, programs: undefined, signal, stop, onProgress })
  } finally {
    await store.close()
  }
}

const linesOf = <T>(directory: string, name: string): T[] =>
  readFileSync(join(directory, name), 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line))
const answersOf = (directory: string) => linesOf<AnswerRecord>(directory, 'answers.jsonl')

test('every question is asked in every trial, graded and stored, with all that determines the answer', async () => {
  const directory = join(temporaryDirectory(), 'results')
  const engine = scriptedEngine(add)
  const answered = await evaluateInto(directory, { contestants: [contestant('base', engine)] })
  expect(answered).toEqual({ wanted: 20, stored: 0, answered: 20, failed: 0, stopped: false, failures: {} })
  expect(engine.closed).toBe(true)
  expect(engine.most).toBe(8)
  const answers = answersOf(directory)
  expect(new Set(answers.map(({ key }) => key)).size).toBe(20)
  expect(new Set(engine.calls.map(({ seed }) => seed)).size).toBe(20)
  expect(answers[0]).toMatchObject({ model: 'base', benchmark: 'sums', question: 'q0', trial: 0, text: '0' })
  const { outcomes, missing } = await readOutcomes([directory])
  expect(outcomes).toHaveLength(20)
  expect(outcomes.every(({ status }) => status === 'correct')).toBe(true)
  expect(outcomes[3]).toMatchObject({ labels: { parity: 'odd' }, tokens: 1, extracted: '6' })
  expect(missing).toEqual([])
  const transcripts: Transcript[] = []
  for await (const each of readTranscripts(await readOutcomes([directory]))) transcripts.push(each)
  expect(transcripts).toHaveLength(20)
  expect(transcripts[0]).toMatchObject({ prompt: 'user: 0 + 0?', text: '0', reference: '0', status: 'correct' })
})

test('trials come one after another, so that what was cut off can be compared', async () => {
  const directory = join(temporaryDirectory(), 'results')
  const engine = scriptedEngine(add, { concurrency: 1 })
  await evaluateInto(directory, { contestants: [contestant('base', engine)] })
  expect(answersOf(directory).map(({ trial }) => trial)).toEqual([...Array(10).fill(0), ...Array(10).fill(1)])
})

test('what is stored is not asked again; more trials, models and questions are', async () => {
  const directory = join(temporaryDirectory(), 'results')
  const few = [examine({ trials: 1, limit: 4 })]
  await evaluateInto(directory, { contestants: [contestant('a', scriptedEngine(add))], examinations: few })
  const again = scriptedEngine(add)
  const answered = await evaluateInto(directory, { contestants: [contestant('a', again)] })
  expect(again.calls).toHaveLength(16)
  expect(answered).toMatchObject({ wanted: 20, stored: 4, answered: 16 })
  const nothing = scriptedEngine(add)
  const other = scriptedEngine(() => '5', { model: 'other' })
  await evaluateInto(directory, { contestants: [contestant('a', nothing), contestant('b', other)] })
  expect(nothing.calls).toHaveLength(0)
  expect(other.calls).toHaveLength(20)
  const { outcomes } = await readOutcomes([directory])
  expect(outcomes.filter(({ model }) => model === 'a')).toHaveLength(20)
  expect(outcomes.filter(({ model }) => model === 'b').every(({ status }) => status === 'wrong')).toBe(true)
})

test('models come in the order in which they were named, whichever answers first, also after a stop', async () => {
  const directory = join(temporaryDirectory(), 'results')
  const engine = (model: string) => scriptedEngine(add, { model })
  const orderOf = () => {
    const { models, askings, order } = JSON.parse(readFileSync(join(directory, 'evaluation.json'), 'utf8'))
    const asked = Object.values<{ model: string }>(askings).map(({ model }) => model)
    return [order, Object.keys(models), asked]
  }
  // The evaluation is stopped before the first model opens.
  const stop = new AbortController()
  const never = contestant('first', engine('first'), {
    open: (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  })
  const last = contestant('last', engine('last'))
  const onProgress = (progress: EvaluationProgress) => {
    if (progress.phase === 'answers' && progress.done === 20) stop.abort()
  }
  await evaluateInto(directory, { contestants: [never, last] }, { stop: stop.signal, onProgress })
  expect(orderOf()).toEqual([['first', 'last'], ['last'], ['last']])
  await evaluateInto(directory, { contestants: [contestant('first', engine('first')), last] })
  expect(orderOf()).toEqual([0, 1, 2].map(() => ['first', 'last']))
  // What is named later comes later, and what is not named again stays where it is.
  await evaluateInto(directory, { contestants: [contestant('0', engine('0')), contestant('first', engine('first'))] })
  expect([orderOf()[0], orderOf()[2]]).toEqual([0, 1].map(() => ['first', 'last', '0']))
  expect((await compare(directory)).models).toEqual(['first', 'last', '0'])
})

test('a record without the order of its models keeps all of them, before those that are new', async () => {
  const directory = join(temporaryDirectory(), 'results')
  const path = join(directory, 'evaluation.json')
  const recordOf = () => JSON.parse(readFileSync(path, 'utf8'))
  const named = (name: string) => contestant(name, scriptedEngine(add, { model: name }))
  await evaluateInto(directory, { contestants: [named('b'), named('a')] })
  const { order, ...older } = recordOf()
  expect(order).toEqual(['b', 'a'])
  writeFileSync(path, JSON.stringify(older))
  await evaluateInto(directory, { contestants: [named('c'), named('a')] })
  const { order: names, models } = recordOf()
  expect([names, Object.keys(models)]).toEqual([0, 1].map(() => ['b', 'a', 'c']))
})

test('with a lower limit only the questions count that are asked then, and with a higher one the others count again', async () => {
  const directory = join(temporaryDirectory(), 'results')
  const asked = async (limit: number | null, trials = 1) => {
    const engine = scriptedEngine(add)
    await evaluateInto(directory, {
      contestants: [contestant('a', engine)],
      examinations: [examine({ trials, limit })],
    })
    const read = await readOutcomes([directory])
    expect(read.missing).toEqual([])
    const shown: string[] = []
    for await (const { question } of readTranscripts(read)) shown.push(question)
    const counted = read.outcomes.map(({ question }) => question)
    expect(shown.toSorted()).toEqual(counted.toSorted())
    return [engine.calls.length, new Set(counted).size, counted.length]
  }
  expect(await asked(null, 2)).toEqual([20, 10, 20])
  expect(await asked(3)).toEqual([0, 3, 3])
  expect(await asked(7, 2)).toEqual([0, 7, 14])
  expect(await asked(null)).toEqual([0, 10, 10])
})

test('other sampling, another seed and another served model are asked anew, and only the last counts', async () => {
  const directory = join(temporaryDirectory(), 'results')
  const notes: string[] = []
  const onProgress = (progress: EvaluationProgress) => {
    if (progress.phase === 'note') notes.push(progress.text)
  }
  const run = async (change: Partial<EvaluationPlan>, model = 'scripted') => {
    const engine = scriptedEngine(() => 'x', { model })
    await evaluateInto(directory, { contestants: [contestant('a', engine)], ...change }, { onProgress })
    return engine.calls.length
  }
  expect(await run({})).toBe(20)
  expect(notes).toEqual([])
  expect(await run({ examinations: [examine({ sampling: { ...sampling, temperature: 1 } })] })).toBe(20)
  expect(notes).toHaveLength(1)
  expect(await run({ seed: 8 })).toBe(20)
  expect(await run({}, 'retrained')).toBe(20)
  const { outcomes, outdated } = await readOutcomes([directory])
  expect(outcomes).toHaveLength(20)
  expect(outdated).toBe(60)
  expect(await run({}, 'retrained')).toBe(0)
})

test('a request that fails is asked again by the next run, and is no wrong answer', async () => {
  const directory = join(temporaryDirectory(), 'results')
  const engine = scriptedEngine((request, call) =>
    call % 5 === 0 ? new BranchMergeError('ERR_ENGINE', 'HTTP 500 from the server') : add(request),
  )
  const answered = await evaluateInto(directory, { contestants: [contestant('a', engine)] })
  expect(answered).toMatchObject({ answered: 16, failed: 4, failures: { a: 'HTTP 500 from the server' } })
  const before = await readOutcomes([directory])
  expect(before.outcomes).toHaveLength(16)
  expect(before.missing).toEqual([{ model: 'a', benchmark: 'sums', answers: 4 }])
  const again = scriptedEngine(add)
  expect(await evaluateInto(directory, { contestants: [contestant('a', again)] })).toMatchObject({ failed: 0 })
  expect(again.calls).toHaveLength(4)
  expect((await readOutcomes([directory])).missing).toEqual([])
})

test('a server that is gone ends its own model; the others are asked to the end', async () => {
  const directory = join(temporaryDirectory(), 'results')
  const gone = scriptedEngine(() => new BranchMergeError('ERR_ENGINE', 'connect ECONNREFUSED'))
  const contestants = [contestant('gone', gone), contestant('there', scriptedEngine(add))]
  await expect(evaluateInto(directory, { contestants })).rejects.toMatchObject({
    code: 'ERR_ENGINE',
    message: 'connect ECONNREFUSED',
  })
  expect(gone.calls.length).toBeLessThan(20)
  const { outcomes } = await readOutcomes([directory])
  expect(outcomes.filter(({ model }) => model === 'there')).toHaveLength(20)
})

test('models of this machine take turns', async () => {
  const directory = join(temporaryDirectory(), 'results')
  const open: string[] = []
  const engineOf = (name: string) => {
    const engine = scriptedEngine(add)
    const close = engine.close.bind(engine)
    engine.close = async () => {
      open.splice(open.indexOf(name), 1)
      await close()
    }
    return contestant(name, engine, {
      local: true,
      open: () => {
        open.push(name)
        expect(open).toEqual([name])
        return Promise.resolve(engine)
      },
    })
  }
  await evaluateInto(directory, { contestants: ['a', 'b', 'c'].map(engineOf) })
  expect((await readOutcomes([directory])).outcomes).toHaveLength(60)
})

test('stop asks nothing more and keeps what is on its way', async () => {
  const directory = join(temporaryDirectory(), 'results')
  const stop = new AbortController()
  const engine = scriptedEngine((request, call) => {
    if (call === 6) stop.abort()
    return add(request)
  })
  const answered = await evaluateInto(directory, { contestants: [contestant('a', engine)] }, { stop: stop.signal })
  expect(answered.stopped).toBe(true)
  expect(answersOf(directory)).toHaveLength(engine.calls.length)
  expect(engine.calls.length).toBeLessThan(20)
})

test('an abort rejects with its reason, closes the engine and keeps what came', async () => {
  const directory = join(temporaryDirectory(), 'results')
  const controller = new AbortController()
  const reason = new Error('enough')
  const engine = scriptedEngine((request, call) => {
    if (call === 12) controller.abort(reason)
    return add(request)
  })
  const run = evaluateInto(directory, { contestants: [contestant('a', engine)] }, { signal: controller.signal })
  await expect(run).rejects.toBe(reason)
  expect(engine.closed).toBe(true)
  const came = answersOf(directory).length
  expect(came).toBeGreaterThan(0)
  const again = scriptedEngine(add)
  await evaluateInto(directory, { contestants: [contestant('a', again)] })
  expect(again.calls).toHaveLength(20 - came)
})

test('a limit is never overrun, and says what raises it', async () => {
  const directory = join(temporaryDirectory(), 'results')
  const engine = scriptedEngine(add)
  // Prompts have 10 tokens, answers 1 of at most 100.
  const limited = { contestants: [contestant('a', engine)], limits: { tokens: 200 } }
  await expect(evaluateInto(directory, limited)).rejects.toMatchObject({
    code: 'ERR_BUDGET',
    message: expect.stringContaining('--max-tokens-total'),
  })
  // 9 answers use 99 tokens; the tenth may need 110 and would overrun 200.
  expect(answersOf(directory)).toHaveLength(9)
  // Those that are stored count.
  await expect(evaluateInto(directory, limited)).rejects.toMatchObject({ code: 'ERR_BUDGET' })
  expect(answersOf(directory)).toHaveLength(9)
  const price = { input: 1e5, output: 1e6 }
  const paid = { contestants: [contestant('a', engine, { price })], limits: { cost: 122 } }
  await expect(evaluateInto(directory, paid)).rejects.toMatchObject({ message: expect.stringContaining('--max-cost') })
  // An answer costs 2, at most 101: (122 - 101) / 2 are asked.
  expect(answersOf(directory)).toHaveLength(11)
})

test('damaged lines are told, and their questions asked again', async () => {
  const directory = join(temporaryDirectory(), 'results')
  await evaluateInto(directory, { contestants: [contestant('a', scriptedEngine(add))] })
  const path = join(directory, 'answers.jsonl')
  const lines = readFileSync(path, 'utf8').split('\n')
  lines[3] = '\0'.repeat(40)
  writeFileSync(path, lines.join('\n'))
  appendFileSync(path, '{"v":1,"key":"torn')
  const store = await EvaluationStore.open(directory, true)
  expect(store.damage).toEqual([{ file: 'answers.jsonl', lines: 1 }])
  await store.close()
  const again = scriptedEngine(add)
  await evaluateInto(directory, { contestants: [contestant('a', again)] })
  expect(again.calls).toHaveLength(1)
})

test('a new version of a grader grades stored answers again', async () => {
  const directory = join(temporaryDirectory(), 'results')
  await evaluateInto(directory, {
    contestants: [
      contestant(
        'a',
        scriptedEngine(() => 'none'),
      ),
    ],
  })
  expect((await readOutcomes([directory])).outcomes.every(({ status }) => status === 'wrong')).toBe(true)
  const lenient = sums(10, { version: 'sums/strict@2' })
  for (const question of lenient.questions) {
    question.grade = async () => ({ status: 'correct', extracted: null, rule: 'all pass' })
  }
  const again = scriptedEngine(add)
  const examinations = [examine({ benchmark: lenient })]
  await evaluateInto(directory, { contestants: [contestant('a', again)], examinations })
  expect(again.calls).toHaveLength(0)
  const { outcomes } = await readOutcomes([directory])
  expect(outcomes).toHaveLength(20)
  expect(outcomes.every(({ status }) => status === 'correct')).toBe(true)
})

test('a directory with an evaluation, or with anything else, is not written to unasked', async () => {
  const directory = join(temporaryDirectory(), 'results')
  await evaluateInto(directory, { contestants: [contestant('a', scriptedEngine(add))] })
  await expect(EvaluationStore.open(directory, false)).rejects.toMatchObject({
    code: 'ERR_OUTPUT_EXISTS',
    message: expect.stringContaining('--resume'),
  })
  const other = temporaryDirectory()
  writeFileSync(join(other, 'mine.txt'), '')
  await expect(EvaluationStore.open(other, true)).rejects.toMatchObject({ code: 'ERR_OUTPUT_EXISTS' })
})

test('benchmarks of one name from other files are not mixed', async () => {
  const directory = join(temporaryDirectory(), 'results')
  await evaluateInto(directory, { contestants: [contestant('a', scriptedEngine(add))] })
  const files = [{ path: 'sums.jsonl', sha256: '1'.repeat(64) }]
  const examinations = [examine({ benchmark: sums(10, { files }) })]
  const run = evaluateInto(directory, { contestants: [contestant('a', scriptedEngine(add))], examinations })
  await expect(run).rejects.toMatchObject({ code: 'ERR_EVALUATION', message: expect.stringContaining('other files') })
})

test('what a killed regrading left is removed, and grades are not', async () => {
  const directory = join(temporaryDirectory(), 'results')
  await evaluateInto(directory, { contestants: [contestant('a', scriptedEngine(add))] })
  const grades = readFileSync(join(directory, 'grades.jsonl'), 'utf8')
  const owners = new URL('../../dist/files/owners.js', import.meta.url).href
  const script = `import { newToken } from ${JSON.stringify(owners)}; process.stdout.write(newToken())`
  // Of a process that has ended.
  const token = execFileSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
  const left = join(directory, `grades.jsonl.${token}.branchmerge-partial`)
  writeFileSync(left, grades)
  await (await EvaluationStore.open(directory, true)).close()
  expect(existsSync(left)).toBe(false)
  expect(readFileSync(join(directory, 'grades.jsonl'), 'utf8')).toBe(grades)
})
