import { basename } from 'node:path'
import { BranchMergeError } from '../errors.js'
import { type EvaluationSummary, evaluationDocument, executeEvaluation, planEvaluation } from '../evaluate/evaluate.js'
import { resolveEvaluation } from '../evaluate/resolveEvaluation.js'
import { type Override, parseOverride } from '../recipe/overrides.js'
import { recipeObject } from '../recipe/recipe.js'
import { downloadReporter } from '../report/downloadProgress.js'
import { evaluationPlanRecord, evaluationPlanText } from '../report/evaluation/planText.js'
import { evaluationReporter } from '../report/evaluation/progress.js'
import { summaryText } from '../report/evaluation/summaryText.js'
import { printable } from '../text/format.js'
import { checkPath, invalidArgument } from '../validate.js'
import { type Interrupted, withStop } from './interrupt.js'
import { modelPaths } from './modelArguments.js'
import { printJson, printText } from './print.js'
import { UsageError } from './usageError.js'

/** `branchmerge evaluate evaluation.yaml | --model NAME=PLACE … --benchmark FILE … --out DIR` */
export async function runEvaluate(args: Record<string, unknown>): Promise<number> {
  const document = await (args.file === undefined ? undefined : evaluationDocument(checkPath(args.file, 'file')))
  if (document === undefined) demandOptions(args)
  const resolved = resolveEvaluation(document ?? recipeObject({}), overridesOf(args))
  const progress = evaluationReporter(process.stderr)
  const downloads = downloadReporter(process.stderr)
  return await withStop(async ({ signal, stop }) => {
    const planning = { signal, onProgress: progress.update, onDownload: downloads.update }
    const planned = await planEvaluation(resolved, planning).finally(() => {
      downloads.end()
      progress.end()
    })
    const plan = evaluationPlanRecord(planned)
    if (args.plan) {
      if (args.json) printJson(plan)
      else printText(`${evaluationPlanText(plan)}\n\nNothing was asked (--plan).`)
      return 0
    }
    progress.print(evaluationPlanText(plan))
    const resume = args.resume === true
    const running = { resume, signal, stop, onProgress: progress.update }
    const summary = await executeEvaluation(planned, running).finally(progress.end)
    const failure = failureOf(summary)
    if (args.json)
      printJson({ ...summary, ...(failure && { error: { code: failure.code, message: failure.message } }) })
    else printText(summaryText(summary))
    if (failure) progress.print(`branchmerge: ${failure.message} [${failure.code}]`)
    if (stop.aborted) return (stop.reason as Interrupted).exitCode
    return failure ? 1 : 0
  })
}

/** What failed after all retries is no wrong answer, and no success. */
function failureOf({ failed, wanted, failures }: EvaluationSummary): BranchMergeError | undefined {
  if (failed === 0) return undefined
  const reasons = Object.entries(failures).map(([model, reason]) => `\n${model}: ${reason}`)
  return new BranchMergeError(
    'ERR_ENGINE',
    `${failed} of ${wanted} answers did not come; --resume asks for them again.${reasons.join('')}`,
  )
}

function demandOptions(args: Record<string, unknown>): void {
  const missing = ['model', 'benchmark', 'out'].filter((name) => args[name] === undefined)
  if (missing.length === 0) return
  const names = missing.map((name) => `--${name}`)
  throw new UsageError(`Expected the file of an evaluation, or ${names.join(', ')} as well`)
}

/** What the options say, in place of what the file says. */
function overridesOf(args: Record<string, unknown>): Override[] {
  const of = (option: string, path: readonly string[], value: unknown): Override[] =>
    value === undefined ? [] : [{ path, value, text: `--${option}` }]
  const models = args.model === undefined ? [] : Object.entries(modelPaths(args.model))
  return [
    ...[args.set ?? []].flat().map((text) => parseOverride(String(text))),
    ...of('out', ['out'], args.out === undefined ? undefined : checkPath(args.out, 'out')),
    ...models.flatMap(([name, place]) => of(`model ${name}`, ['models', name], place)),
    ...benchmarksOf(args.benchmark).flatMap(([name, path]) => of(`benchmark ${name}`, ['benchmarks', name], path)),
    ...of('trials', ['trials'], args.trials),
    ...of('limit', ['limit'], args.limit),
    ...of('seed', ['seed'], args.seed),
    ...of('profile', ['profile'], args.profile),
    ...of('temperature', ['sampling', 'temperature'], args.temperature),
    ...of('top-p', ['sampling', 'topP'], args.topP),
    ...of('max-tokens', ['sampling', 'maxTokens'], args.maxTokens),
    ...of('max-tokens-total', ['limits', 'tokens'], args.maxTokensTotal),
    ...of('max-cost', ['limits', 'cost'], args.maxCost),
    ...of('sandbox-level', ['sandbox', 'level'], args.sandboxLevel),
  ]
}

/** `--benchmark FILE`, called as the file, or `--benchmark NAME=FILE`. */
function benchmarksOf(given: unknown): [name: string, path: string][] {
  const benchmarks = new Map<string, string>()
  for (const text of given === undefined ? [] : [given].flat()) {
    if (typeof text !== 'string') throw invalidArgument('FILE or NAME=FILE', 'benchmark', text)
    const [, named, path = text] = /^([\w.-]+)=(.+)$/s.exec(text) ?? []
    const name = named ?? basename(path).replace(/\.(jsonl|json|parquet|csv)?(\.gz)?$/i, '')
    if (benchmarks.has(name)) {
      const message = `Expected the benchmark ${printable(name)} once, not twice: name one as NAME=FILE`
      throw new BranchMergeError('ERR_INVALID_ARGUMENT', message)
    }
    benchmarks.set(name, path)
  }
  return [...benchmarks]
}
