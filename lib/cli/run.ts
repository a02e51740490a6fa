import { BranchMergeError } from '../errors.js'
import { executePipeline } from '../pipeline/run/executePipeline.js'
import type { PipelineSummary } from '../pipeline/run/pipelineOutcome.js'
import { planResolved } from '../pipeline/run/planPipeline.js'
import { resolvePipeline } from '../pipeline/run/resolvePipeline.js'
import { choiceOf, pipelineDocument } from '../pipeline/run/runPipeline.js'
import { type Override, parseOverride } from '../recipe/overrides.js'
import { pipelineReporter } from '../report/pipeline/progress.js'
import { pipelinePlanText, pipelineText } from '../report/pipeline/text.js'
import { checkPath } from '../validate.js'
import { withInterrupt } from './interrupt.js'
import { printJson, printText } from './print.js'

/** `branchmerge run pipeline.yaml` */
export async function runRun(args: Record<string, unknown>): Promise<number> {
  const document = await pipelineDocument(checkPath(args.file, 'file'))
  const choice = choiceOf(args)
  return await withInterrupt('kept', async (signal) => {
    const pipeline = await resolvePipeline(document, overridesOf(args))
    if (args.plan) {
      const plan = await planResolved(pipeline, choice, signal)
      if (args.json) printJson(plan)
      else printText(pipelinePlanText(plan))
      return 0
    }
    const progress = pipelineReporter(process.stderr)
    const running = { ...choice, resume: args.resume === true, signal, onProgress: progress.update }
    const summary = await executePipeline(pipeline, running).finally(progress.end)
    const failure = failureOf(summary)
    if (args.json) {
      printJson({ ...summary, ...(failure && { error: { code: failure.code, message: failure.message } }) })
    } else printText(pipelineText(summary))
    if (failure) process.stderr.write(`branchmerge: ${failure.message} [${failure.code}]\n`)
    return failure ? 1 : 0
  })
}

/** The first step that failed, or could not run, and how many more did not. */
function failureOf({ complete, steps }: PipelineSummary): BranchMergeError | undefined {
  if (complete) return undefined
  const failed = steps.filter(({ status }) => status === 'failed')
  const blocked = steps.filter(({ status }) => status === 'blocked')
  const namesOf = (list: typeof steps) => list.map(({ name }) => name).join(', ')
  const parts = [
    ...(failed.length > 0 ? [`${namesOf(failed)} failed`] : []),
    ...(blocked.length > 0 ? [`${namesOf(blocked)} could not run`] : []),
  ]
  const message = `${parts.join(', and ')}; --resume runs what is not done`
  return new BranchMergeError('ERR_PIPELINE', message)
}

/** What the options say, in place of what the file says. */
function overridesOf(args: Record<string, unknown>): Override[] {
  return [
    ...[args.set ?? []].flat().map((text) => parseOverride(String(text))),
    ...(args.out === undefined ? [] : [{ path: ['out'], value: checkPath(args.out, 'out'), text: '--out' }]),
  ]
}
