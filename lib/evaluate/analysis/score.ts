import type { VerdictStatus } from '../../grading/verdict.js'
import { type Bootstrap, bootstrapMeans, drawOfScores, percentileInterval, type Trials } from './bootstrap.js'
import type { AnsweredQuestion } from './collectAnswers.js'
import { canVote, consensus } from './consensus.js'
import { lengthsOf } from './lengths.js'
import { passAtK } from './passAtK.js'
import type { Score } from './results.js'

export const trialsOf = ({ answers }: AnsweredQuestion): Trials => ({
  trials: answers.length,
  right: answers.filter(({ status }) => status === 'correct').length,
})

export const shareOf = ({ trials, right }: Trials): number => right / trials

/** Scores of one model on one benchmark. `questions` is not empty, and neither are the answers to each. */
export async function scoreOf(
  model: string,
  benchmark: string,
  questions: readonly AnsweredQuestion[],
  bootstrap: Bootstrap,
): Promise<Score> {
  const trials = questions.map(trialsOf)
  const shares = trials.map(shareOf)
  const answers = questions.flatMap((question) => question.answers)
  const [least, most] = extremes(trials.map((each) => each.trials))
  const means = await bootstrapMeans(drawOfScores(trials), questions.length, bootstrap)
  const groups = groupsOf(questions, shares)
  const tokensWhere = (right: boolean) =>
    lengthsOf(answers.filter(({ status }) => (status === 'correct') === right).map(({ tokens }) => tokens))
  return {
    model,
    benchmark,
    questions: questions.length,
    trials: least === most ? least : [least, most],
    passAt1: mean(shares),
    interval: percentileInterval(means),
    errorOverQuestions: errorOverQuestions(shares),
    errorOverTrials: errorOverTrials(trials),
    passAtK: passAtKs(trials, least),
    consensus: most > 1 && canVote(answers) ? mean(questions.map((question) => consensus(question.answers))) : null,
    perTrial: perTrial(questions, least),
    statuses: countStatuses(questions),
    truncatedShare: answers.filter(({ truncated }) => truncated).length / answers.length,
    lengths: {
      all: lengthsOf(answers.map(({ tokens }) => tokens)),
      right: tokensWhere(true),
      wrong: tokensWhere(false),
    },
    metrics: metricsOf(questions),
    groups,
    ...macroOf(groups),
    byQuestion: Object.fromEntries(questions.map(({ id }, i) => [id, shares[i] as number])),
  }
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0)

export const mean = (values: readonly number[]): number => sum(values) / values.length

const extremes = (values: readonly number[]): [least: number, most: number] => [
  values.reduce((a, b) => Math.min(a, b)),
  values.reduce((a, b) => Math.max(a, b)),
]

/** Standard error of the mean: sd(p) / √Q. */
function errorOverQuestions(shares: readonly number[]): number | null {
  if (shares.length < 2) return null
  const centre = mean(shares)
  const squares = sum(shares.map((share) => (share - centre) ** 2))
  return Math.sqrt(squares / (shares.length - 1) / shares.length)
}

/** √(Σ p(1 − p)/(n − 1)) / Q: each term estimates the variance of a question's share of right trials. */
function errorOverTrials(trials: readonly Trials[]): number | null {
  if (trials.some((each) => each.trials < 2)) return null
  const variances = trials.map((each) => (shareOf(each) * (1 - shareOf(each))) / (each.trials - 1))
  return Math.sqrt(sum(variances)) / trials.length
}

function passAtKs(trials: readonly Trials[], least: number): Record<number, number> {
  const all: Record<number, number> = {}
  for (let k = 1; k <= least; k *= 2) all[k] = mean(trials.map((each) => passAtK(each.trials, each.right, k)))
  return all
}

/** The j-th answer to each question, by number of trial, for each j that all questions have. */
function perTrial(questions: readonly AnsweredQuestion[], count: number): Score['perTrial'] {
  const accuracies = Array.from({ length: count }, (_, j) =>
    mean(questions.map(({ answers }) => (answers[j]?.status === 'correct' ? 1 : 0))),
  )
  const centre = mean(accuracies)
  const [least, most] = extremes(accuracies)
  return { mean: centre, deviation: Math.sqrt(mean(accuracies.map((each) => (each - centre) ** 2))), least, most }
}

function countStatuses(questions: readonly AnsweredQuestion[]): Record<VerdictStatus, number> {
  const counts = { correct: 0, wrong: 0, truncated: 0, 'no-answer': 0, unsupported: 0 }
  for (const { answers } of questions) for (const { status } of answers) counts[status]++
  return counts
}

/** Passed by total, where each question weighs by what it has of the metric, not by its trials. */
function metricsOf(questions: readonly AnsweredQuestion[]): Record<string, number> {
  const sums = new Map<string, { passed: number; total: number }>()
  for (const { metrics, answers } of questions) {
    for (const [name, { passed, total }] of metrics) {
      const before = sums.get(name) ?? { passed: 0, total: 0 }
      sums.set(name, {
        passed: before.passed + passed / answers.length,
        total: before.total + total / answers.length,
      })
    }
  }
  const counted = [...sums].filter(([, { total }]) => total > 0).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(counted.map(([name, { passed, total }]) => [name, passed / total]))
}

function groupsOf(questions: readonly AnsweredQuestion[], shares: readonly number[]): Score['groups'] {
  const found = new Map<string, Map<string, number[]>>()
  for (const [i, { labels }] of questions.entries()) {
    for (const [label, value] of Object.entries(labels)) {
      const values = found.get(label) ?? new Map<string, number[]>()
      const group = values.get(value) ?? []
      group.push(shares[i] as number)
      found.set(label, values.set(value, group))
    }
  }
  return sortedObject(found, (values) =>
    sortedObject(values, (group) => ({ questions: group.length, passAt1: mean(group) })),
  )
}

function sortedObject<V, W>(map: ReadonlyMap<string, V>, of: (value: V) => W): Record<string, W> {
  const sorted = [...map].sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(sorted.map(([name, value]) => [name, of(value)]))
}

function macroOf({ task }: Score['groups']): { macro?: number } {
  return task ? { macro: mean(Object.values(task).map(({ passAt1 }) => passAt1)) } : {}
}
