import { openModel } from '../openModel.js'
import { checkpointRecord, checkpointText } from '../report/checkpoint.js'
import { checkPath } from '../validate.js'
import { withInterrupt } from './interrupt.js'
import { printJson, printText } from './print.js'

/** `branchmerge inspect PATH` */
export async function runInspect(args: Record<string, unknown>): Promise<number> {
  const path = checkPath(args.path, 'path')
  const checkpoint = await withInterrupt('kept', (signal) => openModel(path, { signal }))
  if (args.json) printJson(checkpointRecord(checkpoint))
  else printText(checkpointText(checkpoint))
  return 0
}
