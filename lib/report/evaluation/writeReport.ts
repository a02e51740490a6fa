import type { EvaluationResults } from '../../evaluate/analysis/results.js'
import type { Transcript } from '../../evaluate/readOutcomes.js'
import { type ReportKind, refuseOtherFiles, writeReportFiles } from '../../files/reportDirectory.js'
import { checkInteger } from '../../validate.js'
import { lengthChart } from './lengthChart.js'
import { evaluationPage } from './page.js'
import { questionMap } from './questionMap.js'
import { scoreChart } from './scoreChart.js'
import { evaluationCsv } from './scoresCsv.js'
import { evaluationLatex } from './tableLatex.js'
import { evaluationMarkdown } from './tableMarkdown.js'
import { chooseTranscripts } from './transcripts.js'

export interface EvaluationReportOptions {
  /** Bytes of transcripts that the page holds at most; 32 MiB by default. */
  transcriptBytes?: number | undefined
  /** Whether files of these names that no report wrote are replaced. */
  overwrite?: boolean | undefined
  signal?: AbortSignal | undefined
}

const otherFiles = [
  'report.html',
  'tables.md',
  'tables.tex',
  'scores.csv',
  'scores.svg',
  'lengths.svg',
  'questions.svg',
]

const kind = {
  main: 'results.json',
  format: 'branchmerge evaluation results',
  isFile: (name: string) => otherFiles.includes(name),
} satisfies ReportKind

/**
 * Writes a report into a directory, which is made where it is missing: results.json, tables.md, tables.tex, scores.csv,
 * three figures and report.html. An earlier report there is removed first; each file appears whole or not at all. Returns
 * the paths.
 *
 * @throws ERR_OUTPUT_EXISTS for files of these names that are no report's; ERR_OUTPUT_WRITE, ERR_DISK_FULL; the signal's reason
 *   after an abort
 */
export async function writeEvaluationReport(
  results: EvaluationResults,
  transcripts: Iterable<Transcript> | AsyncIterable<Transcript>,
  directory: string,
  options: EvaluationReportOptions = {},
): Promise<string[]> {
  const { transcriptBytes = 2 ** 25, overwrite = false, signal } = options
  checkInteger(transcriptBytes, 'transcriptBytes', 0, 2 ** 28)
  await refuseOtherFiles(directory, kind, overwrite)
  const figures = [scoreChart(results), lengthChart(results), questionMap(results)].filter((each) => each !== undefined)
  const chosen = await chooseTranscripts(untilAborted(transcripts, signal), results, transcriptBytes)
  const files: [name: string, content: string][] = [
    [kind.main, `${JSON.stringify(results, undefined, 2)}\n`],
    ['tables.md', evaluationMarkdown(results)],
    ['tables.tex', evaluationLatex(results)],
    ['scores.csv', evaluationCsv(results)],
    ...figures.map(({ name, svg }): [string, string] => [`${name}.svg`, svg]),
    ['report.html', evaluationPage(results, figures, chosen)],
  ]
  return await writeReportFiles(directory, kind, files, signal)
}

async function* untilAborted(
  transcripts: Iterable<Transcript> | AsyncIterable<Transcript>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Transcript> {
  for await (const transcript of transcripts) {
    signal?.throwIfAborted()
    yield transcript
  }
}
