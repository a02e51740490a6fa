import { defaultThreads } from '../data/options.js'
import { type Override, parseOverride } from '../recipe/overrides.js'
import { downloadReporter } from '../report/downloadProgress.js'
import { selectionReporter } from '../report/selection/progress.js'
import { selectionPlanText, selectionText } from '../report/selection/text.js'
import { executeOpen, openAndCheck, planSelection, selectionDocument } from '../select/run/selectData.js'
import { checkInteger, checkPath } from '../validate.js'
import { withInterrupt } from './interrupt.js'
import { printJson, printText } from './print.js'

/** `branchmerge data select RECIPE.yaml --out FILE` */
export async function runDataSelect(args: Record<string, unknown>): Promise<number> {
  const document = await selectionDocument(checkPath(args.recipe, 'recipe'))
  const limit = args.limit === undefined ? undefined : checkInteger(args.limit, 'limit', 1, Number.MAX_SAFE_INTEGER)
  const threads = args.threads === undefined ? defaultThreads() : checkInteger(args.threads, 'threads', 1, 1024)
  const out = checkPath(args.out, 'out')
  const progress = selectionReporter(process.stderr)
  const downloads = downloadReporter(process.stderr)
  return await withInterrupt('removed', async (signal) => {
    const running = { out, overwrite: args.overwrite === true, limit, threads, signal, onProgress: progress.update }
    const fetching = { ...running, onDownload: downloads.update }
    const opened = await openAndCheck(document, overridesOf(args), fetching).finally(downloads.end)
    if (args.plan) {
      const plan = await planSelection(opened, running)
      if (args.json) printJson(plan)
      else printText(`${selectionPlanText(plan)}\n\nNothing was written (--plan).`)
      return 0
    }
    const summary = await executeOpen(opened, running).finally(progress.end)
    if (args.json) printJson(summary)
    else printText(selectionText(summary))
    return 0
  })
}

/** What the options say, in place of what the file says. */
function overridesOf(args: Record<string, unknown>): Override[] {
  const of = (option: string, value: unknown): Override[] =>
    value === undefined ? [] : [{ path: [option], value, text: `--${option}` }]
  return [
    ...[args.set ?? []].flat().map((text) => parseOverride(String(text))),
    ...of('seed', args.seed),
    ...of('tokenizer', args.tokenizer === undefined ? undefined : checkPath(args.tokenizer, 'tokenizer')),
  ]
}
