import type { ReproduceOptions } from '../merge/reproduce.js'
import { executeReproduction, planReproduction } from '../merge/reproduce.js'
import { progressReporter } from '../report/progress.js'
import { checkPath } from '../validate.js'
import { withInterrupt } from './interrupt.js'
import { modelPaths } from './modelArguments.js'
import { printJson, printText } from './print.js'

/** `branchmerge reproduce DIR --model NAME=DIR … --out DIR` */
export async function runReproduce(args: Record<string, unknown>): Promise<number> {
  const started = performance.now()
  const directory = checkPath(args.directory, 'directory')
  const { model, out, overwrite, threads } = args
  const options = { models: modelPaths(model), out, overwrite, threads } as ReproduceOptions
  const progress = progressReporter(process.stderr)
  return await withInterrupt('removed', async (signal) => {
    const { plan, manifest } = await planReproduction(directory, { ...options, signal, onProgress: progress.update })
    const summary = await executeReproduction(plan, manifest, started).finally(progress.end)
    if (args.json) printJson(summary)
    else printText(`Made ${summary.tensors} tensors again in ${plan.run.out}: the same bytes`)
    return 0
  })
}
