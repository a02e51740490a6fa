import { finishParts } from '../merge/parts/finishMerge.js'
import { mergeText } from '../report/summary.js'
import { checkPath } from '../validate.js'
import { withInterrupt } from './interrupt.js'
import { printJson, printText } from './print.js'

/** `branchmerge finish DIR` */
export async function runFinish(args: Record<string, unknown>): Promise<number> {
  const started = performance.now()
  const out = checkPath(args.directory, 'directory')
  return await withInterrupt('removed', async (signal) => {
    const result = await finishParts(out, signal, started)
    if (args.json) printJson(result.summary)
    else printText(mergeText(result, out))
    return 0
  })
}
