import type { EvaluationResults, Outcome } from '../../lib/evaluate/analysis/results.js'

/** Right answers by trial, of each question: '1101' is four trials, three of them right. */
export function outcomesOf(
  model: string,
  questions: Readonly<Record<string, string>>,
  more: Partial<Outcome> = {},
): Outcome[] {
  return Object.entries(questions).flatMap(([question, trials]) =>
    [...trials].map((right, trial) => ({
      model,
      benchmark: 'aime24',
      question,
      trial,
      labels: {},
      status: right === '1' ? ('correct' as const) : ('wrong' as const),
      extracted: right === '1' ? 'right' : `wrong ${trial}`,
      tokens: 1000 + trial,
      truncated: false,
      ...more,
    })),
  )
}

export const benchmarkOf = (
  name: string,
  more: Partial<EvaluationResults['benchmarks'][number]> = {},
): EvaluationResults['benchmarks'][number] => ({
  name,
  kind: 'custom',
  profile: 'strict',
  version: '1',
  confidential: false,
  notes: [],
  ...more,
})
