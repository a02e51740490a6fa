import { analyse } from '../../lib/evaluate/analysis/analyse.js'
import type { EvaluationResults, Outcome } from '../../lib/evaluate/analysis/results.js'
import { Random } from './random.js'

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

/** Four models on three benchmarks, one of them with tasks, one with metrics, one that not all models answered. */
export function sampleResults(): Promise<EvaluationResults> {
  const random = new Random(4)
  const models = ['base', 'math', 'code', 'merged']
  const chance = { base: 0.4, math: 0.55, code: 0.45, merged: 0.7 } as Record<string, number>
  const trials = (p: number, count: number) =>
    Array.from({ length: count }, () => (random.uniform() < p ? '1' : '0')).join('')
  const questions = (count: number, trialsOf: number, p: number) =>
    Object.fromEntries(
      Array.from({ length: count }, (_, i) => [`q${i}`, trials(p + (random.uniform() - 0.5) * 0.5, trialsOf)]),
    )
  const outcomes = models.flatMap((model) => {
    const p = chance[model] as number
    const tokens = () => Math.round(2000 + 12_000 * random.uniform())
    const drawn = (all: Outcome[]) =>
      all.map((each) => ({ ...each, tokens: tokens(), truncated: random.below(30) === 0 }))
    const tasks = ['navigate', 'snarks'].flatMap((task) =>
      outcomesOf(
        model,
        Object.fromEntries(Object.entries(questions(20, 1, p)).map(([id, right]) => [`${task}/${id}`, right])),
        { benchmark: 'bbh', labels: { task } },
      ),
    )
    const instructions = outcomesOf(model, questions(25, 2, p + 0.1), { benchmark: 'ifeval', extracted: null }).map(
      (each) => ({
        ...each,
        metrics: {
          'prompt loose': { passed: each.status === 'correct' ? 1 : random.below(2), total: 1 },
          'instruction strict': { passed: each.status === 'correct' ? 2 : random.below(2), total: 2 },
        },
      }),
    )
    const reasoning = drawn(outcomesOf(model, questions(30, 8, p)))
    return [...reasoning, ...drawn(tasks), ...(model === 'code' ? [] : drawn(instructions))]
  })
  return analyse(outcomes, {
    models,
    benchmarks: [
      benchmarkOf('aime24', { kind: 'aime', version: '2' }),
      benchmarkOf('bbh', { kind: 'bbh', notes: ['2 questions stand twice'] }),
      benchmarkOf('ifeval', { kind: 'ifeval' }),
    ],
    baseline: 'base',
    provenance: {
      sampling: { temperature: 0.6, topP: 0.95, maxTokens: 32_768 },
      seed: 1,
      servers: { base: ['http://localhost:8000/v1'] },
      files: { 'aime.jsonl': 'sha256 0123' },
    },
  })
}
