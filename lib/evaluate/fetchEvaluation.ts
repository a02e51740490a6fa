import { fetchModel } from '../asking/fetchModel.js'
import type { ResolvedModel } from '../asking/resolveModel.js'
import { BranchMergeError } from '../errors.js'
import type { DownloadOptions } from '../hub/download.js'
import { fetchPlaces } from '../hub/hub.js'
import type { ResolvedBenchmark, ResolvedEvaluation } from './resolveEvaluation.js'

/**
 * The evaluation with paths for what it names on the Hub. The record keeps the names, of models with their commits.
 *
 * @throws ERR_HUB_*, ERR_DISK_FULL, ERR_OUTPUT_WRITE; ERR_BENCHMARK for a name of several files; the signal's reason after an abort
 */
export async function fetchEvaluation(
  evaluation: ResolvedEvaluation,
  options: DownloadOptions,
): Promise<ResolvedEvaluation> {
  const models: ResolvedModel[] = []
  for (const model of evaluation.models) models.push(await fetchModel(model, options))
  const benchmarks: ResolvedBenchmark[] = []
  for (const benchmark of evaluation.benchmarks) benchmarks.push(await fetchBenchmark(benchmark, options))
  return { ...evaluation, models, benchmarks }
}

async function fetchBenchmark(benchmark: ResolvedBenchmark, options: DownloadOptions): Promise<ResolvedBenchmark> {
  const { spec } = benchmark
  const [found] = await fetchPlaces([{ place: spec.path, wanted: 'data' }], options)
  const paths = found?.paths ?? []
  if (paths.length === 1) return { ...benchmark, spec: { ...spec, path: paths[0] as string } }
  throw new BranchMergeError(
    'ERR_BENCHMARK',
    `Expected one file for the benchmark ${spec.name} but ${spec.path} has ${paths.length}: name one of them`,
  )
}
