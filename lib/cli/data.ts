import { checkPrepareOptions, type PrepareDataOptions, type ResolvedData } from '../data/options.js'
import { prepareResolvedData } from '../data/prepareData.js'
import { previewResolvedData } from '../data/previewData.js'
import { dataPreviewText } from '../report/dataPreview.js'
import { dataProgressReporter } from '../report/dataProgress.js'
import { preparedDataText } from '../report/preparedData.js'
import { resolveRun } from '../train/resolveRun.js'
import { runDocument } from '../train/sft.js'
import { checkInteger, checkPath } from '../validate.js'
import { withInterrupt } from './interrupt.js'
import { printJson, printText } from './print.js'
import { overridesOf } from './sft.js'
import { UsageError } from './usageError.js'

/** `branchmerge data preview RUN.yaml | --model DIR --data FILE …` */
export async function runDataPreview(args: Record<string, unknown>): Promise<number> {
  const { model, data } = await dataOf(args)
  const { samples, row, from } = args as { samples?: number; row?: number; from?: string }
  const progress = dataProgressReporter(process.stderr)
  return await withInterrupt('removed', async (signal) => {
    const running = { signal, onProgress: progress.update }
    const choice = { samples, row, source: from }
    const preview = await previewResolvedData(model, data, running, choice).finally(progress.end)
    if (args.json) printJson(preview)
    else printText(dataPreviewText(preview, process.stdout.isTTY === true && !process.env.NO_COLOR))
    return 0
  })
}

/** `branchmerge data prepare RUN.yaml | --model DIR --data FILE …` */
export async function runDataPrepare(args: Record<string, unknown>): Promise<number> {
  const { model, data } = await dataOf(args)
  const threads = args.threads === undefined ? undefined : checkInteger(args.threads, 'threads', 1, 1024)
  const progress = dataProgressReporter(process.stderr)
  return await withInterrupt('removed', async (signal) => {
    const run = { threads, signal, onProgress: progress.update }
    const prepared = await prepareResolvedData(model, data, run).finally(progress.end)
    if (args.json) printJson(prepared)
    else printText(preparedDataText(prepared))
    return 0
  })
}

/** Model and data of a run file, or of the options that stand for one. */
async function dataOf(args: Record<string, unknown>): Promise<{ model: string; data: ResolvedData }> {
  const options = optionsOf(args)
  const given = Object.keys(options)
  if (args.file === undefined) {
    if (args.set !== undefined) {
      throw new UsageError('Expected --set only with the file of a run: it stands for what the file says')
    }
    if (given.includes('model') && given.includes('sources')) {
      return checkPrepareOptions(options as unknown as PrepareDataOptions)
    }
    throw new UsageError('Name the file of a run, or pass --model DIR and --data FILE')
  }
  if (given.length > 0) {
    throw new UsageError(
      'Expected --model, --data and the options of data only without the file of a run: use --set there',
    )
  }
  const { model, data } = resolveRun(await runDocument(checkPath(args.file, 'file')), overridesOf(args))
  return { model, data }
}

/** The options of the API among the arguments, as far as they were given. */
function optionsOf(args: Record<string, unknown>): Record<string, unknown> {
  const { model, tokenizer, template, system, think, missingThink, train, maskHistory } = args
  const { cutoffLength, excessLengthStrategy, packing, validation, seed, maxBadRows, cache } = args
  const sources = args.data === undefined ? undefined : [args.data].flat()
  const split =
    typeof validation !== 'number' ? validation : validation < 1 ? { fraction: validation } : { count: validation }
  const prompts = { model, sources, tokenizer, template, system, think, missingThink, train, maskHistory }
  const all = { ...prompts, cutoffLength, excessLengthStrategy, packing, validation: split, seed, maxBadRows, cache }
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
}
