import { openCheckpoint } from '../checkpoint/openCheckpoint.js'
import { checkpointRecord, checkpointText } from '../report/checkpoint.js'
import { checkPath } from '../validate.js'
import { printJson, printText } from './print.js'

/** `branchmerge inspect PATH` */
export async function runInspect(args: Record<string, unknown>): Promise<number> {
  const checkpoint = await openCheckpoint(checkPath(args.path, 'path'))
  if (args.json) printJson(checkpointRecord(checkpoint))
  else printText(checkpointText(checkpoint))
  return 0
}
