import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { BranchMergeError } from '../../errors.js'
import type { EvaluationResults } from '../../evaluate/analysis/results.js'
import type { Transcript } from '../../evaluate/readOutcomes.js'
import { makeDirectory, removeIfPresent } from '../../files/durableFiles.js'
import { firstOf, listIfPresent } from '../../files/outputDirectory.js'
import { writeWhole } from '../../files/writeWhole.js'
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

const resultsFile = 'results.json'
const otherFiles = [
  'report.html',
  'tables.md',
  'tables.tex',
  'scores.csv',
  'scores.svg',
  'lengths.svg',
  'questions.svg',
]

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
  await refuseOthers(directory, overwrite)
  const figures = [scoreChart(results), lengthChart(results), questionMap(results)].filter((each) => each !== undefined)
  const chosen = await chooseTranscripts(untilAborted(transcripts, signal), results, transcriptBytes)
  const files: [name: string, content: string][] = [
    [resultsFile, `${JSON.stringify(results, undefined, 2)}\n`],
    ['tables.md', evaluationMarkdown(results)],
    ['tables.tex', evaluationLatex(results)],
    ['scores.csv', evaluationCsv(results)],
    ...figures.map(({ name, svg }): [string, string] => [`${name}.svg`, svg]),
    ['report.html', evaluationPage(results, figures, chosen)],
  ]
  if ((await listIfPresent(directory)) === undefined) await makeDirectory(directory)
  // A crash in between leaves a report with files missing, never files of two reports.
  for (const name of otherFiles) await removeIfPresent(join(directory, name))
  for (const [name, content] of files) {
    signal?.throwIfAborted()
    await writeWhole(join(directory, name), content)
  }
  return files.map(([name]) => join(directory, name))
}

async function refuseOthers(directory: string, overwrite: boolean): Promise<void> {
  const names = (await listIfPresent(directory)) ?? []
  const taken = names.filter((name) => name === resultsFile || otherFiles.includes(name))
  if (overwrite || taken.length === 0 || (await isReport(join(directory, resultsFile)))) return
  throw new BranchMergeError(
    'ERR_OUTPUT_EXISTS',
    `Expected no other files where the report is written, but ${directory} holds ${firstOf(taken)}. Choose another directory, or overwrite them.`,
  )
}

/** Whether an earlier report wrote it: a file of results begins with its format. */
async function isReport(path: string): Promise<boolean> {
  const handle = await open(path, 'r').catch(() => undefined)
  if (!handle) return false
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(100), 0, 100, 0)
    return buffer.toString('latin1', 0, bytesRead).includes('"format": "branchmerge evaluation results"')
  } finally {
    await handle.close()
  }
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
