import { SeededBits } from '../../seededBits.js'
import { checkInteger, invalidArgument } from '../../validate.js'
import type { Bootstrap } from './bootstrap.js'
import { type AnsweredQuestion, type Answers, collectAnswers } from './collectAnswers.js'
import { differenceOf } from './difference.js'
import type { Difference, EvaluationResults, ExpertComparison, Outcome, Score } from './results.js'
import { scoreOf } from './score.js'

export interface AnalyseOptions {
  /** All models, in the order in which tables show them. */
  models: readonly string[]
  /** All benchmarks, in the order in which tables show them. */
  benchmarks: EvaluationResults['benchmarks']
  /** The model with which all others are compared; null compares none. */
  baseline?: string | null | undefined
  /** The merged model: the last one that is not the baseline, by default. */
  merged?: string | undefined
  /** What the merged model is compared with beside the baseline: by default, all models but these two. */
  experts?: readonly string[] | undefined
  /** Of each bootstrap, from 39 to 1,000,000; 10,000 by default. */
  samples?: number | undefined
  /** An unsigned 32-bit number; 0 by default. */
  seed?: number | undefined
  provenance?: EvaluationResults['provenance'] | undefined
  signal?: AbortSignal | undefined
}

/** With fewer samples no sample is outside of a 95 % interval. */
const leastSamples = 39
const mostSamples = 1_000_000

/**
 * Scores, intervals and differences from graded answers, in any order. Memory grows by about 250 bytes an outcome, and by
 * none of the texts; what is computed is a function of the outcomes and options, to the bit.
 *
 * @throws ERR_INVALID_ARGUMENT for options; ERR_EVALUATION for outcomes that do not fit together; the signal's
 *   reason after an abort
 */
export async function analyse(
  outcomes: Iterable<Outcome> | AsyncIterable<Outcome>,
  options: AnalyseOptions,
): Promise<EvaluationResults> {
  const { models, benchmarks, baseline, samples, seed, signal, merged, experts } = checkOptions(options)
  const answers = await collectAnswers(
    outcomes,
    models,
    benchmarks.map(({ name }) => name),
    signal,
  )
  const analysis = new Analysis(answers, samples, seed, signal)
  const scores = await analysis.scores(models, benchmarks)
  return {
    format: 'branchmerge evaluation results',
    version: 1,
    models,
    benchmarks,
    baseline,
    scores,
    differences: baseline === null ? [] : await analysis.differences(models, [baseline], benchmarks),
    leaders: await analysis.leaders(scores, benchmarks),
    experts: await analysis.experts(merged, experts, benchmarks),
    bootstrap: { samples, seed },
    provenance: options.provenance ?? {},
  }
}

type Named = EvaluationResults['benchmarks']

class Analysis {
  constructor(
    private readonly answers: Answers,
    private readonly samples: number,
    private readonly seed: number,
    private readonly signal: AbortSignal | undefined,
  ) {}

  async scores(models: readonly string[], benchmarks: Named): Promise<Score[]> {
    const scores: Score[] = []
    for (const { name } of benchmarks) {
      for (const model of models) {
        const questions = this.questions(model, name)
        if (questions.length > 0) scores.push(await scoreOf(model, name, questions, this.bootstrap(name, model)))
      }
    }
    return scores
  }

  async differences(models: readonly string[], others: readonly string[], benchmarks: Named): Promise<Difference[]> {
    const differences: Difference[] = []
    for (const { name } of benchmarks) {
      for (const model of models) {
        for (const other of others) {
          const found = model === other ? undefined : await this.difference(model, other, name)
          if (found) differences.push(found)
        }
      }
    }
    return differences
  }

  async leaders(scores: readonly Score[], benchmarks: Named): Promise<Difference[]> {
    const leaders: Difference[] = []
    for (const { name } of benchmarks) {
      const [first, second] = scores.filter(({ benchmark }) => benchmark === name).sort((a, b) => b.passAt1 - a.passAt1)
      const found = first && second && (await this.difference(first.model, second.model, name))
      if (found) leaders.push(found)
    }
    return leaders
  }

  async experts(
    merged: string | undefined,
    experts: readonly string[],
    benchmarks: Named,
  ): Promise<ExpertComparison | null> {
    if (merged === undefined || experts.length === 0) return null
    return { merged, experts, differences: await this.differences([merged], experts, benchmarks) }
  }

  private difference(model: string, other: string, benchmark: string): Promise<Difference | undefined> {
    return differenceOf(
      [model, this.questions(model, benchmark)],
      [other, this.questions(other, benchmark)],
      benchmark,
      (first, second) => this.bootstrap(benchmark, first, second),
    )
  }

  private questions(model: string, benchmark: string): readonly AnsweredQuestion[] {
    return this.answers.get(model)?.get(benchmark) ?? []
  }

  /** Random numbers of its own for each figure, so that none depends on which others are asked for. */
  private bootstrap(...names: readonly string[]): Bootstrap {
    return { samples: this.samples, bits: new SeededBits(this.seed, JSON.stringify(names)), signal: this.signal }
  }
}

function checkOptions(options: AnalyseOptions) {
  const { models, benchmarks, baseline = null, signal } = options
  checkDistinct(models, 'models')
  checkDistinct(
    benchmarks.map(({ name }) => name),
    'benchmarks',
  )
  const known = (name: string, option: string) => {
    if (models.includes(name)) return name
    throw invalidArgument(`one of ${models.join(', ')}`, option, name)
  }
  if (baseline !== null) known(baseline, 'baseline')
  const merged =
    options.merged === undefined ? models.findLast((name) => name !== baseline) : known(options.merged, 'merged')
  const experts =
    options.experts?.map((name) => known(name, 'experts')) ??
    models.filter((name) => name !== baseline && name !== merged)
  if (merged !== undefined && experts.includes(merged))
    throw invalidArgument('experts without the merged model', 'experts', options.experts)
  return {
    models,
    benchmarks,
    baseline,
    merged,
    experts,
    samples: checkInteger(options.samples ?? 10_000, 'samples', leastSamples, mostSamples),
    seed: checkInteger(options.seed ?? 0, 'seed', 0, 2 ** 32 - 1),
    signal,
  }
}

function checkDistinct(names: readonly string[], option: string): void {
  if (new Set(names).size < names.length) throw invalidArgument('names that differ', option, names)
}
