import { carryOutAnalysis, surveyAnalysis } from '../analyse.js'
import { type AnalyseOptions, resolveAnalysis } from '../analysis/analyseOptions.js'
import { analysisPlanRecord, analysisPlanText, analysisText } from '../report/analysis/analysisText.js'
import { progressAfterDownload } from '../report/downloadProgress.js'
import { progressReporter } from '../report/progress.js'
import { withInterrupt } from './interrupt.js'
import { namedPaths } from './modelArguments.js'
import { printJson, printText } from './print.js'

/** `branchmerge analyse BASE --expert NAME=PATH …` */
export async function runAnalyse(args: Record<string, unknown>): Promise<number> {
  const progress = progressAfterDownload(process.stderr, progressReporter)
  return await withInterrupt('removed', async (signal) => {
    const reporting = { signal, onProgress: progress.update, onDownload: progress.download }
    const plan = await surveyAnalysis(resolveAnalysis({ ...optionsOf(args), ...reporting })).finally(progress.end)
    if (args.plan) {
      if (args.json) printJson(analysisPlanRecord(plan))
      else printText(analysisPlanText(plan))
      return 0
    }
    const { outcome, files } = await carryOutAnalysis(plan).finally(progress.end)
    if (args.json) printJson({ ...outcome, files })
    else printText(analysisText(outcome, files))
    return 0
  })
}

function optionsOf(args: Record<string, unknown>): AnalyseOptions {
  const { base, expert, gradient, merged, out, overwrite, memory, threads } = args
  return {
    base,
    experts: namedPaths(expert, 'expert'),
    gradients: namedPaths(gradient, 'gradient'),
    merged,
    out,
    overwrite,
    memory,
    threads,
  } as unknown as AnalyseOptions
}
