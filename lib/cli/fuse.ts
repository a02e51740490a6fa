import { executeFusion } from '../merge/fuseCheckpoints.js'
import { type FuseCheckpointsOptions, resolveFuseCheckpointsOptions } from '../merge/fuseOptions.js'
import { examineOutput, freeBytes, refuseInputs } from '../merge/outputDirectory.js'
import { planFusion } from '../merge/planFusion.js'
import { planRecord, planText } from '../report/plan.js'
import { progressReporter } from '../report/progress.js'
import { checkStatsPath, writeStatsFile } from '../report/statsFile.js'
import { summaryText } from '../report/summary.js'
import { checkPath } from '../validate.js'
import { withInterrupt } from './interrupt.js'
import { printJson, printText } from './print.js'

/** `branchmerge fuse LEFT RIGHT --out DIR` */
export async function runFuse(args: Record<string, unknown>): Promise<number> {
  const started = performance.now()
  const left = checkPath(args.left, 'left')
  const right = checkPath(args.right, 'right')
  const stats = args.stats === undefined ? undefined : checkPath(args.stats, 'stats')
  const progress = progressReporter(process.stderr)
  return await withInterrupt(async (signal) => {
    const options = resolveFuseCheckpointsOptions({ ...fuseOptions(args), signal, onProgress: progress.update })
    const plan = await planFusion(left, right, options)
    if (stats !== undefined) {
      await refuseInputs(stats, [plan.left, plan.right])
      await checkStatsPath(stats, options)
    }
    if (args.plan) {
      await examineOutput(options.out, options.overwrite)
      const free = await freeBytes(options.out)
      if (args.json) printJson(planRecord(plan, free))
      else printText(planText(plan, options.out, free))
      return 0
    }
    const report = await executeFusion(plan, options, started).finally(progress.end)
    if (stats !== undefined) await writeStatsFile(stats, report.tensors)
    if (args.json) printJson(report.summary)
    else printText(summaryText(report, options.out))
    return 0
  })
}

/** The options of the API among the arguments; resolveFuseCheckpointsOptions checks their values. */
function fuseOptions(args: Record<string, unknown>): FuseCheckpointsOptions {
  const { out, overwrite, dtype, maxShardSize, preset, nonFinite, threads } = args
  const { scope, divergence, score, gate, lambda, epsilon, quantile, population } = args
  const choices = { preset, scope, divergence, score, gate, lambda, epsilon, quantile, population, nonFinite }
  return { ...choices, out, overwrite, dtype, maxShardSize, threads } as FuseCheckpointsOptions
}
