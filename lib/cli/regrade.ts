import { type RegradeOptions, regrade } from '../evaluate/regrade.js'
import { regradeReporter } from '../report/evaluation/progress.js'
import { regradeText } from '../report/evaluation/summaryText.js'
import { checkPath } from '../validate.js'
import { withInterrupt } from './interrupt.js'
import { printJson, printText } from './print.js'

/** `branchmerge regrade DIR` */
export async function runRegrade(args: Record<string, unknown>): Promise<number> {
  const directory = checkPath(args.directory, 'directory')
  const { profile, sandboxLevel: level } = args
  const progress = regradeReporter(process.stderr)
  return await withInterrupt('removed', async (signal) => {
    const options = { profile, sandbox: { level }, signal, onProgress: progress.update } as RegradeOptions
    const summary = await regrade(directory, options).finally(progress.end)
    if (args.json) printJson(summary)
    else printText(regradeText(summary, directory))
    return 0
  })
}
