import type { ReportInput } from '../report/fractionGrid.js'
import { heatMapRecord } from '../report/heatMapRecord.js'
import { heatMapText } from '../report/heatMapText.js'
import { readManifestStats } from '../report/readManifest.js'
import { readStatsFile } from '../report/readStatsFile.js'
import { drawReport, type ReportOptions } from '../report/report.js'
import { checkPath } from '../validate.js'
import { printJson, printText } from './print.js'
import { UsageError } from './usageError.js'

/** `branchmerge report DIR` */
export async function runReport(args: Record<string, unknown>): Promise<number> {
  const { out, overwrite } = args as Pick<ReportOptions, 'out' | 'overwrite'>
  const input = await drawReport(() => readInput(args), { out, overwrite })
  if (args.json) printJson(heatMapRecord(input))
  else if (out === undefined) printText(heatMapText(input, process.stdout.columns))
  else printText(`The heat map is in ${out}`)
  return 0
}

async function readInput({ directory, stats }: Record<string, unknown>): Promise<ReportInput> {
  if ((directory === undefined) === (stats === undefined)) {
    throw new UsageError('Expected a merged directory or --stats FILE, one of them')
  }
  if (stats !== undefined) return await readStatsFile(checkPath(stats, 'stats'))
  return await readManifestStats(checkPath(directory, 'directory'))
}
