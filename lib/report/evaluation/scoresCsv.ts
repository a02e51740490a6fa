import type { Difference, EvaluationResults, Lengths, Score } from '../../evaluate/analysis/results.js'

type Value = string | number | boolean | null | undefined
type Row = Record<string, Value>

/** Every score as a row with unrounded numbers (shares from 0 to 1), for spreadsheets and scripts; RFC 4180 with a header. */
export function evaluationCsv(results: EvaluationResults): string {
  const rows = results.scores.map((score) => rowOf(results, score))
  const names = [...new Set(rows.flatMap(Object.keys))]
  const lines = rows.map((row) => names.map((name) => field(row[name])))
  return [names.map(field), ...lines].map((fields) => `${fields.join(',')}\n`).join('')
}

function rowOf({ benchmarks, differences }: EvaluationResults, score: Score): Row {
  const { model, benchmark, trials } = score
  const known = benchmarks.find(({ name }) => name === benchmark)
  const difference = differences.find((each) => each.model === model && each.benchmark === benchmark)
  const [least, most] = typeof trials === 'number' ? [trials, trials] : trials
  return {
    model,
    benchmark,
    kind: known?.kind,
    profile: known?.profile,
    version: known?.version,
    questions: score.questions,
    trials_least: least,
    trials_most: most,
    pass_at_1: score.passAt1,
    pass_at_1_low: score.interval[0],
    pass_at_1_high: score.interval[1],
    error_over_questions: score.errorOverQuestions,
    error_over_trials: score.errorOverTrials,
    consensus: score.consensus,
    mean_of_tasks: score.macro,
    trial_mean: score.perTrial.mean,
    trial_deviation: score.perTrial.deviation,
    trial_least: score.perTrial.least,
    trial_most: score.perTrial.most,
    truncated_share: score.truncatedShare,
    ...prefixed('answers', score.statuses),
    ...differenceFields(difference),
    ...lengthFields('tokens', score.lengths.all),
    ...lengthFields('tokens_right', score.lengths.right),
    ...lengthFields('tokens_wrong', score.lengths.wrong),
    ...prefixed('pass_at', Object.fromEntries(Object.entries(score.passAtK).filter(([k]) => k !== '1'))),
    ...prefixed('metric', score.metrics),
  }
}

const prefixed = (prefix: string, values: Readonly<Record<string, number>>): Row =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}_${name}`, value]))

const differenceFields = (difference: Difference | undefined): Row => ({
  baseline: difference?.baseline,
  delta: difference?.delta,
  delta_low: difference?.interval[0],
  delta_high: difference?.interval[1],
  p: difference?.p,
  noise: difference?.noise,
})

const lengthFields = (prefix: string, lengths: Lengths | null): Row => ({
  [`${prefix}_answers`]: lengths?.answers,
  [`${prefix}_mean`]: lengths?.mean,
  [`${prefix}_median`]: lengths?.median,
  [`${prefix}_p95`]: lengths?.p95,
  [`${prefix}_max`]: lengths?.max,
})

function field(value: Value): string {
  const text = value === null || value === undefined ? '' : String(value)
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
