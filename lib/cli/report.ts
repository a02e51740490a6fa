import type { ReportInput } from '../report/fractionGrid.js'
import { heatMapSvg } from '../report/heatMap.js'
import { heatMapPage } from '../report/heatMapPage.js'
import { heatMapRecord } from '../report/heatMapRecord.js'
import { heatMapText } from '../report/heatMapText.js'
import { readManifestStats } from '../report/readManifest.js'
import { readStatsFile } from '../report/readStatsFile.js'
import { refuseExisting, writeWhole } from '../report/writeWhole.js'
import { checkPath, invalidArgument } from '../validate.js'
import { printJson, printText } from './print.js'
import { UsageError } from './usageError.js'

/** What the name of the file asks for. */
const pictures: Record<string, (input: ReportInput) => string> = { svg: heatMapSvg, html: heatMapPage }

/** `branchmerge report DIR` */
export async function runReport(args: Record<string, unknown>): Promise<number> {
  const out = args.out === undefined ? undefined : checkPath(args.out, 'out')
  const draw = out === undefined ? undefined : pictureFor(out)
  if (out !== undefined) await refuseExisting(out, args.overwrite === true)
  const input = await readInput(args)
  if (out !== undefined && draw) await writeWhole(out, draw(input))
  if (args.json) printJson(heatMapRecord(input))
  else if (out === undefined) printText(heatMapText(input, process.stdout.columns))
  else printText(`The heat map is in ${out}`)
  return 0
}

function pictureFor(out: string): (input: ReportInput) => string {
  const draw = pictures[/\.(svg|html)$/.exec(out)?.[1] ?? '']
  if (!draw) throw invalidArgument('a name that ends in .svg or .html', 'out', out)
  return draw
}

function readInput({ directory, stats }: Record<string, unknown>): Promise<ReportInput> {
  if ((directory === undefined) === (stats === undefined)) {
    throw new UsageError('Expected a merged directory or --stats FILE, one of them')
  }
  if (stats !== undefined) return readStatsFile(checkPath(stats, 'stats'))
  return readManifestStats(checkPath(directory, 'directory'))
}
