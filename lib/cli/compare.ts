import { join } from 'node:path'
import { checkDirectories, compareEvaluations } from '../evaluate/compare.js'
import { readTranscripts } from '../evaluate/readOutcomes.js'
import { reportName } from '../evaluate/store/evaluationStore.js'
import { comparisonText } from '../report/evaluation/summaryText.js'
import { writeEvaluationReport } from '../report/evaluation/writeReport.js'
import { checkPath } from '../validate.js'
import { withInterrupt } from './interrupt.js'
import { printJson, printText } from './print.js'

/** `branchmerge compare DIR …` */
export async function runCompare(args: Record<string, unknown>): Promise<number> {
  const directories = checkDirectories(args.directories)
  const out = args.out === undefined ? join(directories[0] as string, reportName) : checkPath(args.out, 'out')
  const { baseline, merged, expert, samples, seed } = args as Record<string, never>
  const experts = expert === undefined ? undefined : ([expert].flat() as string[])
  return await withInterrupt('removed', async (signal) => {
    const options = { baseline, merged, experts, samples, seed, signal }
    const comparison = await compareEvaluations(directories, options)
    const files = await writeEvaluationReport(comparison.results, readTranscripts(comparison, signal), out, { signal })
    if (args.json) printJson({ ...comparison.results, files })
    else printText(comparisonText(comparison, files))
    return 0
  })
}
