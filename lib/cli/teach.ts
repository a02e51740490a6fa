import { BranchMergeError } from '../errors.js'
import { type Override, parseOverride } from '../recipe/overrides.js'
import { recipeObject } from '../recipe/recipe.js'
import { downloadReporter } from '../report/downloadProgress.js'
import { teachingReporter } from '../report/teaching/progress.js'
import { batchWrittenText, teachingPlanRecord, teachingPlanText, teachingText } from '../report/teaching/text.js'
import { resolveTeaching } from '../teach/resolveTeaching.js'
import {
  executeTeaching,
  planTeaching,
  type TeachingSummary,
  type TeachingWork,
  teachingDocument,
  workOf,
} from '../teach/teach.js'
import { checkPath, invalidArgument } from '../validate.js'
import { type Interrupted, withStop } from './interrupt.js'
import { printJson, printText } from './print.js'
import { UsageError } from './usageError.js'

/** `branchmerge teach questions.jsonl --server URL --model NAME --out trajectories.jsonl`, or `branchmerge teach teaching.yaml` */
export async function runTeach(args: Record<string, unknown>): Promise<number> {
  const source = checkPath(args.source, 'source')
  const isFile = /\.ya?ml$/i.test(source)
  const work = workOf({
    ...(args.writeBatch !== undefined && { writeBatch: args.writeBatch as string }),
    ...(args.readBatch !== undefined && { readBatch: [args.readBatch].flat() as string[] }),
  })
  if (!isFile) demandOptions(args)
  const document = isFile ? await teachingDocument(source) : recipeObject({})
  const questions: Override[] = isFile ? [] : [{ path: ['questions'], value: source, text: 'questions' }]
  const resolved = resolveTeaching(document, [...questions, ...overridesOf(args, work)])
  const progress = teachingReporter(process.stderr)
  const downloads = downloadReporter(process.stderr)
  return await withStop(async ({ signal, stop }) => {
    const fetching = { signal, onProgress: downloads.update }
    const planned = await planTeaching(resolved, fetching).finally(downloads.end)
    const plan = teachingPlanRecord(planned)
    if (args.plan) {
      if (args.json) printJson(plan)
      else printText(`${teachingPlanText(plan)}\n\nNothing was asked (--plan).`)
      return 0
    }
    progress.print(teachingPlanText(plan))
    const running = { resume: args.resume === true, work, signal, stop, onProgress: progress.update }
    const summary = await executeTeaching(planned, running).finally(progress.end)
    if ('files' in summary) {
      if (args.json) printJson(summary)
      else printText(batchWrittenText(summary))
      return 0
    }
    const failure = failureOf(summary)
    if (args.json) {
      printJson({ ...summary, ...(failure && { error: { code: failure.code, message: failure.message } }) })
    } else printText(teachingText(summary))
    if (failure) progress.print(`branchmerge: ${failure.message} [${failure.code}]`)
    if (stop.aborted) return (stop.reason as Interrupted).exitCode
    return failure ? 1 : 0
  })
}

/** What failed after all retries is no wrong answer, and no success. */
function failureOf({ failed, failure, batch }: TeachingSummary): BranchMergeError | undefined {
  if (failed === 0) return undefined
  const again = batch ? '--write-batch writes requests for them again' : '--resume asks for them again'
  const what = failed === 1 ? '1 answer' : `${failed} answers`
  return new BranchMergeError('ERR_ENGINE', `${what} did not come; ${again}.\n${failure}`)
}

function demandOptions(args: Record<string, unknown>): void {
  const missing = ['model', 'out'].filter((name) => args[name] === undefined && !(name === 'model' && args.server))
  if (missing.length === 0) return
  const names = missing.map((name) => `--${name}`)
  throw new UsageError(`Expected the file of a teaching, .yaml, or ${names.join(' and ')} as well`)
}

/** What the options say, in place of what the file says. */
function overridesOf(args: Record<string, unknown>, work: TeachingWork): Override[] {
  const of = (option: string, path: readonly string[], value: unknown): Override[] =>
    value === undefined ? [] : [{ path, value, text: `--${option}` }]
  const [input, output] = priceOf(args.price)
  // A directory, unless somebody else has the model.
  const isName = args.server !== undefined || work.kind !== 'ask'
  return [
    ...of('server', ['teacher', 'urls'], args.server === undefined ? undefined : [args.server].flat()),
    ...of('model', ['teacher', isName ? 'model' : 'path'], args.model),
    ...of('price', ['teacher', 'price', 'input'], input),
    ...of('price', ['teacher', 'price', 'output'], output),
    ...[args.set ?? []].flat().map((text) => parseOverride(String(text))),
    ...of('out', ['out'], args.out === undefined ? undefined : checkPath(args.out, 'out')),
    ...of('answers', ['answers'], args.answers),
    ...of('until-correct', ['untilCorrect'], args.untilCorrect),
    ...of('attempts', ['attempts'], args.attempts),
    ...of('limit', ['limit'], args.limit),
    ...of('grader', ['grader'], args.grader),
    ...of('reasoning', ['reasoning'], args.reasoning),
    ...of('seed', ['seed'], args.seed),
    ...of('temperature', ['sampling', 'temperature'], args.temperature),
    ...of('top-p', ['sampling', 'topP'], args.topP),
    ...of('max-tokens', ['sampling', 'maxTokens'], args.maxTokens),
    ...of('max-requests', ['limits', 'requests'], args.maxRequests),
    ...of('max-tokens-total', ['limits', 'tokens'], args.maxTokensTotal),
    ...of('max-cost', ['limits', 'cost'], args.maxCost),
    ...of('sandbox-level', ['sandbox', 'level'], args.sandboxLevel),
  ]
}

/** `--price INPUT,OUTPUT` */
function priceOf(given: unknown): [input: number, output: number] | [] {
  if (given === undefined) return []
  const parts = String(given).split(',')
  const [input, output] = parts.map(Number)
  const isPrice = parts.length === 2 && parts.every((part) => part.trim() !== '' && Number(part) >= 0)
  if (isPrice) return [input as number, output as number]
  throw invalidArgument('INPUT,OUTPUT, money for a million tokens of prompts and of answers,', 'price', given)
}
