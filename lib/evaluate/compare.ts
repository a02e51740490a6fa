import { basename } from 'node:path'
import { canonicalJson } from '../text/canonicalJson.js'
import { checkOptionNames, checkPath, checkSignal, invalidArgument } from '../validate.js'
import { analyse } from './analysis/analyse.js'
import type { EvaluationResults } from './analysis/results.js'
import { type ReadEvaluations, readOutcomes } from './readOutcomes.js'
import type { Asking, BenchmarkRecord } from './store/records.js'

/** Which models are compared, and how. */
export interface CompareOptions {
  /** The model with which all others are compared. Default: none. */
  baseline?: string | undefined
  /** The merged model. Default: the last one that is not the baseline. */
  merged?: string | undefined
  /** What the merged model is compared with beside the baseline. Default: all others. */
  experts?: readonly string[] | undefined
  /** Samples of each bootstrap. Default: 10,000. */
  samples?: number | undefined
  /** Seed of the bootstrap. Default: 0. */
  seed?: number | undefined
  signal?: AbortSignal | undefined
}

/** Results with the evaluations that they are of. */
export interface Comparison extends ReadEvaluations {
  results: EvaluationResults
}

/**
 * Scores, intervals and paired differences of what evaluations stored. Asks nothing and grades nothing.
 *
 * @param directories - of one evaluation or more, whose models have different names
 * @throws ERR_EVALUATION, ERR_INVALID_ARGUMENT; the signal's reason after an abort
 */
export async function compare(
  directories: string | readonly string[],
  options: CompareOptions = {},
): Promise<EvaluationResults> {
  const given: CompareOptions = options
  checkOptionNames(given, ['baseline', 'merged', 'experts', 'samples', 'seed', 'signal'])
  return (await compareEvaluations(checkDirectories(directories), options)).results
}

export function checkDirectories(directories: unknown): string[] {
  const list = typeof directories === 'string' ? [directories] : directories
  if (!Array.isArray(list) || list.length === 0) {
    throw invalidArgument('a directory or a list of them', 'directories', directories)
  }
  return list.map((each) => checkPath(each, 'directory'))
}

export async function compareEvaluations(
  directories: readonly string[],
  { signal: given, ...options }: CompareOptions,
): Promise<Comparison> {
  const signal = checkSignal(given)
  const read = await readOutcomes(directories, signal)
  const { models, benchmarks, provenance } = describe(read)
  const results = await analyse(read.outcomes, { ...options, models, benchmarks, provenance, signal })
  return { ...read, results }
}

/** What the records say of models and benchmarks, in the order in which they were named. */
function describe(read: ReadEvaluations) {
  const { evaluations } = read
  const records = evaluations.map(({ record }) => record)
  const askings = records.flatMap(({ askings: each }) => Object.values(each))
  const benchmarks = new Map(records.flatMap((record) => Object.entries(record.benchmarks)))
  const asked = new Set(askings.map(({ benchmark }) => benchmark))
  return {
    models: [...new Set(askings.map(({ model }) => model))],
    benchmarks: [...benchmarks]
      .filter(([name]) => asked.has(name))
      .map(([name, { kind, profile, version, confidential, notes }]) => ({
        name,
        kind,
        profile,
        version,
        confidential,
        notes,
      })),
    provenance: provenanceOf(evaluations, benchmarks, read),
  }
}

/** What the results rest on, in a form that people read below tables. The whole of it is in each evaluation.json. */
function provenanceOf(
  evaluations: ReadEvaluations['evaluations'],
  benchmarks: ReadonlyMap<string, BenchmarkRecord>,
  { missing, outdated, damaged }: ReadEvaluations,
): Record<string, unknown> {
  const records = evaluations.map(({ record }) => record)
  const models = records.flatMap((record) => Object.entries(record.models))
  return {
    evaluations: records.map(({ branchmerge, started, ended, seed, sandboxLevel }) => ({
      branchmerge,
      started,
      ended: ended ?? 'not yet',
      seed,
      ...(sandboxLevel !== null && { sandbox: `level ${sandboxLevel}` }),
    })),
    models: Object.fromEntries(
      models.map(([name, { place, identity }]) => [name, `${place}, ${identity.kind}, ${identity.model}`]),
    ),
    sampling: samplings(records.flatMap(({ askings }) => Object.values(askings))),
    files: Object.fromEntries(
      [...benchmarks].map(([name, { files }]) => [
        name,
        files.map(({ path, sha256 }) => `${basename(path)}, SHA-256 ${sha256}`),
      ]),
    ),
    ...(missing.length > 0 && { missing }),
    ...(outdated > 0 && { outdated }),
    ...(damaged > 0 && { damaged }),
  }
}

/** One sampling where all were asked alike; otherwise that of each benchmark and model. */
function samplings(askings: readonly Asking[]): unknown {
  const readable = ({ sampling }: Asking) => ({ ...sampling, stop: sampling.stop.length > 0 ? sampling.stop : 'none' })
  const different = new Set(askings.map(({ sampling }) => canonicalJson(sampling)))
  const [first] = askings
  if (first && different.size === 1) return readable(first)
  return Object.fromEntries(askings.map((asking) => [`${asking.model} on ${asking.benchmark}`, readable(asking)]))
}
