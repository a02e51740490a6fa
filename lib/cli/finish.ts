import { finishParts } from '../merge/finishMerge.js'
import { summariseMerge } from '../merge/merge.js'
import { mergeText } from '../report/summary.js'
import { checkPath } from '../validate.js'
import { withInterrupt } from './interrupt.js'
import { printJson, printText } from './print.js'

/** `branchmerge finish DIR` */
export async function runFinish(args: Record<string, unknown>): Promise<number> {
  const started = performance.now()
  const out = checkPath(args.directory, 'directory')
  return await withInterrupt('removed', async (signal) => {
    const { plan, outcome } = await finishParts(out, signal)
    const summary = summariseMerge(plan, outcome, started)
    if (args.json) printJson(summary)
    else printText(mergeText({ summary, plan, outcome }, out))
    return 0
  })
}
