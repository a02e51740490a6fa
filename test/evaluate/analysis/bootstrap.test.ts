import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import {
  binomial,
  bootstrapMeans,
  type Draw,
  drawOfDifferences,
  drawOfScores,
  percentileInterval,
  type Trials,
  twoSidedP,
} from '../../../lib/evaluate/analysis/bootstrap.js'
import { SeededBits } from '../../../lib/seededBits.js'
import { Random } from '../../support/random.js'

const means = (draw: Draw, size: number, samples = 10_000, seed = 1) =>
  bootstrapMeans(draw, size, { samples, bits: new SeededBits(seed, 'test') })

const question = (right: number, trials: number): Trials => ({ trials, right })

/** Every resample of both levels, by hand: each choice of questions, then each choice of their trials. */
function allResamples(questions: readonly (readonly number[])[]): number[] {
  const ofQuestion = (trials: readonly number[]): number[] => {
    let sums = [0]
    for (const _ of trials) sums = sums.flatMap((sum) => trials.map((trial) => sum + trial))
    return sums.map((sum) => sum / trials.length)
  }
  let all = [0]
  for (const _ of questions)
    all = all.flatMap((sum) => questions.flatMap((each) => ofQuestion(each).map((p) => sum + p)))
  return all.map((sum) => sum / questions.length)
}

/** How probable each sum of `size` draws is: the distribution of the mean without any sampling. */
function exactSums({ values, probabilities }: Draw, size: number): Map<number, number> {
  let sums = new Map([[0, 1]])
  for (let i = 0; i < size; i++) {
    const next = new Map<number, number>()
    for (const [sum, probability] of sums)
      for (const [j, value] of values.entries())
        next.set(sum + value, (next.get(sum + value) ?? 0) + probability * (probabilities[j] as number))
    sums = next
  }
  return sums
}

/** The least value that at least `share` of the probability does not exceed. */
function exactQuantile(sums: Map<number, number>, share: number): number {
  let total = 0
  for (const [sum, probability] of [...sums].sort(([a], [b]) => a - b)) {
    total += probability
    if (total >= share) return sum
  }
  throw new Error('Probabilities add up to less')
}

test('binomial probabilities are those of the formula', () => {
  const choose = (n: number, k: number): number => (k === 0 ? 1 : (choose(n, k - 1) * (n - k + 1)) / k)
  for (const [right, trials] of [
    [0, 1],
    [1, 1],
    [0, 16],
    [16, 16],
    [1, 4],
    [7, 16],
    [63, 64],
  ] as const) {
    const p = right / trials
    const expected = Array.from({ length: trials + 1 }, (_, i) => choose(trials, i) * p ** i * (1 - p) ** (trials - i))
    for (const [i, probability] of binomial(question(right, trials)).entries())
      expect(probability).toBeCloseTo(expected[i] as number, 12)
  }
  const many = binomial(question(1, 100_000))
  expect(many.reduce((a, b) => a + b)).toBeCloseTo(1, 12)
  expect(many[0]).toBeCloseTo(Math.exp(-1), 4)
})

test('the distribution is that of every resample of questions and trials', () => {
  const questions = [
    [1, 0],
    [0, 0],
    [1, 1],
  ] as const
  const resamples = allResamples(questions)
  const draw = drawOfScores(questions.map((trials) => question(trials[0] + trials[1], 2)))
  const exact = exactSums(draw, 3)
  const counted = new Map<number, number>()
  for (const mean of resamples) {
    const sum = Math.round(mean * 3 * draw.denominator)
    counted.set(sum, (counted.get(sum) ?? 0) + 1 / resamples.length)
  }
  expect(resamples.length).toBe(12 ** 3)
  expect([...exact.keys()].sort()).toEqual([...counted.keys()].sort())
  for (const [sum, probability] of counted) expect(exact.get(sum)).toBeCloseTo(probability, 12)
})

test('questions of different trials weigh the same', () => {
  const { values, probabilities, denominator } = drawOfScores([question(1, 2), question(3, 3)])
  expect(denominator).toBe(6)
  expect(values).toEqual([0, 3, 6])
  for (const [i, expected] of [0.125, 0.25, 0.625].entries()) expect(probabilities[i]).toBeCloseTo(expected, 15)
})

test('numbers of trials without a small common denominator lose less than a part in ten million', () => {
  const primes = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29].map((trials) => question(1, trials))
  const { values, probabilities, denominator } = drawOfScores(primes)
  const mean = values.reduce((sum, value, i) => sum + (value / denominator) * (probabilities[i] as number), 0)
  const expected = primes.reduce((sum, { right, trials }) => sum + right / trials, 0) / primes.length
  expect(Math.abs(mean - expected)).toBeLessThan(1e-7)
})

test('samples have the probabilities of the exact distribution', async () => {
  const random = new Random(5)
  const questions = Array.from({ length: 8 }, () => question(random.below(5), 4))
  const draw = drawOfScores(questions)
  const exact = exactSums(draw, 8)
  const samples = 200_000
  const drawn = await means(draw, 8, samples)
  let chiSquared = 0
  let cells = 0
  for (const [sum, probability] of exact) {
    const expected = probability * samples
    if (expected < 20) continue
    const found = drawn.filter((mean) => Math.round(mean * 8 * draw.denominator) === sum).length
    chiSquared += (found - expected) ** 2 / expected
    cells++
  }
  expect(cells).toBeGreaterThan(15)
  // Mean `cells`, variance twice that: four deviations.
  expect(chiSquared).toBeLessThan(cells + 4 * Math.sqrt(2 * cells))
})

test('the interval is that of the exact distribution, within the error of 10,000 samples', async () => {
  const random = new Random(11)
  const questions = Array.from({ length: 30 }, () => question(random.below(17), 16))
  const draw = drawOfScores(questions)
  const exact = exactSums(draw, 30)
  const [low, high] = percentileInterval(await means(draw, 30))
  const at = (share: number) => exactQuantile(exact, share) / (draw.denominator * 30)
  // Of 10,000 samples, the share below a 2.5 % quantile has a standard error of 0.16 %.
  expect(low).toBeGreaterThanOrEqual(at(0.019))
  expect(low).toBeLessThanOrEqual(at(0.031))
  expect(high).toBeGreaterThanOrEqual(at(0.969))
  expect(high).toBeLessThanOrEqual(at(0.981))
})

test('the variance of a mean has its closed form: between questions, and within them', async () => {
  const random = new Random(3)
  const questions = Array.from({ length: 40 }, () => question(random.below(9), 8))
  const shares = questions.map(({ right, trials }) => right / trials)
  const mean = shares.reduce((a, b) => a + b) / 40
  const between = shares.reduce((sum, p) => sum + (p - mean) ** 2, 0) / 40
  const within = shares.reduce((sum, p) => sum + (p * (1 - p)) / 8, 0) / 40
  const drawn = await means(drawOfScores(questions), 40, 100_000)
  const centre = drawn.reduce((a, b) => a + b) / drawn.length
  const variance = drawn.reduce((sum, each) => sum + (each - centre) ** 2, 0) / drawn.length
  expect(centre).toBeCloseTo(mean, 3)
  expect(variance / ((between + within) / 40)).toBeGreaterThan(0.97)
  expect(variance / ((between + within) / 40)).toBeLessThan(1.03)
})

test('differences are paired: two models that rise and fall together differ by little', async () => {
  const questions = Array.from({ length: 50 }, (_, i) => question(i % 2 === 0 ? 4 : 0, 4))
  const same = drawOfDifferences(questions.map((each) => [each, each] as const))
  expect(same.values).toEqual([0])
  expect(percentileInterval(await means(same, 50))).toEqual([0, 0])
  expect(twoSidedP(await means(same, 50))).toBe(1)
})

test('the interval leaves out as many at either end, and p agrees with it', () => {
  const sorted = (values: number[]) => Float64Array.from(values).sort()
  const samples = Array.from({ length: 10_000 }, (_, i) => i + 1)
  expect(percentileInterval(sorted(samples))).toEqual([250, 9751])
  const shifted = (by: number) => sorted(samples.map((value) => value - by))
  // 249 samples at or below 0: the interval begins above it.
  expect(percentileInterval(shifted(249))[0]).toBeGreaterThan(0)
  expect(twoSidedP(shifted(249))).toBeLessThan(0.05)
  expect(percentileInterval(shifted(250))[0]).toBeLessThanOrEqual(0)
  expect(twoSidedP(shifted(250))).toBeGreaterThan(0.05)
  expect(twoSidedP(shifted(0))).toBe(2 / 10_001)
})

test('the same seed gives the same bits, as on every machine', async () => {
  const draw = drawOfScores([question(1, 4), question(2, 4), question(4, 4)])
  const first = await means(draw, 3, 1000, 7)
  expect(await means(draw, 3, 1000, 7)).toEqual(first)
  expect(await means(draw, 3, 1000, 8)).not.toEqual(first)
  const words = new Uint32Array(4)
  new SeededBits(1, 'test').fill(words)
  expect([...words]).toEqual([1736548827, 2719577202, 2414409296, 1048292758])
})

test('random words are those of xoshiro128**, however many are asked for at once', () => {
  const digest = createHash('sha256').update('3\0name').digest()
  const state = Array.from({ length: 4 }, (_, i) => BigInt(digest.readUInt32LE(4 * i)))
  const word = (value: bigint) => BigInt.asUintN(32, value)
  const rotated = (value: bigint, by: bigint) => word((value << by) | (value >> (32n - by)))
  const next = () => {
    const [s0, s1, s2, s3] = state as [bigint, bigint, bigint, bigint]
    const mixed = [s0 ^ s3 ^ s1, s1 ^ s2 ^ s0, s2 ^ s0 ^ word(s1 << 9n), rotated(s3 ^ s1, 11n)]
    state.splice(0, 4, ...mixed)
    return Number(word(rotated(word(s1 * 5n), 7n) * 9n))
  }
  const expected = Array.from({ length: 1000 }, next)
  const bits = new SeededBits(3, 'name')
  const found = [1, 2, 497, 500].flatMap((count) => {
    const words = new Uint32Array(count)
    bits.fill(words)
    return [...words]
  })
  expect(found).toEqual(expected)
})

test('means of many questions are those of as many single draws, whatever their number', async () => {
  for (const size of [1, 2, 3, 7, 64, 100, 1023, 6511]) {
    const draw = drawOfScores([question(1, 4), question(4, 4)])
    const drawn = await means(draw, size, 20_000, size)
    const centre = drawn.reduce((a, b) => a + b) / drawn.length
    const variance = drawn.reduce((sum, each) => sum + (each - centre) ** 2, 0) / drawn.length
    // p is 1/4 or 1; its mean 5/8, between questions (3/8)², within them 3/16/4 of the one.
    const exact = (0.375 ** 2 + 3 / 128) / size
    expect(Math.abs(centre - 0.625)).toBeLessThan(4 * Math.sqrt(exact / 20_000))
    expect(variance / exact).toBeGreaterThan(0.95)
    expect(variance / exact).toBeLessThan(1.05)
    for (const mean of drawn) expect(Number.isInteger(mean * 4 * size) || size === 3 || size > 64).toBe(true)
  }
})

test('values on no common lattice are drawn one by one, to the same distribution', async () => {
  const questions = [2, 3, 5, 7, 11, 13, 17, 19, 23].map((trials) => question(1, trials))
  const drawn = await means(drawOfScores(questions), 9, 50_000)
  const shares = questions.map(({ right, trials }) => right / trials)
  const mean = shares.reduce((a, b) => a + b) / 9
  const variance =
    questions.reduce(
      (sum, { trials }) => sum + (1 / trials - mean) ** 2 + ((1 / trials) * (1 - 1 / trials)) / trials,
      0,
    ) / 81
  const centre = drawn.reduce((a, b) => a + b) / drawn.length
  const found = drawn.reduce((sum, each) => sum + (each - centre) ** 2, 0) / drawn.length
  expect(centre).toBeCloseTo(mean, 2)
  expect(found / variance).toBeGreaterThan(0.96)
  expect(found / variance).toBeLessThan(1.04)
})
