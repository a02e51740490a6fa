import type { AnalysisResults } from '../../analysis/results.js'
import { type ReportKind, refuseOtherFiles, writeReportFiles } from '../../files/reportDirectory.js'
import { analysisCsv } from './analysisCsv.js'
import { analysisMarkdown } from './analysisMarkdown.js'
import { layerMap } from './layerMap.js'
import { measureSets } from './measures.js'

const others = ['analysis.md', 'analysis.csv']
const figures = ['alignment', 'overlap', 'conflicts', 'changes', 'survival', 'interference']

const kind: ReportKind = {
  main: 'analysis.json',
  format: 'branchmerge analysis',
  isFile: (name) => others.includes(name) || figures.includes(name.replace(/\.svg$/, '')),
}

/** @throws ERR_OUTPUT_EXISTS where `directory` holds files of these names that no analysis wrote */
export const refuseOtherAnalysis = (directory: string, overwrite: boolean): Promise<void> =>
  refuseOtherFiles(directory, kind, overwrite)

/**
 * Writes analysis.json, analysis.md, analysis.csv and a heat map for each kind of number. Returns the paths.
 *
 * @throws ERR_OUTPUT_WRITE, ERR_DISK_FULL; the signal's reason after an abort
 */
export async function writeAnalysis(
  results: AnalysisResults,
  directory: string,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const maps = measureSets(results).map((set) => layerMap(results, set))
  return await writeReportFiles(
    directory,
    kind,
    [
      [kind.main, `${JSON.stringify(results, undefined, 2)}\n`],
      ['analysis.md', analysisMarkdown(results, maps)],
      ['analysis.csv', analysisCsv(results)],
      ...maps.map(({ name, svg }) => [`${name}.svg`, svg] as const),
    ],
    signal,
  )
}
