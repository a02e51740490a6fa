import { finishParts } from '../merge/parts/finishMerge.js'
import { finishedSummary } from '../merge/run/finishedMerge.js'
import { summariseMerge } from '../merge/run/mergeSummary.js'
import { finishedText, mergeText } from '../report/summary.js'
import { checkPath } from '../validate.js'
import { withInterrupt } from './interrupt.js'
import { printJson, printText } from './print.js'

/** `branchmerge finish DIR` */
export async function runFinish(args: Record<string, unknown>): Promise<number> {
  const started = performance.now()
  const out = checkPath(args.directory, 'directory')
  return await withInterrupt('removed', async (signal) => {
    const result = await finishParts(out, signal)
    if ('manifest' in result) {
      const summary = finishedSummary(result.manifest, started)
      if (args.json) printJson(summary)
      else printText(finishedText(summary, out))
      return 0
    }
    const summary = summariseMerge(result.plan, result.outcome, started)
    if (args.json) printJson(summary)
    else printText(mergeText({ summary, ...result }, out))
    return 0
  })
}
