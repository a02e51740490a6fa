import { freeBytes } from '../files/outputDirectory.js'
import { type FuseCheckpointsOptions, resolveFuseCheckpointsOptions } from '../fusion/fuseOptions.js'
import type { MergedTensorStats } from '../fusion/tensorStats.js'
import { type FuseSummary, fusedTensor, fusionRequest, fusionSummary } from '../merge/fuseCheckpoints.js'
import { planMerge, preflightMerge } from '../merge/plan/planMerge.js'
import { executeMerge } from '../merge/run/executeMerge.js'
import { finishedMerge, finishedSummary, finishedTensors } from '../merge/run/finishedMerge.js'
import { summariseMerge } from '../merge/run/mergeSummary.js'
import { fusionPlanRecord, planText } from '../report/plan.js'
import { progressReporter } from '../report/progress.js'
import { checkStatsPath, fusionStatsLine, writeStatsFile } from '../report/statsFile.js'
import { finishedText, fusionText } from '../report/summary.js'
import { checkPath } from '../validate.js'
import { withInterrupt } from './interrupt.js'
import { unlikeModels } from './modelArguments.js'
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
    const finished = options.resume && !args.plan ? await finishedMerge(request).finally(progress.end) : undefined
    if (finished) {
      const { manifest, checkpoints } = finished
      if (stats !== undefined) await checkStatsPath(stats, options, checkpoints)
      const summary = fusionSummary(finishedSummary(manifest, started), request)
      const tensors = finishedTensors(manifest)
      await tell(args, { summary, text: finishedText(summary, options.out), tensors, out: options.out })
      return 0
    }
    const plan = await (args.plan ? planMerge : preflightMerge)(request)
    const checkpoints = plan.models.map(({ checkpoint }) => checkpoint)
    if (stats !== undefined) await checkStatsPath(stats, options, checkpoints)
    if (args.plan) {
      const free = await freeBytes(options.out)
      if (args.json) printJson(fusionPlanRecord(plan, free))
      else printText(planText(plan, options.out, free))
      return 0
    }
    const outcome = await executeMerge(plan).finally(progress.end)
    const summary = fusionSummary(summariseMerge(plan, outcome, started), plan)
    const text = fusionText({ summary, plan, outcome }, options.out)
    await tell(args, { summary, text, tensors: outcome.tensors, out: options.out })
    return 0
  })
}

/** What a fusion has to tell, now or again. */
interface Told {
  summary: FuseSummary
  text: string
  tensors: MergedTensorStats[]
  out: string
}

async function tell(args: Record<string, unknown>, { summary, text, tensors, out }: Told): Promise<void> {
  if (args.stats !== undefined) {
    const lines = tensors.map((tensor) => fusionStatsLine(fusedTensor(tensor)))
    await writeStatsFile(args.stats as string, lines, out)
  }
  if (args.json) printJson(summary)
  else printText(text)
}

/** The options of the API among the arguments; resolveFuseCheckpointsOptions checks their values. */
function fuseOptions(args: Record<string, unknown>): FuseCheckpointsOptions {
  const { out, overwrite, resume, maxShardSize, preset, nonFinite, threads, memory, device } = args
  const { scope, divergence, score, gate, lambda, epsilon, quantile, population } = args
  const choices = { preset, scope, divergence, score, gate, lambda, epsilon, quantile, population, nonFinite }
  const rest = { out, overwrite, resume, maxShardSize, threads, memory, device, ...unlikeModels(args) }
  return { ...choices, ...rest } as FuseCheckpointsOptions
}
