import { expect, test } from 'vitest'
import { type AnalyseOptions, analyse } from '../../../lib/evaluate/analysis/analyse.js'
import { passAtK } from '../../../lib/evaluate/analysis/passAtK.js'
import type { Difference, Outcome, Score } from '../../../lib/evaluate/analysis/results.js'
import { benchmarkOf, outcomesOf } from '../../support/outcomes.js'
import { Random } from '../../support/random.js'
import { rounds } from '../../support/rounds.js'

const optionsOf = (...models: string[]): AnalyseOptions => ({ models, benchmarks: [benchmarkOf('aime24')] })

async function scoreOf(questions: Record<string, string>, more: Partial<Outcome> = {}): Promise<Score> {
  const { scores } = await analyse(outcomesOf('m', questions, more), optionsOf('m'))
  expect(scores.length).toBe(1)
  return scores[0] as Score
}

/** Each question has `trials` of which a random share is right. */
function randomOutcomes(random: Random, model: string, questions: number, trials: number, shift = 0): Outcome[] {
  const right = (p: number) => (random.uniform() < p ? '1' : '0')
  const entries = Array.from({ length: questions }, (_, i) => {
    const p = Math.min(1, Math.max(0, random.uniform() + shift))
    return [`q${i}`, Array.from({ length: trials }, () => right(p)).join('')] as const
  })
  return outcomesOf(model, Object.fromEntries(entries))
}

function shuffled<T>(random: Random, items: readonly T[]): T[] {
  const all = [...items]
  for (let i = all.length - 1; i > 0; i--) {
    const j = random.below(i + 1)
    ;[all[i], all[j]] = [all[j] as T, all[i] as T]
  }
  return all
}

test('pass@1 is the mean over questions of the share of right trials', async () => {
  const score = await scoreOf({ a: '1100', b: '1111', c: '0000' })
  expect(score).toMatchObject({ questions: 3, trials: 4, passAt1: 0.5 })
  expect(score.byQuestion).toEqual({ a: 0.5, b: 1, c: 0 })
  expect(score.statuses).toEqual({ correct: 6, wrong: 6, truncated: 0, 'no-answer': 0, unsupported: 0 })
})

test('a question with more trials weighs no more', async () => {
  const score = await scoreOf({ a: '1', b: '0000' })
  expect(score).toMatchObject({ trials: [1, 4], passAt1: 0.5, errorOverTrials: null })
  expect(Object.keys(score.passAtK)).toEqual(['1'])
})

test('pass@k is the share of subsets of k answers that hold a right one', () => {
  for (let n = 1; n <= 10; n++) {
    for (let right = 0; right <= n; right++) {
      for (let k = 1; k <= n; k++) {
        let [subsets, passed] = [0, 0]
        for (let bits = 0; bits < 2 ** n; bits++) {
          if (bits.toString(2).replaceAll('0', '').length !== k) continue
          subsets++
          if ((bits & (2 ** right - 1)) !== 0) passed++
        }
        expect(passAtK(n, right, k)).toBeCloseTo(passed / subsets, 12)
      }
    }
  }
})

test('pass@k keeps its digits where factorials overflow, and refuses more than there are answers', () => {
  // 1 − C(9999, 5000)/C(10000, 5000) = 1/2.
  expect(passAtK(10_000, 1, 5000)).toBeCloseTo(0.5, 10)
  expect(() => passAtK(8, 4, 64)).toThrow('Expected k from 1 to 8')
})

test('pass@k of a benchmark stops at the trials that every question has', async () => {
  const score = await scoreOf({ a: '10000000', b: '11110000' })
  expect(Object.keys(score.passAtK)).toEqual(['1', '2', '4', '8'])
  expect(score.passAtK[1]).toBeCloseTo(score.passAt1, 12)
  expect(score.passAtK[2]).toBeCloseTo((2 / 8 + (1 - 6 / 28)) / 2, 12)
  expect(score.passAtK[8]).toBe(1)
})

test('the standard error over questions is the published one of AIME 2024', async () => {
  // lighteval prints 0.4740 ± 0.0651 for 30 questions with 32 trials. Right trials by question that give both:
  const counts = [
    32, 31, 31, 29, 29, 28, 27, 26, 24, 23, 21, 21, 20, 18, 17, 16, 14, 14, 10, 7, 5, 4, 4, 1, 1, 1, 1, 0, 0, 0,
  ]
  const questions = counts.map((right, i) => [`q${i}`, '1'.repeat(right).padEnd(32, '0')] as const)
  const score = await scoreOf(Object.fromEntries(questions))
  expect(score.passAt1.toFixed(4)).toBe('0.4740')
  expect(score.errorOverQuestions?.toFixed(4)).toBe('0.0651')
  const squares = counts.reduce((sum, right) => sum + (right / 32 - 455 / 960) ** 2, 0)
  expect(score.errorOverQuestions).toBeCloseTo(Math.sqrt(squares / 29 / 30), 12)
})

test('the standard error over trials is the deviation of repeated evaluations of the same questions', async () => {
  const random = new Random(8)
  const chances = Array.from({ length: 20 }, () => random.uniform())
  const evaluations = rounds({ all: 2000, quick: 400 })
  const scores: number[] = []
  let estimated = 0
  for (let i = 0; i < evaluations; i++) {
    const counts = chances.map((p) => Array.from({ length: 8 }, () => (random.uniform() < p ? 1 : 0) as number))
    const shares = counts.map((trials) => trials.reduce((a, b) => a + b) / 8)
    scores.push(shares.reduce((a, b) => a + b) / 20)
    estimated += shares.reduce((sum, p) => sum + (p * (1 - p)) / 7, 0) / 20 ** 2
  }
  const exact = chances.reduce((sum, p) => sum + (p * (1 - p)) / 8, 0) / 20 ** 2
  // The estimator is unbiased …
  expect(estimated / evaluations / exact).toBeGreaterThan(0.95)
  expect(estimated / evaluations / exact).toBeLessThan(1.05)
  // … and is what is reported.
  const { errorOverTrials } = await scoreOf({ a: '11110000', b: '10000000', c: '11111111' })
  expect(errorOverTrials).toBeCloseTo(Math.sqrt((0.25 + (1 / 8) * (7 / 8)) / 7) / 3, 12)
})

test('errors are null where one question or one trial gives none', async () => {
  expect(await scoreOf({ a: '1100' })).toMatchObject({ errorOverQuestions: null })
  expect(await scoreOf({ a: '1', b: '0' })).toMatchObject({ errorOverTrials: null, consensus: null })
})

test('figures by trial are those of the accuracies of whole trials', async () => {
  const { perTrial } = await scoreOf({ a: '1100', b: '1010', c: '1000' })
  // Accuracies 1, 1/3, 1/3, 0: mean 5/12; deviation as numpy's std, which divides by their number.
  expect(perTrial).toMatchObject({ least: 0, most: 1 })
  expect(perTrial.mean).toBeCloseTo(5 / 12, 12)
  expect(perTrial.deviation).toBeCloseTo(Math.sqrt((1 + 2 / 9) / 4 - (5 / 12) ** 2), 12)
})

function votes(...answers: [extracted: string | null, right: boolean][]): Outcome[] {
  return answers.flatMap(([extracted, right], trial) => outcomesOf('m', { a: right ? '1' : '0' }, { trial, extracted }))
}

async function consensusOf(outcomes: readonly Outcome[]): Promise<number | null | undefined> {
  return (await analyse(outcomes, optionsOf('m'))).scores[0]?.consensus
}

test('the consensus is the most frequent canonical answer; ties share; no answer is no vote', async () => {
  expect(await consensusOf(votes(['12', true], ['12', true], ['7', false]))).toBe(1)
  expect(await consensusOf(votes(['12', true], ['7', false], ['7', false]))).toBe(0)
  expect(await consensusOf(votes(['12', true], ['7', false]))).toBe(0.5)
  expect(await consensusOf(votes(['12', true], ['7', false], ['8', false]))).toBeCloseTo(1 / 3, 12)
  expect(await consensusOf(votes(['12', true], [null, false], [null, false]))).toBe(1)
  expect(await consensusOf(votes([null, false], [null, false]))).toBe(0)
})

test('long answers vote as short ones do', async () => {
  const [one, other] = ['x'.repeat(1000), `${'x'.repeat(1000)}y`]
  expect(await consensusOf(votes([one, true], [one, true], [other, false]))).toBe(1)
  expect(await consensusOf(votes([one, true], [other, false], [other, false]))).toBe(0)
})

test('there is no consensus where right answers have no canonical form', async () => {
  expect(await consensusOf(votes([null, true], [null, true], ['7', false]))).toBeNull()
})

test('lengths are split by right and wrong, and truncated answers count', async () => {
  const outcomes = [10, 20, 30, 40, 1000].flatMap((tokens, trial) =>
    outcomesOf('m', { a: tokens < 1000 ? '1' : '0' }, { trial, tokens, truncated: tokens === 1000 }),
  )
  const uncounted = outcomesOf('m', { b: '1' }, { tokens: null })
  const { scores } = await analyse([...outcomes, ...uncounted], optionsOf('m'))
  expect(scores[0]?.lengths.right).toEqual({
    answers: 4,
    mean: 25,
    p5: 11.5,
    p25: 17.5,
    median: 25,
    p75: 32.5,
    p95: 38.5,
    max: 40,
  })
  expect(scores[0]?.lengths.wrong).toMatchObject({ answers: 1, mean: 1000, median: 1000, p95: 1000 })
  expect(scores[0]?.lengths.all).toMatchObject({ answers: 5, mean: 220 })
  expect(scores[0]?.truncatedShare).toBeCloseTo(1 / 6, 12)
  const none = await analyse(uncounted, optionsOf('m'))
  expect(none.scores[0]?.lengths).toEqual({ all: null, right: null, wrong: null })
})

test('groups are by label; tasks have a mean in which each weighs the same', async () => {
  const outcomes = [
    ...outcomesOf('m', { a: '1', b: '1', c: '1' }, { labels: { task: 'navigate', level: 'hard' } }),
    ...outcomesOf('m', { d: '0' }, { labels: { task: 'snarks' } }),
  ]
  const [score] = (await analyse(outcomes, optionsOf('m'))).scores
  expect(score?.groups).toEqual({
    level: { hard: { questions: 3, passAt1: 1 } },
    task: { navigate: { questions: 3, passAt1: 1 }, snarks: { questions: 1, passAt1: 0 } },
  })
  expect(score).toMatchObject({ passAt1: 0.75, macro: 0.5 })
  expect(await scoreOf({ a: '1' })).not.toHaveProperty('macro')
})

test('metrics are divided as sums, and a question with more trials weighs no more', async () => {
  const metric = (passed: number) => ({ metrics: { 'prompt strict': { passed, total: 2 } } })
  const outcomes = [
    ...outcomesOf('m', { a: '1' }, metric(2)),
    ...outcomesOf('m', { b: '00' }, metric(0)),
    ...outcomesOf('m', { c: '0' }, { metrics: { empty: { passed: 0, total: 0 } } }),
  ]
  const [score] = (await analyse(outcomes, optionsOf('m'))).scores
  expect(score?.metrics).toEqual({ 'prompt strict': 0.5 })
})

test('the order of outcomes changes no bit', async () => {
  const random = new Random(21)
  const outcomes = [...randomOutcomes(random, 'x', 12, 5), ...randomOutcomes(random, 'y', 12, 4)]
  const options = { ...optionsOf('x', 'y'), baseline: 'x' }
  const expected = JSON.stringify(await analyse(outcomes, options))
  for (let i = 0; i < 5; i++) expect(JSON.stringify(await analyse(shuffled(random, outcomes), options))).toBe(expected)
})

test('exchanging the models negates the difference and nothing else', async () => {
  const random = new Random(22)
  for (let i = 0; i < 10; i++) {
    const outcomes = [...randomOutcomes(random, 'x', 10, 4), ...randomOutcomes(random, 'y', 10, 3, 0.1)]
    const of = async (baseline: string) =>
      (await analyse(outcomes, { ...optionsOf('x', 'y'), baseline, samples: 999 })).differences[0] as Difference
    const [forth, back] = [await of('x'), await of('y')]
    expect(back.delta).toBe(0 - forth.delta)
    expect(back.interval).toEqual([0 - forth.interval[1], 0 - forth.interval[0]])
    expect([back.p, back.noise]).toEqual([forth.p, forth.noise])
    expect(back.gained.map(({ question }) => question)).toEqual(forth.lost.map(({ question }) => question))
  }
})

test('a difference is of the questions that both answered', async () => {
  const outcomes = [
    ...outcomesOf('x', { a: '11', b: '10', c: '00' }),
    ...outcomesOf('y', { b: '11', c: '00', d: '11' }),
  ]
  const { differences } = await analyse(outcomes, { ...optionsOf('x', 'y', 'z'), baseline: 'x' })
  expect(differences.length).toBe(1)
  expect(differences[0]).toMatchObject({ model: 'y', baseline: 'x', questions: 2, delta: 0.25, noise: true, lost: [] })
  expect(differences[0]?.gained).toEqual([{ question: 'b', from: 0.5, to: 1 }])
})

test('gained and lost questions come with the largest change first', async () => {
  const outcomes = [
    ...outcomesOf('x', { a: '1000', b: '0000', c: '1110', d: '1111', e: '1111' }),
    ...outcomesOf('y', { a: '1100', b: '1111', c: '1111', d: '0000', e: '1100' }),
  ]
  const { differences } = await analyse(outcomes, { ...optionsOf('x', 'y'), baseline: 'x' })
  expect(differences[0]?.gained.map(({ question }) => question)).toEqual(['b', 'a', 'c'])
  expect(differences[0]?.lost.map(({ question }) => question)).toEqual(['d', 'e'])
})

test('a clear difference is none of chance, and the leader is held against the next', async () => {
  const questions = (right: string) => Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`q${i}`, right]))
  const outcomes = [
    ...outcomesOf('weak', questions('0001')),
    ...outcomesOf('good', questions('1110')),
    ...outcomesOf('base', questions('0011')),
  ]
  const { differences, leaders, experts } = await analyse(outcomes, {
    ...optionsOf('base', 'weak', 'good'),
    baseline: 'base',
  })
  expect(differences.map(({ model, noise }) => [model, noise])).toEqual([
    ['weak', false],
    ['good', false],
  ])
  expect(differences[1]?.p).toBeLessThan(0.05)
  expect(leaders.map(({ model, baseline, noise }) => [model, baseline, noise])).toEqual([['good', 'base', false]])
  expect(experts).toMatchObject({ merged: 'good', experts: ['weak'] })
  expect(experts?.differences.map(({ model, baseline }) => [model, baseline])).toEqual([['good', 'weak']])
})

test('outcomes that do not fit together are refused', async () => {
  const refused = (outcomes: Outcome[]) => expect(analyse(outcomes, optionsOf('m'))).rejects
  const one = outcomesOf('m', { a: '1' })
  await refused([...one, ...one]).toThrow(
    'Expected each trial once but received an answer of m to question a of aime24',
  )
  await refused(outcomesOf('other', { a: '1' })).toMatchObject({ code: 'ERR_EVALUATION' })
  await refused(outcomesOf('m', { a: '1' }, { benchmark: 'aime25' })).toThrow('Expected one of m, aime24')
  await refused(outcomesOf('m', { a: '1' }, { tokens: -1 })).toThrow('Expected tokens')
  await refused(outcomesOf('m', { a: '1' }, { tokens: Number.NaN })).toThrow('Expected tokens')
  await refused(outcomesOf('m', { a: '1' }, { trial: 0.5 })).toThrow('Expected a trial')
  const relabelled = outcomesOf('m', { a: '1' }, { labels: { task: 'x' }, trial: 1 })
  await refused([...one, ...relabelled]).toThrow('the same labels')
})

test('one question has the same labels with every model', async () => {
  const outcomes = [
    ...outcomesOf('x', { a: '1' }, { labels: { task: 'one' } }),
    ...outcomesOf('y', { a: '1' }, { labels: { task: 'two' } }),
  ]
  await expect(analyse(outcomes, optionsOf('x', 'y'))).rejects.toThrow('the same labels for question a of aime24')
})

test('options are checked', async () => {
  const refused = (more: Partial<AnalyseOptions>) => expect(analyse([], { ...optionsOf('x', 'y'), ...more })).rejects
  await refused({ baseline: 'z' }).toThrow("Expected one of x, y for baseline but received 'z'")
  await refused({ samples: 10 }).toThrow('an integer from 39')
  await refused({ seed: -1 }).toThrow('for seed')
  await refused({ models: ['x', 'x'] }).toThrow('names that differ')
  await refused({ merged: 'x', experts: ['x'] }).toThrow('experts without the merged model')
})

test('an abort ends the analysis with its reason', async () => {
  const outcomes = randomOutcomes(new Random(1), 'm', 2000, 2)
  const reason = new Error('enough')
  const signal = AbortSignal.abort(reason)
  await expect(analyse(outcomes, { ...optionsOf('m'), signal })).rejects.toBe(reason)
})

test('a generator is read as it comes', async () => {
  async function* stream() {
    for (const outcome of outcomesOf('m', { a: '10', b: '11' })) {
      await Promise.resolve()
      yield outcome
    }
  }
  expect((await analyse(stream(), optionsOf('m'))).scores[0]?.passAt1).toBe(0.75)
})

test('95 % intervals hold the truth about as often as they say', async () => {
  const random = new Random(77)
  const evaluations = rounds({ all: 600, quick: 100 })
  let [held, heldOfDifference] = [0, 0]
  for (let i = 0; i < evaluations; i++) {
    // Questions are drawn from many, with chances from a Beta(2, 2): mean 1/2. The second model is better by 0.1 at each.
    const chances = Array.from({ length: 60 }, () => {
      const [a, b, c] = [random.uniform(), random.uniform(), random.uniform()].sort((x, y) => x - y)
      return a === undefined || b === undefined || c === undefined ? 0 : 0.9 * b
    })
    const trials = (p: number) => Array.from({ length: 4 }, () => (random.uniform() < p ? '1' : '0')).join('')
    const questions = (shift: number) => Object.fromEntries(chances.map((p, q) => [`q${q}`, trials(p + shift)]))
    const outcomes = [...outcomesOf('x', questions(0)), ...outcomesOf('y', questions(0.1))]
    const { scores, differences } = await analyse(outcomes, {
      ...optionsOf('x', 'y'),
      baseline: 'x',
      samples: 999,
      seed: i,
    })
    const [low = 1, high = 0] = scores[0]?.interval ?? []
    if (low <= 0.45 && high >= 0.45) held++
    const [least = 1, most = 0] = differences[0]?.interval ?? []
    if (least <= 0.1 && most >= 0.1) heldOfDifference++
  }
  // Drawing trials anew adds their chance to that which the shares already hold, so intervals are wide: 98 and 99 % here.
  const slack = 3 * Math.sqrt((0.95 * 0.05) / evaluations)
  expect(held / evaluations).toBeGreaterThan(0.95 - slack)
  expect(heldOfDifference / evaluations).toBeGreaterThan(0.95 - slack)
})
