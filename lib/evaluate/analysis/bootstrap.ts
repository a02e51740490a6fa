import { setImmediate } from 'node:timers/promises'
import type { SeededBits } from '../../seededBits.js'
import type { Interval } from './results.js'

/** A question's trials: how many there are, and how many are right. */
export interface Trials {
  trials: number
  right: number
}

/** Values that a drawn question can have, ascending, as numerators over `denominator`, and how probable each is. */
export interface Draw {
  values: readonly number[]
  probabilities: readonly number[]
  denominator: number
}

/** A larger denominator would let sums of numerators leave the integers that a double holds, from 2^53 on. */
const mostDenominator = 2 ** 24
/** Where the common denominator is larger, values are rounded to this part of 1. */
const fixedDenominator = 2 ** 24
/** Values of the largest table, which with its three columns fits the cache that a core has for itself. */
const mostCells = 4097
/** Draws between two moments at which others may run: about 20 ms. */
const drawsWithoutPause = 2 ** 22

/**
 * What one draw of a two-level bootstrap gives: a question, each as likely as any other, then as many of its trials as it
 * has, drawn from them with replacement. Given the question, the number of right ones is binomial; so a draw of both levels
 * is one draw from the mixture of these binomials, and costs one random number however many trials there are.
 */
export function drawOfScores(questions: readonly Trials[]): Draw {
  const denominator = commonDenominator(questions.map(({ trials }) => trials))
  return mixture(
    questions,
    ({ trials, right }) => `${trials} ${right}`,
    denominator,
    (question, add) => {
      for (const [right, probability] of binomial(question).entries())
        add(numerator(right, question.trials, denominator), probability)
    },
  )
}

/** The same for the difference of two models on one drawn question: each model's trials are drawn by themselves. */
export function drawOfDifferences(questions: readonly (readonly [model: Trials, baseline: Trials])[]): Draw {
  const denominator = commonDenominator(questions.flatMap(([model, baseline]) => [model.trials, baseline.trials]))
  const kind = ([a, b]: readonly [Trials, Trials]) => `${a.trials} ${a.right} ${b.trials} ${b.right}`
  return mixture(questions, kind, denominator, ([model, baseline], add) => {
    const ofBaseline = binomial(baseline)
    for (const [right, probability] of binomial(model).entries()) {
      for (const [less, other] of ofBaseline.entries()) {
        const value = numerator(right, model.trials, denominator) - numerator(less, baseline.trials, denominator)
        add(value, probability * other)
      }
    }
  })
}

function commonDenominator(counts: readonly number[]): number {
  let all = 1
  for (const count of new Set(counts)) {
    all *= count / greatestCommonDivisor(all, count)
    if (all > mostDenominator) return fixedDenominator
  }
  return all
}

const greatestCommonDivisor = (a: number, b: number): number => (b === 0 ? a : greatestCommonDivisor(b, a % b))

const numerator = (right: number, trials: number, denominator: number): number =>
  Math.round((right / trials) * denominator)

/** Questions of the same kind are counted first, and kinds and values sorted: the order of questions changes no bit. */
function mixture<Q>(
  questions: readonly Q[],
  kindOf: (question: Q) => string,
  denominator: number,
  valuesOf: (question: Q, add: (value: number, probability: number) => void) => void,
): Draw {
  const kinds = new Map<string, { question: Q; count: number }>()
  for (const question of questions) {
    const kind = kindOf(question)
    const known = kinds.get(kind)
    if (known) known.count++
    else kinds.set(kind, { question, count: 1 })
  }
  const probabilities = new Map<number, number>()
  for (const [, { question, count }] of [...kinds].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const weight = count / questions.length
    valuesOf(question, (value, probability) => {
      if (probability > 0) probabilities.set(value, (probabilities.get(value) ?? 0) + weight * probability)
    })
  }
  const sorted = [...probabilities].sort(([a], [b]) => a - b)
  return { values: sorted.map(([value]) => value), probabilities: sorted.map(([, each]) => each), denominator }
}

/**
 * Probabilities of 0 … n right trials when n are drawn from n of which `right` are: each follows from its neighbour, from the
 * most likely one outward, so nothing overflows, and only + − × ÷ are used, which give the same bits everywhere.
 */
export function binomial({ trials, right }: Trials): number[] {
  const weights = new Array<number>(trials + 1).fill(0)
  weights[right] = 1
  const wrong = trials - right
  for (let i = right + 1; i <= trials; i++)
    weights[i] = wrong === 0 ? 0 : ((weights[i - 1] as number) * (trials - i + 1) * right) / (i * wrong)
  for (let i = right - 1; i >= 0; i--)
    weights[i] = ((weights[i + 1] as number) * (i + 1) * wrong) / ((trials - i) * right)
  const sum = weights.reduce((a, b) => a + b)
  return weights.map((weight) => weight / sum)
}

export interface Bootstrap {
  samples: number
  bits: SeededBits
  signal?: AbortSignal | undefined
}

/**
 * Means of `size` draws each, ascending. Sums of 2, 4, 8 … draws have tables of their own, so a mean takes few random words
 * however many questions there are. A word chooses by Walker's alias method, which meets a probability to about
 * (number of values) · 2⁻³²; sums are of integers, and exact. Rejects with the signal's reason.
 */
export async function bootstrapMeans(
  draw: Draw,
  size: number,
  { samples, bits, signal }: Bootstrap,
): Promise<Float64Array> {
  const tables = sumTables(draw, size)
  const words = new Uint32Array(tables.reduce((sum, { times }) => sum + times, 0))
  const means = new Float64Array(samples)
  let sincePause = 0
  for (let sample = 0; sample < samples; sample++) {
    bits.fill(words)
    let used = 0
    let sum = 0
    for (const { times, own, other, share } of tables) {
      const scale = own.length / 2 ** 32
      for (const end = used + times; used < end; used++) {
        const place = (words[used] as number) * scale
        const i = Math.floor(place)
        sum += place - i < (share[i] as number) ? (own[i] as number) : (other[i] as number)
      }
    }
    means[sample] = sum / (draw.denominator * size)
    sincePause += words.length
    if (sincePause >= drawsWithoutPause) {
      sincePause = 0
      await setImmediate()
      signal?.throwIfAborted()
    }
  }
  return means.sort()
}

/** Tables of sums of 2^j draws, and how often each is used, which together make `size` draws. */
function sumTables(draw: Draw, size: number): (AliasTable & { times: number })[] {
  const first = draw.values[0] as number
  const step = draw.values.reduce((all, value) => greatestCommonDivisor(all, value - first), 0) || 1
  const tables: (AliasTable & { times: number })[] = []
  let left = size
  let dense = denseOf(draw, first, step)
  for (let draws = 1; ; draws *= 2) {
    const isLast = dense === undefined || 2 * dense.length - 1 > mostCells || 2 * draws > left
    const times = isLast ? left / draws : (left / draws) % 2
    const table = dense ? sparseOf(dense, draws * first, step, draw.denominator) : draw
    if (times > 0) tables.push({ ...aliasTable(table), times })
    left -= times * draws
    if (isLast || dense === undefined) return tables
    dense = convolved(dense)
  }
}

/** Probabilities by multiples of `step` above the first value; undefined where these are too many. */
function denseOf({ values, probabilities }: Draw, first: number, step: number): Float64Array | undefined {
  const length = ((values.at(-1) as number) - first) / step + 1
  if (length > mostCells) return undefined
  const dense = new Float64Array(length)
  for (const [i, value] of values.entries()) dense[(value - first) / step] = probabilities[i] as number
  return dense
}

function sparseOf(dense: Float64Array, first: number, step: number, denominator: number): Draw {
  const places = [...dense.keys()].filter((i) => (dense[i] as number) > 0)
  return {
    values: places.map((i) => first + i * step),
    probabilities: places.map((i) => dense[i] as number),
    denominator,
  }
}

/** The probabilities of the sum of two. */
function convolved(one: Float64Array): Float64Array {
  const both = new Float64Array(2 * one.length - 1)
  for (let i = 0; i < one.length; i++) {
    const probability = one[i] as number
    if (probability === 0) continue
    for (let j = 0; j < one.length; j++) both[i + j] = (both[i + j] as number) + probability * (one[j] as number)
  }
  return both
}

interface AliasTable {
  own: Float64Array
  other: Float64Array
  /** How much of a value's own cell is its own; the rest is the other's. */
  share: Float64Array
}

/** Walker's table in Vose's form. */
function aliasTable({ values, probabilities }: Draw): AliasTable {
  const own = Float64Array.from(values)
  const other = Float64Array.from(values)
  const share = Float64Array.from(probabilities, (probability) => probability * values.length)
  const small: number[] = []
  const large: number[] = []
  for (const [i, each] of share.entries()) (each < 1 ? small : large).push(i)
  while (small.length > 0 && large.length > 0) {
    const [poor, rich] = [small.pop() as number, large.pop() as number]
    other[poor] = own[rich] as number
    const rest = (share[rich] as number) + (share[poor] as number) - 1
    share[rich] = rest
    ;(rest < 1 ? small : large).push(rich)
  }
  // What is left has a whole cell, but for rounding.
  for (const i of [...small, ...large]) share[i] = 1
  return { own, other, share }
}

/**
 * The 95 % interval of sorted means: as many are below it as above it, and no more than 2.5 % of the samples plus one. 10,000
 * samples give the 250th from either end.
 */
export function percentileInterval(means: Float64Array): Interval {
  const outside = cutOff(means.length)
  return [means[outside - 1] as number, means[means.length - outside] as number]
}

const cutOff = (samples: number): number => Math.max(1, Math.floor((samples + 1) / 40))

/**
 * Two-sided p of "no difference": twice the smaller share of samples at 0 or beyond it, counting the observation itself as
 * one (Davison and Hinkley), so never 0. With 10,000 samples, p > 0.05 exactly where the interval holds 0.
 */
export function twoSidedP(means: Float64Array): number {
  let [below, above] = [0, 0]
  for (const mean of means) {
    if (mean <= 0) below++
    if (mean >= 0) above++
  }
  return Math.min(1, (2 * (Math.min(below, above) + 1)) / (means.length + 1))
}
