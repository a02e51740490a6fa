import { executeMerge } from '../merge/executeMerge.js'
import { fusedTensor, fusionRequest, summariseFusion } from '../merge/fuseCheckpoints.js'
import { type FuseCheckpointsOptions, resolveFuseCheckpointsOptions } from '../merge/fuseOptions.js'
import { freeBytes, refuseInputs } from '../merge/outputDirectory.js'
import { planMerge, preflightMerge } from '../merge/planMerge.js'
import { fusionPlanRecord, planText } from '../report/plan.js'
import { progressReporter } from '../report/progress.js'
import { checkStatsPath, fusionStatsLine, writeStatsFile } from '../report/statsFile.js'
import { fusionText } from '../report/summary.js'
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
  return await withInterrupt(args.resume ? 'kept' : 'removed', async (signal) => {
    const options = resolveFuseCheckpointsOptions({ ...fuseOptions(args), signal, onProgress: progress.update })
    const request = fusionRequest(left, right, options)
    const plan = await (args.plan ? planMerge : preflightMerge)(request)
    if (stats !== undefined) {
      await refuseInputs(
        stats,
        plan.models.map(({ checkpoint }) => checkpoint),
      )
      await checkStatsPath(stats, options)
    }
    if (args.plan) {
      const free = await freeBytes(options.out)
      if (args.json) printJson(fusionPlanRecord(plan, free))
      else printText(planText(plan, options.out, free))
      return 0
    }
    const outcome = await executeMerge(plan).finally(progress.end)
    const summary = summariseFusion(plan, outcome, started)
    const tensors = outcome.tensors.map(fusedTensor)
    if (stats !== undefined) await writeStatsFile(stats, tensors.map(fusionStatsLine))
    if (args.json) printJson(summary)
    else printText(fusionText({ summary, plan, outcome }, options.out))
    return 0
  })
}

/** The options of the API among the arguments; resolveFuseCheckpointsOptions checks their values. */
function fuseOptions(args: Record<string, unknown>): FuseCheckpointsOptions {
  const { out, overwrite, resume, dtype, maxShardSize, preset, nonFinite, threads, memory, device } = args
  const { scope, divergence, score, gate, lambda, epsilon, quantile, population } = args
  const choices = { preset, scope, divergence, score, gate, lambda, epsilon, quantile, population, nonFinite }
  return { ...choices, out, overwrite, resume, dtype, maxShardSize, threads, memory, device } as FuseCheckpointsOptions
}
