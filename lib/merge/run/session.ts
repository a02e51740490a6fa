import { checkFreeSpace, freeBytes } from '../../files/outputDirectory.js'
import type { KnownHashes } from '../output/inputContent.js'
import type { Manifest } from '../output/manifest.js'
import { fetchModels, hasHubModels, pinModels, withHeaders } from '../plan/hubModels.js'
import { type MergePlan, outputBytes } from '../plan/mergePlan.js'
import type { MergeRequest } from '../plan/mergeRequest.js'
import { planMerge, planSplitMerge, preflightMerge } from '../plan/planMerge.js'
import { executeMerge } from './executeMerge.js'
import { finishedMerge } from './finishedMerge.js'
import { earlierResult, type MergeResult, resultOf } from './mergeResult.js'

/** A merge with everything about it that is known before it runs. */
export interface MergeSession {
  plan: MergePlan
  /** What the output says of itself, where an earlier run has done this merge. */
  finished: Manifest | undefined
  /**
   * Carries the plan out; of a merge that is finished, only tells what was done.
   *
   * @throws BranchMergeError; the signal's reason after an abort
   */
  run(): Promise<MergeResult>
}

export interface PrepareOptions {
  /** When the call began, by performance.now(). Default: now. */
  started?: number
  /** Of models that were read for other requests: also a request without `resume` may be finished. */
  known?: KnownHashes
}

/**
 * Prepares a merge: finds out whether an earlier run has finished it, where the request would go on with one, and plans it
 * otherwise. Writes nothing.
 *
 * @throws BranchMergeError with whatever makes the merge impossible, all of it at once
 */
export async function prepare(
  asked: MergeRequest,
  { started = performance.now(), known }: PrepareOptions = {},
): Promise<MergeSession> {
  const request = await fetchSound(asked, asked.run.resume || known !== undefined)
  const earlier = request.run.resume || known ? await finishedMerge(request, known) : undefined
  if (earlier) {
    const { plan, manifest } = earlier
    return { plan, finished: manifest, run: () => Promise.resolve(earlierResult(manifest, started)) }
  }
  const plan = await preflightMerge(request)
  return { plan, finished: undefined, run: async () => resultOf(plan, await executeMerge(plan), started) }
}

/** Fetches the models of the Hub, after what their headers tell of the merge was found to be in order. */
async function fetchSound(asked: MergeRequest, mayBeFinished: boolean): Promise<MergeRequest> {
  if (!hasHubModels(asked)) return asked
  const request = await pinModels(asked)
  await withHeaders(request, async (headers) => {
    // What is in the output of a merge that may be finished is looked at with the models.
    const plan = mayBeFinished ? await planSplitMerge(headers) : await planMerge(headers)
    if (!mayBeFinished) await checkFreeSpace(plan.run.out, outputBytes(plan))
  })
  return await fetchModels(request)
}

/** What a merge would read and write, and how much room there is. */
export interface MergeSurvey {
  plan: MergePlan
  /** Where the output goes; undefined where the file system does not tell. */
  freeBytes: number | undefined
}

/**
 * Plans a merge that is not to be run. Reads no tensor, writes nothing, and does not mind a lack of space.
 *
 * @throws BranchMergeError with whatever else makes the merge impossible, all of it at once
 */
export async function survey(request: MergeRequest): Promise<MergeSurvey> {
  const plan = await withHeaders(await pinModels(request), planMerge)
  return { plan, freeBytes: await freeBytes(request.run.out) }
}
