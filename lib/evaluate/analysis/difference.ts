import { type Bootstrap, bootstrapMeans, drawOfDifferences, percentileInterval, twoSidedP } from './bootstrap.js'
import type { AnsweredQuestion } from './collectAnswers.js'
import { compareText } from './compareText.js'
import type { Difference } from './results.js'
import { mean, shareOf, trialsOf } from './score.js'

/**
 * Two models on the questions that both answered; undefined where there are none. Exchanging the models changes signs and
 * nothing else: `bootstrap` is of the pair in an order of its own, by name.
 */
export async function differenceOf(
  [model, questions]: readonly [string, readonly AnsweredQuestion[]],
  [baseline, others]: readonly [string, readonly AnsweredQuestion[]],
  benchmark: string,
  bootstrap: (first: string, second: string) => Bootstrap,
): Promise<Difference | undefined> {
  if (compareText(model, baseline) > 0) {
    const turned = await differenceOf([baseline, others], [model, questions], benchmark, bootstrap)
    return turned && exchanged(turned)
  }
  const known = new Map(others.map((question) => [question.id, question]))
  const pairs = questions.flatMap((question) => {
    const other = known.get(question.id)
    return other ? [{ question: question.id, model: trialsOf(question), baseline: trialsOf(other) }] : []
  })
  if (pairs.length === 0) return undefined
  const draw = drawOfDifferences(pairs.map((pair) => [pair.model, pair.baseline] as const))
  const means = await bootstrapMeans(draw, pairs.length, bootstrap(model, baseline))
  const changes = pairs.map((pair) => ({
    question: pair.question,
    from: shareOf(pair.baseline),
    to: shareOf(pair.model),
  }))
  const interval = percentileInterval(means)
  return {
    model,
    baseline,
    benchmark,
    questions: pairs.length,
    delta: mean(changes.map(({ from, to }) => to - from)),
    interval,
    p: twoSidedP(means),
    noise: interval[0] <= 0 && interval[1] >= 0,
    gained: largestFirst(changes.filter(({ from, to }) => to > from)),
    lost: largestFirst(changes.filter(({ from, to }) => to < from)),
  }
}

type Change = Difference['gained'][number]

/** Those that changed as much stay in the order of their ids. */
const largestFirst = (changes: readonly Change[]): Change[] =>
  changes.toSorted((a, b) => Math.abs(b.to - b.from) - Math.abs(a.to - a.from))

function exchanged({ model, baseline, delta, interval: [low, high], gained, lost, ...rest }: Difference): Difference {
  const turn = ({ question, from, to }: Change): Change => ({ question, from: to, to: from })
  return {
    ...rest,
    model: baseline,
    baseline: model,
    delta: negated(delta),
    interval: [negated(high), negated(low)],
    gained: lost.map(turn),
    lost: gained.map(turn),
  }
}

/** No −0, which JSON would lose. */
const negated = (value: number): number => 0 - value
