import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { ValidateFunction } from 'ajv/dist/2020.js'
import type { Limits } from '../asking/budget.js'
import { type ResolvedModel, resolveModel } from '../asking/resolveModel.js'
import type { Sampling } from '../engines/generation.js'
import { BranchMergeError } from '../errors.js'
import { placeFromFile } from '../hub/hubName.js'
import { pathFromFile } from '../pathFromFile.js'
import { applyOverrides, locateWith, type Override } from '../recipe/overrides.js'
import { type Path, Problems } from '../recipe/problems.js'
import type { RecipeDocument } from '../recipe/recipe.js'
import { compileSchema, schemaProblems } from '../recipe/schemaProblems.js'
import type { SandboxOptions } from '../sandbox/sandboxOptions.js'
import type { BenchmarkSpec } from './benchmarks/openBenchmark.js'
import type { BenchmarkOptions, EvaluationOptions } from './evaluationOptions.js'

export interface ResolvedBenchmark {
  spec: BenchmarkSpec
  trials: number | undefined
  limit: number | undefined
  /** What the user says of it; it goes before what the benchmark sets. */
  sampling: Partial<Sampling>
}

/** An evaluation whose every choice is made but for those that depend on the files. */
export interface ResolvedEvaluation {
  out: string
  models: readonly ResolvedModel[]
  benchmarks: readonly ResolvedBenchmark[]
  seed: number
  limits: Limits
  sandbox: SandboxOptions
}

let compiled: ValidateFunction | undefined

/** recipes/evaluation.schema.json. */
function validator(): ValidateFunction {
  compiled ??= compileSchema(
    JSON.parse(readFileSync(new URL('../../recipes/evaluation.schema.json', import.meta.url), 'utf8')),
  )
  return compiled
}

/**
 * Checks an evaluation and settles its defaults. Reads no file and asks no server. Paths start from the directory of the file.
 *
 * @throws ERR_RECIPE with everything that is wrong, each problem with its line
 */
export function resolveEvaluation(document: RecipeDocument, overrides: readonly Override[] = []): ResolvedEvaluation {
  const given = applyOverrides(document.value, overrides)
  const problems = new Problems(document.file ?? 'The evaluation', locateWith(document.locate, overrides))
  schemaProblems(validator(), given, problems, { subject: 'the evaluation' })
  problems.throwIfAny()
  const evaluation = given as unknown as EvaluationOptions
  const directory = document.file === undefined ? '.' : dirname(document.file)
  const models = Object.entries(evaluation.models).flatMap(([name, model]) =>
    collect(problems, ['models', name], () => resolveModel(name, model, directory)),
  )
  const benchmarks = Object.entries(evaluation.benchmarks).map(([name, each]) =>
    resolveBenchmark(name, each, evaluation, directory),
  )
  for (const { name, price } of models) {
    if (evaluation.limits?.cost === undefined || price) continue
    problems.add(['models', name], `Expected a price of ${name}, as limits.cost needs it: 0 where it costs nothing`)
  }
  problems.throwIfAny()
  return {
    out: pathFromFile(evaluation.out, directory),
    models,
    benchmarks,
    seed: evaluation.seed ?? 0,
    limits: evaluation.limits ?? {},
    sandbox: evaluation.sandbox ?? {},
  }
}

/** What `make` makes; or nothing, and what it refused becomes a problem at this path. */
function collect<T>(problems: Problems, path: Path, make: () => T): T[] {
  try {
    return [make()]
  } catch (error) {
    if (!(error instanceof BranchMergeError)) throw error
    problems.add(path, error.message)
    return []
  }
}

function resolveBenchmark(
  name: string,
  given: string | BenchmarkOptions,
  evaluation: EvaluationOptions,
  directory: string,
): ResolvedBenchmark {
  const { trials, limit, sampling, ...spec } = typeof given === 'string' ? { path: given } : given
  return {
    spec: { profile: evaluation.profile, ...spec, name, path: placeFromFile(spec.path, directory, 'dataset') },
    trials: trials ?? evaluation.trials,
    limit: limit ?? evaluation.limit,
    sampling: { ...evaluation.sampling, ...sampling },
  }
}
