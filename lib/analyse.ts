import { type AnalyseOptions, type ResolvedAnalysis, resolveAnalysis } from './analysis/analyseOptions.js'
import { type AnalysisPlan, planAnalysis } from './analysis/planAnalysis.js'
import type { AnalysisResults } from './analysis/results.js'
import { type AnalysisOutcome, runAnalysis } from './analysis/runAnalysis.js'
import { refuseOtherAnalysis, writeAnalysis } from './report/analysis/writeAnalysis.js'

/** What `analyse` resolves to. */
export interface AnalysisSummary {
  results: AnalysisResults
  /** What was written, analysis.json first; empty without `out`. */
  files: string[]
  bytesRead: number
  /** Of reading and comparing. */
  seconds: number
}

/**
 * Compares experts of one base: alignment of their changes, overlap of their largest changes, sign conflicts, what of them
 * survives in a merged model, and interference of gradients; for each tensor, layer, kind of weight, and all. Reads every file
 * once.
 *
 * @throws BranchMergeError: ERR_INVALID_ARGUMENT; what opening checkpoints throws; ERR_TENSOR_MISSING, ERR_SHAPE_MISMATCH,
 *   ERR_DTYPE_UNSUPPORTED, ERR_TIED_WEIGHTS, ERR_NON_FINITE; ERR_OUTPUT_EXISTS, ERR_OUTPUT_IS_INPUT, ERR_OUTPUT_WRITE,
 *   ERR_DISK_FULL. After an abort, the signal's reason.
 */
export async function analyse(options: AnalyseOptions): Promise<AnalysisSummary> {
  const { outcome, files } = await carryOutAnalysis(await surveyAnalysis(resolveAnalysis(options)))
  return { ...outcome, files }
}

/** An analysis of which everything is known before it reads tensors. */
export async function surveyAnalysis(request: ResolvedAnalysis): Promise<AnalysisPlan> {
  request.signal?.throwIfAborted()
  if (request.out !== undefined) await refuseOtherAnalysis(request.out, request.overwrite)
  return await planAnalysis(request)
}

/** Reads, compares and writes. */
export async function carryOutAnalysis(plan: AnalysisPlan): Promise<{ outcome: AnalysisOutcome; files: string[] }> {
  const { out, signal } = plan.request
  const outcome = await runAnalysis(plan)
  return { outcome, files: out === undefined ? [] : await writeAnalysis(outcome.results, out, signal) }
}
