import type { Limits } from '../asking/budget.js'
import type { GivenModel } from '../asking/resolveModel.js'
import type { Sampling } from '../engines/generation.js'
import type { SandboxOptions } from '../sandbox/sandboxOptions.js'
import type { BenchmarkSpec } from './benchmarks/openBenchmark.js'

/** Which models answer which questions, and how: recipes/evaluation.schema.json in types; docs/evaluate.md explains each. */
export interface EvaluationOptions {
  /** Directory of answers, grades and reports. */
  out: string
  /** By name: a directory, a URL (`http://host:8000/v1#served-name`), or an engine with options. */
  models: Readonly<Record<string, GivenModel>>
  /** By name: a path, or a benchmark with options. */
  benchmarks: Readonly<Record<string, string | BenchmarkOptions>>
  /** Answers to each question. Default: each benchmark's own. */
  trials?: number | undefined
  /** Ask only the first questions of each benchmark. */
  limit?: number | undefined
  /** Of requests and shuffles, from 0 to 2^53 − 1. Default: 0. */
  seed?: number | undefined
  /** Default: strict. */
  profile?: 'strict' | 'paper' | undefined
  /** Default: as the paper, with what a benchmark sets instead. */
  sampling?: Partial<Sampling> | undefined
  /** What may be used in all, stored answers included. */
  limits?: Limits | undefined
  sandbox?: SandboxOptions | undefined
}

export interface BenchmarkOptions extends Omit<BenchmarkSpec, 'name'> {
  trials?: number | undefined
  limit?: number | undefined
  sampling?: Partial<Sampling> | undefined
}
