import type { Difference, EvaluationResults, Score } from '../../evaluate/analysis/results.js'
import { differenceText, percent, percentInterval, pText, scoreText, sizeText, wholeText } from './numbers.js'
import { type Cell, type Column, type ColumnGroup, emptyCell, type Table } from './table.js'

type Benchmark = EvaluationResults['benchmarks'][number]

/** Benchmarks that the paper's third table is about, beside any that has further metrics. */
const generalKinds = ['ifeval', 'humaneval', 'bbh']
/** A label with more values, such as an address, tells questions apart and does not group them. */
const mostGroups = 100

/** All tables that the results have something for, in the order in which they are read. */
export const tablesOf = (results: EvaluationResults): Table[] => [...summaryTables(results), ...detailTables(results)]

/** In the shapes of the paper's three tables. */
export const summaryTables = (results: EvaluationResults): Table[] =>
  [mainTable(results), expertTable(results), generalTable(results)].filter((table) => table !== undefined)

const scoreIn = ({ scores }: EvaluationResults, model: string, { name }: Benchmark): Score | undefined =>
  scores.find((score) => score.model === model && score.benchmark === name)

/** Of a benchmark that any of the models answered. */
const answered = (results: EvaluationResults, models: readonly string[]): Benchmark[] =>
  results.benchmarks.filter((benchmark) => models.some((model) => scoreIn(results, model, benchmark)))

function scoreColumn(
  results: EvaluationResults,
  models: readonly string[],
  benchmark: Benchmark,
  header: string,
  cellOf: (score: Score) => Cell | undefined,
): Column {
  const cellFor = (model: string): Cell => {
    const score = scoreIn(results, model, benchmark)
    return (score && cellOf(score)) ?? emptyCell
  }
  return { header, cells: models.map(cellFor) }
}

function differenceColumn(
  models: readonly string[],
  header: string,
  found: (model: string) => Difference | undefined,
): Column {
  const cellFor = (model: string): Cell => {
    const difference = found(model)
    return difference ? { text: differenceText(difference), value: difference.delta } : emptyCell
  }
  return { header, cells: models.map(cellFor) }
}

/** The only size, or a column of sizes where models differ. */
function sizes(results: EvaluationResults, models: readonly string[], benchmark: Benchmark) {
  const texts = models.flatMap((model) => {
    const score = scoreIn(results, model, benchmark)
    return score ? [sizeText(score)] : []
  })
  const one = new Set(texts).size === 1
  const column = () => scoreColumn(results, models, benchmark, 'n', (score) => ({ text: sizeText(score) }))
  return { name: one ? `${benchmark.name} (${texts[0]})` : benchmark.name, columns: one ? [] : [column()] }
}

const passCell =
  (results: EvaluationResults) =>
  (score: Score): Cell => ({
    text: scoreText(score),
    value: score.passAt1,
    best: isBest(results, score),
  })

/** Ahead of the next one by more than chance. */
export const isBest = ({ leaders }: EvaluationResults, { model, benchmark }: Score): boolean =>
  leaders.some((leader) => leader.benchmark === benchmark && leader.model === model && !leader.noise)

/** Table 1: models by benchmarks. */
export function mainTable(results: EvaluationResults): Table {
  const { models, baseline, differences } = results
  const groups = answered(results, models).map((benchmark): ColumnGroup => {
    const { name, columns } = sizes(results, models, benchmark)
    const against = differenceColumn(models, `Δ to ${baseline}`, (model) =>
      differences.find((each) => each.benchmark === benchmark.name && each.model === model),
    )
    const p = (model: string): Cell => {
      const found = differences.find((each) => each.benchmark === benchmark.name && each.model === model)
      return found ? { text: pText(found.p), value: found.p } : emptyCell
    }
    return {
      name,
      columns: [
        ...columns,
        scoreColumn(results, models, benchmark, 'pass@1', passCell(results)),
        ...(baseline === null ? [] : [against, { header: 'p', cells: models.map(p) }]),
        scoreColumn(results, models, benchmark, 'truncated', ({ truncatedShare }) => ({
          text: percent(truncatedShare),
          value: truncatedShare,
        })),
      ],
    }
  })
  return {
    name: 'main',
    title: 'Scores in %',
    rowHeader: 'model',
    rows: models,
    groups,
    notes: [
      'pass@1 is the mean over questions, with its 95 % interval; n is questions × trials.',
      ...(baseline === null
        ? []
        : [
            `Δ is in percentage points, over the questions that ${baseline} answered, too; noise: its 95 % interval holds 0.`,
          ]),
      'The best is bold (* in a terminal) where its lead over the next model has a 95 % interval that excludes 0.',
    ],
  }
}

/** Table 2: experts against the merged model. */
export function expertTable(results: EvaluationResults): Table | undefined {
  if (!results.experts) return undefined
  const { merged, experts, differences } = results.experts
  const models = [...experts, merged]
  const groups = answered(results, models).map((benchmark): ColumnGroup => {
    const { name, columns } = sizes(results, models, benchmark)
    const gained = differenceColumn(models, `Δ of ${merged}`, (model) =>
      differences.find((each) => each.benchmark === benchmark.name && each.baseline === model),
    )
    return {
      name,
      columns: [
        ...columns,
        scoreColumn(results, models, benchmark, 'pass@1', (score) => ({
          text: scoreText(score),
          value: score.passAt1,
        })),
        gained,
      ],
    }
  })
  return {
    name: 'experts',
    title: 'Experts and the merged model, in %',
    rowHeader: 'model',
    rows: models,
    groups,
    notes: [`Δ is what ${merged} has more than the expert of the row, in percentage points.`],
  }
}

/** Table 3: general ability, with all that its benchmarks measure, and what answers cost. */
export function generalTable(results: EvaluationResults): Table | undefined {
  const { models } = results
  const benchmarks = answered(results, models)
  const scoresOf = ({ name }: Benchmark) => results.scores.filter(({ benchmark }) => benchmark === name)
  const general = benchmarks.filter(
    (benchmark) =>
      generalKinds.includes(benchmark.kind) ||
      scoresOf(benchmark).some(({ macro, metrics }) => macro !== undefined || Object.keys(metrics).length > 0),
  )
  const groups = general.map((benchmark): ColumnGroup => {
    const scores = scoresOf(benchmark)
    const metrics = [...new Set(scores.flatMap((score) => Object.keys(score.metrics)))].sort()
    const share = (header: string, of: (score: Score) => number | undefined) =>
      scoreColumn(results, models, benchmark, header, (score) => {
        const value = of(score)
        return value === undefined ? undefined : { text: percent(value), value }
      })
    const macro = scores.some((score) => score.macro !== undefined)
    return {
      name: benchmark.name,
      columns: [
        share('pass@1', ({ passAt1 }) => passAt1),
        ...(macro ? [share('mean of tasks', (score) => score.macro)] : []),
        ...metrics.map((metric) => share(metric, (score) => score.metrics[metric])),
      ],
    }
  })
  const counted = benchmarks.filter((benchmark) => scoresOf(benchmark).some(({ lengths }) => lengths.all))
  const tokens: ColumnGroup = {
    name: 'output tokens, mean',
    columns: counted.map((benchmark) =>
      scoreColumn(results, models, benchmark, benchmark.name, ({ lengths: { all } }) =>
        all ? { text: wholeText(all.mean), value: all.mean } : undefined,
      ),
    ),
  }
  if (groups.length === 0 && counted.length === 0) return undefined
  return {
    name: 'general',
    title: 'General ability in %, and output tokens',
    rowHeader: 'model',
    rows: models,
    groups: [...groups, ...(counted.length > 0 ? [tokens] : [])],
    notes: counted.length > 0 ? ['Output tokens include reasoning and truncated answers.'] : [],
  }
}

/** Everything else that is known of scores: a table for each benchmark. */
function detailTables(results: EvaluationResults): Table[] {
  const { models } = results
  return answered(results, models).map((benchmark) => {
    const column = (header: string, cell: (score: Score) => Cell | undefined) =>
      scoreColumn(results, models, benchmark, header, cell)
    const share = (header: string, of: (score: Score) => number | null | undefined) =>
      column(header, (score) => {
        const value = of(score)
        return value === null || value === undefined ? undefined : { text: percent(value), value }
      })
    const count = (header: string, of: (score: Score) => number) =>
      column(header, (score) => ({ text: wholeText(of(score)), value: of(score) }))
    const scores = results.scores.filter((score) => score.benchmark === benchmark.name)
    const ks = [...new Set(scores.flatMap((score) => Object.keys(score.passAtK).map(Number)))].filter((k) => k > 1)
    const columns = [
      share('SE questions', (score) => score.errorOverQuestions),
      share('SE trials', (score) => score.errorOverTrials),
      ...ks.sort((a, b) => a - b).map((k) => share(`pass@${k}`, (score) => score.passAtK[k])),
      share('consensus', (score) => score.consensus),
      share('trial SD', ({ perTrial }) => perTrial.deviation),
      share('least', ({ perTrial }) => perTrial.least),
      share('most', ({ perTrial }) => perTrial.most),
      count('correct', ({ statuses }) => statuses.correct),
      count('wrong', ({ statuses }) => statuses.wrong),
      count('truncated', ({ statuses }) => statuses.truncated),
      count('no answer', ({ statuses }) => statuses['no-answer']),
      count('unsupported', ({ statuses }) => statuses.unsupported),
    ]
    return {
      name: `details-${benchmark.name}`,
      title: `${benchmark.name}: details`,
      rowHeader: 'model',
      rows: models,
      groups: [{ name: '', columns }],
      notes: [
        'SE: standard errors in percentage points, for questions as drawn from many, and for these questions alone. Trial SD, least and most: of the accuracies of single trials. Counts are of answers; all but correct count as wrong.',
      ],
    }
  })
}

/** Scores by label, such as BBH's tasks: a table for each label of a benchmark, one row for each value. */
export function groupTables(results: EvaluationResults): Table[] {
  return answered(results, results.models).flatMap((benchmark) => {
    const scores = results.scores.filter((score) => score.benchmark === benchmark.name)
    const labels = [...new Set(scores.flatMap(({ groups }) => Object.keys(groups)))].sort()
    return labels.map((label) => groupTable(scores, benchmark, label))
  })
}

function groupTable(scores: readonly Score[], benchmark: Benchmark, label: string): Table {
  const values = [...new Set(scores.flatMap(({ groups }) => Object.keys(groups[label] ?? {})))].sort()
  const rows = values.length <= mostGroups ? values : []
  const columns = scores.map(({ model, groups }): Column => {
    const cell = (value: string): Cell => {
      const group = groups[label]?.[value]
      return group ? { text: percent(group.passAt1), value: group.passAt1 } : emptyCell
    }
    return { header: model, cells: rows.map(cell) }
  })
  const questions = (value: string) =>
    scores.reduce((most, { groups }) => Math.max(most, groups[label]?.[value]?.questions ?? 0), 0)
  const size: Column = {
    header: 'questions',
    cells: rows.map((value) => ({ text: wholeText(questions(value)), value: questions(value) })),
  }
  return {
    name: `groups ${benchmark.name} ${label}`,
    title: `${benchmark.name} by ${label}: pass@1 in %`,
    rowHeader: label,
    rows,
    groups: [{ name: '', columns: [size, ...columns] }],
    notes:
      rows.length < values.length
        ? [`${label} has ${values.length} values, too many for a table; results.json has them.`]
        : [],
  }
}

/** What stands under all tables. */
export function footerLines(results: EvaluationResults): string[] {
  const { provenance } = results
  return [
    ...summaryLines(results),
    ...Object.entries(provenance).map(([name, value]) => `${name}: ${described(value)}`),
  ]
}

/** What the tables rest on, without where the answers come from. */
export function summaryLines(results: EvaluationResults): string[] {
  const { benchmarks, bootstrap, leaders, baseline, experts } = results
  const uneven = benchmarks.flatMap(({ name }) => {
    const counts = results.scores.filter(({ benchmark }) => benchmark === name).map(({ questions }) => questions)
    return new Set(counts).size > 1 ? [`${name}: models answered different numbers of questions.`] : []
  })
  return [
    ...benchmarks.map(({ name, kind, profile, version }) => `${name}: ${kind}, profile ${profile}, version ${version}`),
    ...benchmarks.flatMap(({ name, notes }) => notes.map((note) => `${name}: ${note}`)),
    ...uneven,
    `95 % intervals: two-level bootstrap over questions and trials, ${wholeText(bootstrap.samples)} samples, seed ${bootstrap.seed}`,
    ...(baseline === null ? [] : [`baseline: ${baseline}`]),
    ...(experts ? [`merged: ${experts.merged}; experts: ${experts.experts.join(', ')}`] : []),
    ...leaders.map(
      ({ benchmark, model, baseline: next, delta, interval, p, noise }) =>
        `${benchmark}: ${model} leads ${next} by ${percent(delta)} ${percentInterval(interval)} points, p ${pText(p)}${noise ? ', noise' : ''}`,
    ),
  ]
}

/** Any value of JSON in one line: `temperature 0.6, topP 0.95`. */
function described(value: unknown): string {
  if (Array.isArray(value)) return value.map(nested).join('; ')
  if (typeof value === 'object' && value !== null)
    return Object.entries(value)
      .map(([name, each]) => `${name} ${nested(each)}`)
      .join(', ')
  return String(value)
}

const nested = (value: unknown): string =>
  typeof value === 'object' && value !== null ? `(${described(value)})` : described(value)
