import { resolveFuseCheckpointsOptions } from '../fusion/fuseOptions.js'
import type { FuseCheckpointsOptions } from '../fusion/fuseOptionTypes.js'
import { fusedTensor, fusionRequest, fusionSummary } from '../merge/fuseCheckpoints.js'
import { fusionPlanRecord } from '../report/plan.js'
import { fusionStatsLine } from '../report/statsFile.js'
import { fusionText } from '../report/summary.js'
import { checkPath } from '../validate.js'
import { carryOut } from './carryOut.js'
import { unlikeModels } from './modelArguments.js'

/** `branchmerge fuse LEFT RIGHT --out DIR` */
export async function runFuse(args: Record<string, unknown>): Promise<number> {
  const left = checkPath(args.left, 'left')
  const right = checkPath(args.right, 'right')
  return await carryOut(
    args,
    (running) => fusionRequest(left, right, resolveFuseCheckpointsOptions({ ...fuseOptions(args), ...running })),
    {
      planRecord: fusionPlanRecord,
      summary: ({ summary }, request) => fusionSummary(summary, request),
      text: fusionText,
      statsLine: (tensor) => fusionStatsLine(fusedTensor(tensor)),
    },
  )
}

/** The options of the API among the arguments; resolveFuseCheckpointsOptions checks their values. */
function fuseOptions(args: Record<string, unknown>): FuseCheckpointsOptions {
  const { out, overwrite, card, resume, maxShardSize, preset, nonFinite, threads, memory, device } = args
  const { scope, divergence, score, gate, lambda, epsilon, quantile, population } = args
  const choices = { preset, scope, divergence, score, gate, lambda, epsilon, quantile, population, nonFinite }
  const rest = { out, overwrite, card, resume, maxShardSize, threads, memory, device, ...unlikeModels(args) }
  return { ...choices, ...rest } as FuseCheckpointsOptions
}
