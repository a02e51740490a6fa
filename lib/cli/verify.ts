import { verify } from '../merge/verify.js'
import { formatCountOf, printable } from '../text/format.js'
import { formatBytes } from '../text/formatUnits.js'
import { checkPath } from '../validate.js'
import { withInterrupt } from './interrupt.js'
import { printJson, printText } from './print.js'

/** `branchmerge verify DIR` */
export async function runVerify(args: Record<string, unknown>): Promise<number> {
  const directory = checkPath(args.directory, 'directory')
  const threads = args.threads as number | undefined
  const found = await withInterrupt('removed', (signal) => verify(directory, { threads, signal }))
  const { problems, tensors, files, sideFiles, bytes } = found
  if (args.json) printJson(found)
  else {
    printText(
      [
        `Checked ${formatCountOf(tensors, 'tensor')} in ${formatCountOf(files, 'file')} (${formatBytes(bytes)}) ` +
          `and ${formatCountOf(sideFiles, 'side file')}`,
        ...problems.map(printable),
        `The directory is ${problems.length === 0 ? 'as' : 'NOT as'} its branchmerge.json says`,
      ].join('\n'),
    )
  }
  return problems.length === 0 ? 0 : 1
}
