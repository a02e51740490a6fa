import type { Progress } from '../fusion/progress.js'
import type { MergedTensorStats } from '../fusion/tensorStats.js'
import type { DownloadProgress } from '../hub/download.js'
import type { MergeIdentity } from '../merge/output/manifest.js'
import type { MergePlan } from '../merge/plan/mergePlan.js'
import type { MergeRequest } from '../merge/plan/mergeRequest.js'
import type { MergeResult } from '../merge/run/mergeResult.js'
import { type MergeSurvey, prepare, survey } from '../merge/run/session.js'
import { progressAfterDownload } from '../report/downloadProgress.js'
import { planText } from '../report/plan.js'
import { progressReporter } from '../report/progress.js'
import { checkStatsPath, writeStatsFile } from '../report/statsFile.js'
import { checkPath } from '../validate.js'
import { withInterrupt } from './interrupt.js'
import { printJson, printText } from './print.js'

/** How a command tells what it would do, or has done. */
export interface Wording {
  planRecord(survey: MergeSurvey): unknown
  summary(result: MergeResult, request: MergeRequest): unknown
  text(result: MergeResult, out: string): string
  statsLine(tensor: MergedTensorStats, merges: readonly MergeIdentity[]): string
}

/** What the running command gives to the merge. */
export interface Running {
  signal: AbortSignal
  onProgress: (progress: Progress) => void
  onDownload: (progress: DownloadProgress) => void
}

/** Carries out the merge that is asked for, or with `--plan` plans it, and prints what came of it. */
export async function carryOut(
  args: Record<string, unknown>,
  requestOf: (running: Running) => MergeRequest,
  wording: Wording,
): Promise<number> {
  const started = performance.now()
  const stats = args.stats === undefined ? undefined : checkPath(args.stats, 'stats')
  const checkStats = async ({ run, models }: MergePlan) => {
    const checkpoints = models.map(({ checkpoint }) => checkpoint)
    if (stats !== undefined) await checkStatsPath(stats, run, checkpoints)
  }
  const progress = progressAfterDownload(process.stderr, progressReporter)
  return await withInterrupt(args.resume ? 'kept' : 'removed', async (signal) => {
    const request = requestOf({ signal, onProgress: progress.update, onDownload: progress.download })
    if (args.plan) {
      const found = await survey(request)
      await checkStats(found.plan)
      if (args.json) printJson(wording.planRecord(found))
      else printText(planText(found))
      return 0
    }
    const work = async () => {
      const session = await prepare(request, { started })
      await checkStats(session.plan)
      return await session.run()
    }
    const result = await work().finally(progress.end)
    if (stats !== undefined) {
      const lines = result.tensors.map((tensor) => wording.statsLine(tensor, result.merges))
      await writeStatsFile(stats, lines, request.run.out)
    }
    if (args.json) printJson(wording.summary(result, request))
    else printText(wording.text(result, request.run.out))
    return 0
  })
}
