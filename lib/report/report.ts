import { stat } from 'node:fs/promises'
import { refuseExisting, writeWhole } from '../files/writeWhole.js'
import { checkBoolean, checkOptionNames, checkPath, invalidArgument } from '../validate.js'
import type { ReportInput } from './fractionGrid.js'
import { heatMapSvg } from './heatMap.js'
import { heatMapPage } from './heatMapPage.js'
import { type HeatMapRecord, heatMapRecord } from './heatMapRecord.js'
import { readManifestStats } from './readManifest.js'
import { readStatsFile } from './readStatsFile.js'

/** Options of {@link report}. */
export interface ReportOptions {
  /** Picture to write, a .svg or .html file. Default: none is written. */
  out?: string | undefined
  /** Replace that file. Default: false. */
  overwrite?: boolean | undefined
}

/** What the name of the file asks for. */
const pictures: Record<string, (input: ReportInput) => string> = { svg: heatMapSvg, html: heatMapPage }

/**
 * Tells which fraction of each layer and kind of weight the fusions of a merge took from Right, and draws it.
 *
 * @param source - a directory that `fuse` or `merge` wrote, or the file of the command's `--stats`
 * @throws BranchMergeError: ERR_FILE_READ, ERR_MANIFEST or ERR_STATS for the source; ERR_OUTPUT_EXISTS, ERR_OUTPUT_WRITE,
 *   ERR_DISK_FULL
 */
export async function report(source: string, options: ReportOptions = {}): Promise<HeatMapRecord> {
  checkPath(source, 'source')
  const found = await stat(source).catch(() => undefined)
  const read = () => (found?.isFile() ? readStatsFile(source) : readManifestStats(source))
  return heatMapRecord(await drawReport(read, options))
}

/** Reads what is drawn, and draws it where `out` is given. */
export async function drawReport(read: () => Promise<ReportInput>, options: ReportOptions): Promise<ReportInput> {
  checkOptionNames(options, ['out', 'overwrite'] satisfies (keyof ReportOptions)[])
  const out = options.out === undefined ? undefined : checkPath(options.out, 'out')
  const overwrite = checkBoolean(options.overwrite ?? false, 'overwrite')
  const draw = out === undefined ? undefined : pictureFor(out)
  if (out !== undefined) await refuseExisting(out, overwrite)
  const input = await read()
  if (out !== undefined && draw) await writeWhole(out, draw(input))
  return input
}

function pictureFor(out: string): (input: ReportInput) => string {
  const draw = pictures[/\.(svg|html)$/.exec(out)?.[1] ?? '']
  if (!draw) throw invalidArgument('a name that ends in .svg or .html', 'out', out)
  return draw
}
